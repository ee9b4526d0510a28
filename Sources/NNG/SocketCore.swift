internal import CNNG
import Dispatch
import Synchronization

/// nng's socket by value; nng checks the id in every call, so a closed one is an error and not a crash.
struct SocketHandle: @unchecked Sendable {
    let raw: nng_socket
}

/// One open nng socket with its receive loop, its send pump and its pipe notifications.
///
/// Invariants
/// - One receive operation is under way at a time, so the order of each connection is kept.
/// - The core stays retained from `open` until a closing thread has closed the socket and freed the operations:
///   nng's callbacks never see a freed context, not even when `nng_close` never returns.
final class SocketCore: Sendable {
    enum PipeEvent: Sendable {
        case added
        case removed
    }

    /// Run on nng's threads; must not block and must not close anything.
    struct Handlers: Sendable {
        var onMessage: @Sendable (MessageHandle) -> Void
        var onPipe: @Sendable (UInt32, PipeEvent) -> Void
    }

    let socket: SocketHandle
    let pump: SendPump
    private let handlers: Handlers
    private let closed = Atomic<Bool>(false)
    /// Set once in `init`, before the first receive.
    nonisolated(unsafe) private var receiveOperation: OpaquePointer?

    /// Opens a raw socket with every limit set; nothing is connected yet.
    init(kind: SendPump.Kind, settings: EndpointSettings, handlers: Handlers) throws(NNGError) {
        var raw = nng_socket()
        let opened =
            switch kind {
            case .dialer: nng_req0_open_raw(&raw)
            case .listener: nng_rep0_open_raw(&raw)
            }
        try NNGError.check(opened, "open a socket")
        let socket = SocketHandle(raw: raw)
        do throws(NNGError) {
            try SocketCore.limit(socket, settings)
            pump = try SendPump(socket: socket, kind: kind, settings: settings)
        } catch {
            nng_close(raw)
            throw error
        }
        self.socket = socket
        self.handlers = handlers
        let context = Unmanaged.passRetained(self).toOpaque()
        var code = nng_aio_alloc(&receiveOperation, SocketCore.receiveCallback, context)
        for event in [NNG_PIPE_EV_ADD_PRE, NNG_PIPE_EV_REM_POST] where code == 0 {
            code = nng_pipe_notify(raw, event, SocketCore.pipeCallback, context)
        }
        if code != 0 {
            retire()
            throw NNGError(code: code, operation: "prepare a socket")
        }
    }

    private static func limit(_ socket: SocketHandle, _ settings: EndpointSettings) throws(NNGError) {
        let raw = socket.raw
        // The header travels in front of the body: 4 bytes of ours, a little room for later versions.
        let largest = settings.maxReceiveBytes + 64
        try NNGError.check(nng_socket_set_size(raw, NNG_OPT_RECVMAXSZ, largest), "limit received messages")
        try NNGError.check(
            nng_socket_set_ms(raw, NNG_OPT_RECONNMINT, settings.reconnectMinMilliseconds),
            "set the shortest reconnect time")
        try NNGError.check(
            nng_socket_set_ms(raw, NNG_OPT_RECONNMAXT, settings.reconnectMaxMilliseconds),
            "set the longest reconnect time")
    }

    /// Starts the receive loop; call once, before dialing or listening.
    func startReceiving() {
        nng_aio_set_timeout(receiveOperation, -1)
        nng_recv_aio(socket.raw, receiveOperation)
    }

    private static let receiveCallback: @convention(c) (UnsafeMutableRawPointer?) -> Void = { argument in
        guard let argument else { return }
        Unmanaged<SocketCore>.fromOpaque(argument).takeUnretainedValue().received()
    }

    private static let pipeCallback: nng_pipe_cb = { pipe, event, argument in
        guard let argument else { return }
        let core = Unmanaged<SocketCore>.fromOpaque(argument).takeUnretainedValue()
        core.handlers.onPipe(pipe.id, event == NNG_PIPE_EV_REM_POST ? .removed : .added)
    }

    private func received() {
        let code = nng_aio_result(receiveOperation)
        if code == 0, let message = nng_aio_get_msg(receiveOperation) {
            nng_aio_set_msg(receiveOperation, nil)
            handlers.onMessage(MessageHandle(raw: message))
        }
        if code == NNGError.Code.closed || code == NNGError.Code.canceled || closed.load(ordering: .acquiring)
        {
            return
        }
        nng_recv_aio(socket.raw, receiveOperation)
    }

    /// Closes the socket on a thread of its own; the group is left when nng is done, which may be never.
    @discardableResult
    func retire() -> DispatchGroup {
        let group = DispatchGroup()
        guard !closed.exchange(true, ordering: .acquiringAndReleasing) else { return group }
        pump.stop()
        group.enter()
        ClosingThreads.run {
            nng_close(self.socket.raw)
            if let operation = self.receiveOperation {
                nng_aio_stop(operation)
                nng_aio_free(operation)
            }
            self.pump.free()
            group.leave()
            Unmanaged.passUnretained(self).release()
        }
        return group
    }
}

extension SocketCore {
    /// The address of a started listener, with the port that the system chose.
    static func boundURL(_ listener: nng_listener) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        guard nng_listener_get_string(listener, NNG_OPT_URL, &text) == 0, let text else { return nil }
        defer { nng_strfree(text) }
        return String(cString: text)
    }
}
