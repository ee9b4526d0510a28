import Foundation

/// The proxy's thread: accepts, reads, holds back, passes on.
struct ProxyLoop {
    struct Listener: Sendable {
        var descriptor: Int32
        var node: String
        /// The node's own port.
        var target: UInt16
    }

    /// Bytes on their way in one direction of a connection.
    struct Lane {
        var pair: LinkPair
        var chunks: [(due: ContinuousClock.Instant, bytes: [UInt8])] = []
        var sent = 0
        var waiting = 0
        var sawEnd = false
        var ended = false
        var lastDue = ContinuousClock.now
        static let capacity = 1 << 20
    }

    struct Connection {
        /// The dialler's side and the node's side; -1 once closed.
        var sides: [Int32]
        /// Lane 0 carries what side 0 sends, lane 1 what side 1 sends.
        var lanes: [Lane]
        /// The node's side is gone, and the dialler is not told.
        var isHalfOpen = false
        /// The dialler's port, and when it is looked for next: the kernel's tables are read while they change, so that
        /// one search in vain says nothing. Strangers are looked for more and more seldom.
        var port: UInt16
        var nextSearch = ContinuousClock.now
        var pause = Duration.milliseconds(2)
        static let unknown = "?"

        var isSearched: Bool { lanes[0].pair.from == Self.unknown && !isHalfOpen }
    }

