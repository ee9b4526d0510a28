import Cluster
import Foundation
import Synchronization

/// A TCP proxy in front of every node that listens: peers dial it instead of the node, and it does to their bytes what
/// the drill says. It needs no rights.
///
/// Who dials is found out in `/proc`: which process holds the socket at the other end. So a rule can mean one link in
/// one direction. What is cut is held back and goes on after the cut, as TCP itself would send it again.
final class LinkProxies: Sendable {
    struct Rule: Sendable {
        var isCut = false
        var delayMilliseconds = 0
        var jitterMilliseconds = 0
        var bytesPerSecond = 0
    }
    struct Request: Sendable {
        var pairs: Set<LinkPair>
        var leavingDialer: Bool
    }
    struct Shared {
        var rules: [Int: (pairs: Set<LinkPair>, rule: Rule)] = [:]
        var nextRule = 1
        var requests: [Request] = []
        var answers: [Int] = []
        var open: [LinkPair: Int] = [:]
        /// Nodes that are to be found elsewhere than at their own port.
        var targets: [String: UInt16] = [:]
        var up: Int32 = 0
        var stopped = false
    }

    /// What `varve up` is told, so that nodes are dialled here.
    let arguments: [String]
    let shared = Mutex(Shared())
    private let wakeWriter: Int32
    private let ended = DispatchSemaphore(value: 0)
    private let answered = DispatchSemaphore(value: 0)

    struct Failure: Error { let sentence: String }

    init(configuration: ClusterConfiguration, folder: String) throws(Failure) {
        var endpoints = NodeEndpoints()
        var listeners: [ProxyLoop.Listener] = []
        var taken: Set<UInt16> = []
        let nodes = [NodeRole.coordinator, .shard, .store].flatMap { $0.nodes(in: configuration) }
        func abandon(_ sentence: String) -> Failure {
            for listener in listeners { close(listener.descriptor) }
            return Failure(sentence: sentence)
        }
        for node in nodes {
            guard let own = Self.listen(), let port = Self.freePort(&taken) else {
                throw abandon("there is no free port")
            }
            listeners.append(.init(descriptor: own.descriptor, node: node, target: port))
            endpoints.nodes[node] = .init(bind: "tcp://127.0.0.1:\(port)", advertise: "127.0.0.1:\(own.port)")
        }
        let path = folder + "/endpoints.json"
        do { try endpoints.json().write(toFile: path, atomically: false, encoding: .utf8) } catch {
            throw abandon("can't write \(path)")
        }
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw abandon("there is no pipe left") }
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        arguments = ["--endpoints", path]
        wakeWriter = ends[1]
        let reader = ends[0]
        let seed = UInt64(listeners.count)
        let opened = listeners
        let thread = Thread { [self] in
            var loop = ProxyLoop(owner: self, listeners: opened, wake: reader, seed: seed)
            loop.run()
            ended.signal()
        }
        thread.name = "proxy"
        thread.start()
    }

    /// Tells which `varve up` the nodes belong to.
    func serve(_ up: Int32) { shared.withLock { $0.up = up } }

    func add(_ rule: Rule, on pairs: [LinkPair]) -> Int {
        let id = shared.withLock { shared in
            let id = shared.nextRule
            shared.nextRule += 1
            shared.rules[id] = (Set(pairs), rule)
            return id
        }
        wake()
        return id
    }

    func remove(_ id: Int) {
        shared.withLock { _ = $0.rules.removeValue(forKey: id) }
        wake()
    }

    /// New connections to a node go to another port; nil: to its own again.
    func lead(_ node: String, to port: UInt16?) { shared.withLock { $0.targets[node] = port } }

    /// The pairs over which no connection is open.
    func idle(_ pairs: [LinkPair]) -> [LinkPair] {
        shared.withLock { shared in pairs.filter { shared.open[$0] == nil } }
    }

    /// Resets the connections of these links; with `leavingDialer` only towards the node that was dialled.
    func breakConnections(_ pairs: [LinkPair], leavingDialer: Bool) -> Int {
        shared.withLock { $0.requests.append(.init(pairs: Set(pairs), leavingDialer: leavingDialer)) }
        wake()
        guard answered.wait(timeout: .now() + 5) == .success else { return 0 }
        return shared.withLock { $0.answers.isEmpty ? 0 : $0.answers.removeFirst() }
    }

    func answer(_ count: Int) {
        shared.withLock { $0.answers.append(count) }
        answered.signal()
    }

    func stop() {
        let was = shared.withLock { shared in
            defer { shared.stopped = true }
            return shared.stopped
        }
        guard !was else { return }
        wake()
        ended.wait()
        close(wakeWriter)
    }

    private func wake() {
        var byte: UInt8 = 1
        _ = write(wakeWriter, &byte, 1)
    }

    // MARK: Ports

    /// A listening socket at a port that the system chooses.
    private static func listen() -> (descriptor: Int32, port: UInt16)? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        guard let port = bind(descriptor, port: 0), Foundation.listen(descriptor, 128) == 0 else {
            close(descriptor)
            return nil
        }
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        return (descriptor, port)
    }

    private static func bind(_ descriptor: Int32, port: UInt16) -> UInt16? {
        var address = loopback(port: port)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard Foundation.bind(descriptor, address, size) == 0,
                    getsockname(descriptor, address, &size) == 0
                else { return nil }
                return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                    UInt16(bigEndian: $0.pointee.sin_port)
                }
            }
        }
    }

    static func unusedPort() -> UInt16? {
        var taken: Set<UInt16> = []
        return freePort(&taken)
    }

    /// A port below those that the system gives to outgoing connections: a node that is started anew binds it again.
    private static func freePort(_ taken: inout Set<UInt16>) -> UInt16? {
        for _ in 0..<200 {
            let port = UInt16.random(in: 20_000..<32_768)
            guard taken.insert(port).inserted else { continue }
            let probe = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            defer { close(probe) }
            if bind(probe, port: port) != nil { return port }
        }
        return nil
    }
}
