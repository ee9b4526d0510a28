internal import CNNG
import Dispatch
import Synchronization

/// One attempt to connect, with an nng dialer of its own: a stuck attempt is left behind and never reused.
final class DialAttempt: Sendable {
    private let onOutcome: @Sendable (StreamHandle?) -> Void
    private let group: DispatchGroup
    private let state = Mutex(false)
    /// Set in `start`, freed after the outcome.
    nonisolated(unsafe) private var dialer: OpaquePointer?
    nonisolated(unsafe) private var operation: OpaquePointer?

    /// `onOutcome` runs once on a thread of nng with the stream, or nil when there is none.
    init(group: DispatchGroup, onOutcome: @escaping @Sendable (StreamHandle?) -> Void) {
        self.group = group
        self.onOutcome = onOutcome
    }

    /// Starts to connect; throws when the address or the TLS files are unusable, and then has no outcome.
    func start(url: String, tls: TLSSettings?) throws(NNGError) {
        do throws(NNGError) {
            try NNGError.check(nng_stream_dialer_alloc(&dialer, url), "dial \(url)")
            if let tls, let dialer {
                try tls.withConfiguration(.client) { configuration in
                    nng_stream_dialer_set_ptr(
                        dialer, NNG_OPT_TLS_CONFIG, UnsafeMutableRawPointer(configuration))
                }
            }
            let context = Unmanaged.passUnretained(self).toOpaque()
            let code = nng_aio_alloc(
                &operation,
                { argument in
                    guard let argument else { return }
                    Unmanaged<DialAttempt>.fromOpaque(argument).takeUnretainedValue().finished()
                }, context)
            try NNGError.check(code, "dial \(url)")
        } catch {
            if let dialer { nng_stream_dialer_free(dialer) }
            throw error
        }
        nng_aio_set_timeout(operation, -1)
        _ = Unmanaged.passRetained(self)
        group.enter()
        nng_stream_dialer_dial(dialer, operation)
    }

    /// Gives up; the outcome, if it comes at all, is nil.
    func cancel() {
        state.withLock { finished in
            // Under the lock, so that the dialer is not freed meanwhile; the callback takes the lock first too.
            if !finished { nng_stream_dialer_close(dialer) }
        }
    }

    private func finished() {
        let first = state.withLock { finished in
            defer { finished = true }
            return !finished
        }
        guard first else { return }
        var stream: StreamHandle?
        if nng_aio_result(operation) == 0, let output = nng_aio_get_output(operation, 0) {
            stream = StreamHandle(raw: OpaquePointer(output))
        }
        onOutcome(stream)
        ClosingThreads.run {
            nng_stream_dialer_close(self.dialer)
            nng_stream_dialer_free(self.dialer)
            nng_aio_free(self.operation)
            self.group.leave()
            Unmanaged.passUnretained(self).release()
        }
    }
}
