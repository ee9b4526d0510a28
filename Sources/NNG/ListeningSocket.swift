internal import CNNG
import Dispatch
import Synchronization

/// nng's listening socket with its accept loop.
///
/// As with connections, no operation is stopped: the loop ends when the closed listener completes its accept.
final class ListeningSocket: Sendable {
    private struct State {
        var operations = 0
        var closed = false
        var disposed = false
    }

    private let onAccept: @Sendable (StreamHandle) -> Void
    private let group: DispatchGroup
    private let pauses = DispatchQueue(label: "varve.nng.accept")
    private let state = Mutex(State())
    nonisolated(unsafe) private var listener: OpaquePointer?
    nonisolated(unsafe) private var operation: OpaquePointer?

    /// The address with the port that was bound.
    let url: String

    /// Binds and listens; throws for a malformed address, a port in use, or unusable TLS files.
    init(
        url: String, tls: TLSSettings?, group: DispatchGroup,
        onAccept: @escaping @Sendable (StreamHandle) -> Void
    ) throws(NNGError) {
        self.onAccept = onAccept
        self.group = group
        var listener: OpaquePointer?
        var operation: OpaquePointer?
        do throws(NNGError) {
            try NNGError.check(nng_stream_listener_alloc(&listener, url), "listen on \(url)")
            if let tls {
                try tls.withConfiguration(.server) { configuration in
                    nng_stream_listener_set_ptr(
                        listener, NNG_OPT_TLS_CONFIG, UnsafeMutableRawPointer(configuration))
                }
            }
            try NNGError.check(nng_stream_listener_listen(listener), "listen on \(url)")
        } catch {
            if let listener { nng_stream_listener_free(listener) }
            throw error
        }
        self.listener = listener
        self.url = ListeningSocket.boundURL(listener, url)
        let code = nng_aio_alloc(
            &operation,
            { argument in
                guard let argument else { return }
                Unmanaged<ListeningSocket>.fromOpaque(argument).takeUnretainedValue().accepted()
            }, Unmanaged.passUnretained(self).toOpaque())
        if code != 0 {
            nng_stream_listener_free(listener)
            throw NNGError(code: code, operation: "listen on \(url)")
        }
        self.operation = operation
        nng_aio_set_timeout(operation, -1)
    }

    /// Replaces port 0 by the port that the system chose.
    private static func boundURL(_ listener: OpaquePointer?, _ url: String) -> String {
        var port: Int32 = 0
        guard nng_stream_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, &port) == 0, port > 0,
            let colon = url.lastIndex(of: ":")
        else { return url }
        return "\(url[...colon])\(port)"
    }

    /// Starts to accept; call once. Retained from here until it is disposed of.
    func start() {
        _ = Unmanaged.passRetained(self)
        group.enter()
        accept()
    }

    private func accept() {
        state.withLock { state in
            guard !state.closed else { return }
            state.operations += 1
            nng_stream_listener_accept(listener, operation)
        }
    }

    private func accepted() {
        let code = nng_aio_result(operation)
        if code == 0, let output = nng_aio_get_output(operation, 0) {
            onAccept(StreamHandle(raw: OpaquePointer(output)))
        }
        let closed = state.withLock { state in
            state.operations -= 1
            return state.closed
        }
        if closed { return close() }
        // Out of descriptors, most likely: trying again at once would spin.
        if code == 0 { accept() } else { pauses.asyncAfter(deadline: .now() + 0.05) { self.accept() } }
    }

    /// Stops listening; returns at once.
    func close() {
        let first = state.withLock { state in
            if state.closed { return false }
            state.closed = true
            state.operations += 1
            return true
        }
        if first { nng_stream_listener_close(listener) }
        let idle = state.withLock { state in
            if first { state.operations -= 1 }
            if state.operations > 0 || state.disposed { return false }
            state.disposed = true
            return true
        }
        guard idle else { return }
        ClosingThreads.run {
            nng_stream_listener_free(self.listener)
            nng_aio_free(self.operation)
            self.group.leave()
            Unmanaged.passUnretained(self).release()
        }
    }
}
