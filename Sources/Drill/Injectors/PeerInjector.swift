import Foundation

/// Strangers that speak to a node's port: nonsense, impossible lengths, greetings that never end.
struct PeerInjector {
    let scene: Scene

    func send(_ kind: FaultKind, to nodes: [String], count: Int) throws(NotInjected) -> Injection {
        let ports = try self.ports(of: nodes)
        for (node, port) in ports {
            for _ in 0..<count {
                guard let socket = LoopbackSocket.connect(port: port) else {
                    throw NotInjected("\(node) does not accept at port \(port)")
                }
                defer { socket.close() }
                socket.send(kind == .garbage ? garbage() : Self.oversize)
                guard socket.isClosedByPeer(withinMilliseconds: 10_000) else {
                    // The bytes arrived, and the node still listens to whoever sent them: that is a finding.
                    throw NotInjected("\(node) kept a connection that sent \(kind.rawValue) for 10 s")
                }
            }
        }
        let what = kind == .garbage ? "64 KiB of random bytes" : "a frame that says it has 2^62 bytes"
        return Injection(
            nodes: nodes, sentence: "\(count) connections to \(nodes.joined(separator: ", ")) sent \(what)",
            heal: nil)
    }

    func stall(_ nodes: [String], count: Int) throws(NotInjected) -> Injection {
        var sockets: [LoopbackSocket] = []
        for (node, port) in try ports(of: nodes) {
            for _ in 0..<count {
                guard let socket = LoopbackSocket.connect(port: port) else {
                    for socket in sockets { socket.close() }
                    throw NotInjected("\(node) does not accept at port \(port)")
                }
                // The first bytes of a greeting, and never the rest.
                socket.send([0, 0x53, 0x50])
                sockets.append(socket)
            }
        }
        let held = sockets
        return Injection(
            nodes: nodes,
            sentence:
                "\(count) connections to each of \(nodes.joined(separator: ", ")) began to greet and fell silent"
        ) {
            for socket in held { socket.close() }
            return nil
        }
    }

    private func ports(of nodes: [String]) throws(NotInjected) -> [(String, UInt16)] {
        let limit = ContinuousClock.now + .milliseconds(10_000)
        while true {
            let known = scene.cluster.status()?.nodes ?? [:]
            let found = nodes.compactMap { node -> (String, UInt16)? in
                guard let port = known[node]?.endpoint?.split(separator: ":").last.flatMap({ UInt16($0) })
                else {
                    return nil
                }
                return (node, port)
            }
            if found.count == nodes.count { return found }
            guard ContinuousClock.now < limit, scene.cluster.up.exitCode == nil else {
                let missing = nodes.filter { node in !found.contains { $0.0 == node } }
                throw NotInjected("the coordinator names no address of \(missing.joined(separator: ", "))")
            }
            usleep(50_000)
        }
    }

    private func garbage() -> [UInt8] {
        scene.run.state.withLock { state in
            (0..<65_536).map { _ in UInt8(truncatingIfNeeded: state.random.next()) }
        }
    }

    /// A proper greeting, then a length that nobody can mean.
    private static let oversize: [UInt8] =
        [0, 0x53, 0x50, 0, 0, 0x30, 0, 0] + [0x40, 0, 0, 0, 0, 0, 0, 0] + [0x80, 0, 0, 1]
        + [UInt8](repeating: 0x55, count: 4096)
}

/// A plain TCP connection on this machine.
struct LoopbackSocket: Sendable {
    let descriptor: Int32

    static func connect(port: UInt16) -> LoopbackSocket? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var address = loopback(port: port)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard connected else {
            Foundation.close(descriptor)
            return nil
        }
        return LoopbackSocket(descriptor: descriptor)
    }

    /// What the peer does not take is nobody's loss.
    func send(_ bytes: [UInt8]) {
        _ = Foundation.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
    }

    /// Reads whatever comes until the other side closes.
    func isClosedByPeer(withinMilliseconds: Int) -> Bool {
        let limit = ContinuousClock.now + .milliseconds(withinMilliseconds)
        var buffer = [UInt8](repeating: 0, count: 4096)
        while ContinuousClock.now < limit {
            var wanted = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&wanted, 1, 100) > 0 else { continue }
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return true }
        }
        return false
    }

    func close() { Foundation.close(descriptor) }
}

func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}
