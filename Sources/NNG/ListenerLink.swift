import Dispatch
import Synchronization

/// The shared state behind a `Listener`.
///
/// Invariants
/// - A peer is in `peers` from its greeting until it is reported as closed, and messages come only in between.
/// - Lock order: this state, then a connection. Neither is held while a handler of the caller runs.
final class ListenerLink: Sendable {
    private struct State {
        var socket: ListeningSocket?
        var peers: [UInt64: Connection] = [:]
        var greeting: [UInt64: Connection] = [:]
        var counters = EndpointCounters()
        var closed = false
    }

    private let settings: EndpointSettings
    private let onMessage: @Sendable (PeerID, ReceivedMessage) -> Void
    private let onPeerClosed: @Sendable (PeerID) -> Void
    private let events = DispatchQueue(label: "varve.nng.listener")
    private let group = DispatchGroup()
    private let state = Mutex(State())
    private let timer: WatchTimer

    init(
        settings: EndpointSettings, onMessage: @escaping @Sendable (PeerID, ReceivedMessage) -> Void,
        onPeerClosed: @escaping @Sendable (PeerID) -> Void
    ) throws(NNGError) {
        try settings.validate()
        self.settings = settings
        self.onMessage = onMessage
        self.onPeerClosed = onPeerClosed
        timer = WatchTimer(queue: DispatchQueue(label: "varve.nng.sweeping"))
    }

    var peers: [PeerID] { state.withLock { $0.peers.keys.sorted().map(PeerID.init(number:)) } }

    var counters: EndpointCounters {
        let (own, open) = state.withLock { ($0.counters, Array($0.peers.values)) }
        return open.reduce(own) { $0.adding($1.counters) }
    }

    func connection(_ peer: PeerID) -> Connection? { state.withLock { $0.peers[peer.number] } }

    /// Binds and starts; returns the address with its real port.
    func start(_ url: String) throws(NNGError) -> String {
        try settings.checkTransport(url)
        let socket = try ListeningSocket(url: url, tls: settings.tls, group: group) { [weak self] stream in
            if let self { self.accepted(stream) } else { stream.closeAndFree() }
        }
        state.withLock { $0.socket = socket }
        socket.start()
        timer.start(everyMilliseconds: 250) { [weak self] in self?.sweep() }
        return socket.url
    }

    // MARK: Sending

    func offer(_ peer: PeerID, _ parts: [UnsafeRawBufferPointer]) -> SendOutcome {
        var count = 0
        for part in parts { count += part.count }
        guard count <= settings.maxReceiveBytes else { return refuseOversize() }
        guard let connection = connection(peer) else { return refuseGone() }
        guard let buffer = MessageBuffer.joining(parts, count: count) else { return .noMemory }
        return offer(connection, buffer)
    }

    func offer(_ peer: PeerID, _ buffer: MessageBuffer) -> SendOutcome {
        guard buffer.count <= settings.maxReceiveBytes else {
            buffer.free()
            return refuseOversize()
        }
        guard let connection = connection(peer) else {
            buffer.free()
            return refuseGone()
        }
        return offer(connection, buffer)
    }

    private func offer(_ connection: Connection, _ buffer: MessageBuffer) -> SendOutcome {
        let outcome = connection.offer(buffer)
        if outcome != .queued { buffer.free() }
        return outcome == .gone ? refuseGone() : outcome
    }

    private func refuseOversize() -> SendOutcome {
        state.withLock { $0.counters.refusedOversize += 1 }
        return .oversize
    }

    private func refuseGone() -> SendOutcome {
        state.withLock { $0.counters.refusedGone += 1 }
        return .gone
    }

    // MARK: Connections

    private func accepted(_ stream: StreamHandle) {
        let handlers = Connection.Handlers(
            onReady: { [weak self] in self?.ready($0) },
            onMessage: { [weak self] connection, buffer in
                let message = ReceivedMessage(owning: buffer)
                self?.onMessage(PeerID(number: connection.number), message)
            },
            onClosed: { [weak self] in self?.closed($0) })
        let made = try? Connection(
            stream: stream, role: .server, settings: settings, group: group, handlers: handlers)
        guard let connection = made else { return }
        let wanted = state.withLock { state in
            guard !state.closed, state.peers.count + state.greeting.count < settings.connectionLimit else {
                return false
            }
            state.greeting[connection.number] = connection
            return true
        }
        connection.start()
        if !wanted { connection.close() }
    }

    private func ready(_ connection: Connection) {
        let wanted = state.withLock { state in
            guard !state.closed, state.greeting.removeValue(forKey: connection.number) != nil else {
                return false
            }
            state.peers[connection.number] = connection
            state.counters.connections += 1
            return true
        }
        if !wanted { connection.close() }
    }

    private func closed(_ connection: Connection) {
        let last = connection.counters
        let known = state.withLock { state in
            state.greeting.removeValue(forKey: connection.number)
            guard state.peers.removeValue(forKey: connection.number) != nil else { return false }
            state.counters = state.counters.adding(last)
            state.counters.disconnections += 1
            return true
        }
        if known { events.async { self.onPeerClosed(PeerID(number: connection.number)) } }
    }

    /// Drops late messages, and connections whose greeting does not come.
    private func sweep() {
        let now = Monotonic.now
        let connections = state.withLock { Array($0.peers.values) + Array($0.greeting.values) }
        for connection in connections { connection.sweep(now: now) }
    }

    func close(waiting: Bool) {
        timer.cancel()
        let (socket, connections) = state.withLock { state in
            state.closed = true
            return (state.socket, Array(state.peers.values) + Array(state.greeting.values))
        }
        socket?.close()
        for connection in connections { connection.close() }
        if waiting {
            _ = group.wait(timeout: .now() + .milliseconds(settings.closeDeadlineMilliseconds))
        }
    }
}