    let owner: LinkProxies
    let listeners: [Listener]
    let wake: Int32
    var random: DrillRandom
    var connections: [Connection] = []
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)

    init(owner: LinkProxies, listeners: [Listener], wake: Int32, seed: UInt64) {
        self.owner = owner
        self.listeners = listeners
        self.wake = wake
        random = DrillRandom(seed: seed)
    }

    mutating func run() {
        var open: [LinkPair: Int] = [:]
        while true {
            let (rules, requests, stopped, up) = owner.shared.withLock { shared in
                defer { shared.requests = [] }
                return (Array(shared.rules.values), shared.requests, shared.stopped, shared.up)
            }
            if stopped { break }
            for request in requests { owner.answer(carryOut(request)) }
            connections.removeAll { $0.sides.allSatisfy { $0 < 0 } }
            identify(up)
            let now = open
            open = [:]
            for connection in connections where !connection.isHalfOpen {
                for lane in connection.lanes { open[lane.pair, default: 0] += 1 }
            }
            if open != now { owner.shared.withLock { [open] in $0.open = open } }
            turn(rules, up)
        }
        for index in connections.indices { closeBoth(index) }
        for listener in listeners { close(listener.descriptor) }
        close(wake)
    }

    /// Waits for something to do, and does it.
    private mutating func turn(_ rules: [(pairs: Set<LinkPair>, rule: LinkProxies.Rule)], _ up: Int32) {
        let now = ContinuousClock.now
        var wanted = [pollfd(fd: wake, events: Int16(POLLIN), revents: 0)]
        wanted += listeners.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        var timeout = patience
        let effective = connections.map { connection in
            connection.lanes.map { Self.rule(for: $0.pair, rules) }
        }
        for (index, connection) in connections.enumerated() {
            var events: [Int16] = [0, 0]
            for (side, lane) in connection.lanes.enumerated() where !effective[index][side].isCut {
                if !lane.sawEnd, lane.waiting < Lane.capacity { events[side] |= Int16(POLLIN) }
                guard let first = lane.chunks.first, !connection.isHalfOpen else { continue }
                if first.due <= now {
                    events[1 - side] |= Int16(POLLOUT)
                } else {
                    timeout = min(timeout, max(1, Int((first.due - now) / .milliseconds(1)) + 1))
                }
            }
            for side in 0..<2 {
                // With nothing to look for it is left out: a hang-up would be told of again and again.
                let descriptor = events[side] == 0 ? -1 : connection.sides[side]
                wanted.append(pollfd(fd: descriptor, events: events[side], revents: 0))
            }
        }
        guard poll(&wanted, nfds_t(wanted.count), Int32(timeout)) > 0 else { return }
        if wanted[0].revents != 0 { drainWake() }
        let first = 1 + listeners.count
        for index in connections.indices {
            for side in 0..<2 {
                let told = wanted[first + 2 * index + side].revents
                guard told != 0, connections[index].sides[side] >= 0 else { continue }
                let rule = effective[index][side]
                if told & Int16(POLLOUT) != 0 { passOn(index, to: side) }
                guard connections[index].sides[side] >= 0, !rule.isCut else { continue }
                if told & Int16(POLLIN | POLLHUP | POLLERR) != 0 { take(index, from: side, rule) }
            }
        }
        for (place, listener) in listeners.enumerated() where wanted[1 + place].revents != 0 {
            accept(listener, up)
        }
    }

    /// All rules that a link is under, as one.
    private static func rule(
        for pair: LinkPair, _ rules: [(pairs: Set<LinkPair>, rule: LinkProxies.Rule)]
    ) -> LinkProxies.Rule {
        var result = LinkProxies.Rule()
        for (pairs, rule) in rules where pairs.contains(pair) {
            result.isCut = result.isCut || rule.isCut
            result.delayMilliseconds += rule.delayMilliseconds
            result.jitterMilliseconds += rule.jitterMilliseconds
            if rule.bytesPerSecond > 0 {
                result.bytesPerSecond =
                    result.bytesPerSecond == 0
                    ? rule.bytesPerSecond : min(result.bytesPerSecond, rule.bytesPerSecond)
            }
        }
        return result
    }

    private func drainWake() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(wake, &bytes, bytes.count) > 0 {}
    }

    // MARK: Bytes

    private mutating func take(_ index: Int, from side: Int, _ rule: LinkProxies.Rule) {
        let limit =
            rule.bytesPerSecond > 0 ? min(buffer.count, max(512, rule.bytesPerSecond / 50)) : buffer.count
        let count = recv(connections[index].sides[side], &buffer, limit, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else {
            connections[index].lanes[side].sawEnd = true
            if connections[index].isHalfOpen || count < 0 || connections[index].lanes[side].chunks.isEmpty {
                closeBoth(index)
            }
            return
        }
        // Nobody is there any more to whom this would go.
        if connections[index].isHalfOpen { return }
        let now = ContinuousClock.now
        var due = now + .milliseconds(rule.delayMilliseconds)
        if rule.jitterMilliseconds > 0 { due += .milliseconds(random.below(rule.jitterMilliseconds + 1)) }
        // Order is kept: what comes later leaves later.
        due = max(due, connections[index].lanes[side].lastDue)
        if rule.bytesPerSecond > 0 {
            due += .microseconds(count * 1_000_000 / rule.bytesPerSecond)
        }
        connections[index].lanes[side].lastDue = due
        connections[index].lanes[side].chunks.append((due, Array(buffer[..<count])))
        connections[index].lanes[side].waiting += count
        if due <= now { passOn(index, to: 1 - side) }
    }

    /// Sends to one side what is due for it.
    private mutating func passOn(_ index: Int, to side: Int) {
        let lane = 1 - side
        let now = ContinuousClock.now
        while let first = connections[index].lanes[lane].chunks.first, first.due <= now {
            let sent = connections[index].lanes[lane].sent
            let count = first.bytes[sent...].withUnsafeBytes {
                send(
                    connections[index].sides[side], $0.baseAddress, $0.count,
                    Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count < 0 {
                if errno != EAGAIN && errno != EINTR && errno != ENOTCONN { closeBoth(index) }
                return
            }
            connections[index].lanes[lane].waiting -= count
            if sent + count == first.bytes.count {
                connections[index].lanes[lane].chunks.removeFirst()
                connections[index].lanes[lane].sent = 0
            } else {
                connections[index].lanes[lane].sent = sent + count
            }
        }
        if connections[index].lanes[lane].sawEnd, connections[index].lanes[lane].chunks.isEmpty {
            closeBoth(index)
        }
    }

    // MARK: Connections

    private mutating func accept(_ listener: Listener, _ up: Int32) {
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let dialler = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.accept(listener.descriptor, $0, &size)
            }
        }
        guard dialler >= 0 else { return }
        _ = fcntl(dialler, F_SETFD, FD_CLOEXEC)
        _ = fcntl(dialler, F_SETFL, O_NONBLOCK)
        // A node that is not there is told of as it would be without the proxy: the connection breaks.
        let target = owner.shared.withLock { $0.targets[listener.node] } ?? listener.target
        guard let node = LoopbackSocket.connect(port: target) else {
            reset(dialler)
            return
        }
        _ = fcntl(node.descriptor, F_SETFL, O_NONBLOCK)
        for descriptor in [dialler, node.descriptor] {
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        connections.append(
            Connection(
                sides: [dialler, node.descriptor],
                lanes: [
                    Lane(pair: .init(from: Connection.unknown, to: listener.node)),
                    Lane(pair: .init(from: listener.node, to: Connection.unknown)),
                ], port: UInt16(bigEndian: address.sin_port)))
    }

    /// Gives connections whose dialler is not known yet their name.
    private mutating func identify(_ up: Int32) {
        let now = ContinuousClock.now
        for index in connections.indices
        where connections[index].isSearched && now >= connections[index].nextSearch {
            connections[index].nextSearch = now + connections[index].pause
            connections[index].pause = min(connections[index].pause * 2, .milliseconds(200))
            guard let name = ProxyPeers.node(atPort: connections[index].port, of: up) else { continue }
            connections[index].lanes[0].pair.from = name
            connections[index].lanes[1].pair.to = name
        }
    }

    /// How long to sleep at most: not long while someone is to be identified.
    private var patience: Int {
        guard let next = connections.filter(\.isSearched).map(\.nextSearch).min() else { return 1000 }
        return min(1000, max(1, Int((next - .now) / .milliseconds(1)) + 1))
    }

    private mutating func carryOut(_ request: LinkProxies.Request) -> Int {
        var count = 0
        for index in connections.indices where !connections[index].isHalfOpen {
            guard connections[index].lanes.contains(where: { request.pairs.contains($0.pair) }) else {
                continue
            }
            count += 1
            reset(connections[index].sides[1])
            connections[index].sides[1] = -1
            if request.leavingDialer {
                connections[index].isHalfOpen = true
                for lane in 0..<2 { connections[index].lanes[lane].chunks = [] }
            } else {
                reset(connections[index].sides[0])
                connections[index].sides[0] = -1
            }
        }
        return count
    }

    /// Closes with a reset instead of an orderly end.
    private func reset(_ descriptor: Int32) {
        guard descriptor >= 0 else { return }
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Foundation.linger>.size))
        close(descriptor)
    }

    private mutating func closeBoth(_ index: Int) {
        for side in 0..<2 where connections[index].sides[side] >= 0 {
            close(connections[index].sides[side])
            connections[index].sides[side] = -1
        }
    }
}
