import CNNG
import Glibc
import NNG
import Synchronization

/// The child that is killed: an echo server, or a client that asks without end.
enum Peer {
    static func run(_ options: Options) {
        let url = "tcp://127.0.0.1:\(options.port)"
        if options.victim == "client" {
            let traffic = Traffic(url: url, inFlight: options.inFlight)
            Processes.waitForParentsEnd()
            traffic.close()
            return
        }
        switch options.candidate {
        case .dialer:
            guard let server = EchoListener(url: url) else { exit(3) }
            Processes.waitForParentsEnd()
            server.close()
        case .raw: echo(url, nng_rep0_open_raw)
        case .req: echo(url, nng_rep0_open)
        case .pair0: echo(url, nng_pair0_open)
        }
    }

    /// Receives and sends back on one socket of nng, on a thread of its own.
    private static func echo(_ url: String, _ open: (UnsafeMutablePointer<nng_socket>) -> Int32) {
        var socket = nng_socket()
        guard open(&socket) == 0 else { exit(3) }
        nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 1 << 20)
        // A port is free again at once after its owner was killed, but not always within the same millisecond.
        var attempts = 0
        while nng_listen(socket, url, nil, 0) != 0 {
            attempts += 1
            if attempts > 100 { exit(3) }
            usleep(5000)
        }
        nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, 1000)
        nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 200)
        let parent = getppid()
        while getppid() == parent {
            var message: OpaquePointer?
            guard nng_recvmsg(socket, &message, 0) == 0, let message else { continue }
            if nng_sendmsg(socket, message, 0) != 0 { nng_msg_free(message) }
        }
    }
}

/// A listener that sends every message back.
final class EchoListener: Sendable {
    private let box = Mutex<Listener?>(nil)
    /// Called with the first 8 bytes of every message.
    private let onMessage: @Sendable (UInt64) -> Void

    init?(url: String, onMessage: @escaping @Sendable (UInt64) -> Void = { _ in }) {
        self.onMessage = onMessage
        for _ in 0..<100 {
            let made = try? Listener(
                url: url,
                onMessage: { [weak self] peer, message in self?.answer(peer, message) })
            if let made {
                box.withLock { $0 = made }
                return
            }
            usleep(5000)
        }
        return nil
    }

    var listener: Listener? { box.withLock { $0 } }

    private func answer(_ peer: PeerID, _ message: ReceivedMessage) {
        let tag = message.withUnsafeBytes { $0.count >= 8 ? $0.loadUnaligned(as: UInt64.self) : 0 }
        onMessage(tag)
        message.withUnsafeBytes { _ = listener?.send(to: peer, parts: [$0]) }
    }

    func close() { listener?.close() }
}
