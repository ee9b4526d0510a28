internal import CNNG
import Dispatch
import Synchronization

/// One connected stream: greeting, a receive loop, and a send queue that leaves several messages at a time.
///
/// nng's own sockets stop an operation while another thread may be starting it, and in the versions before 1.6
/// that loses the operation's completion and stops the process-wide reaper for good. Here no operation is ever
/// stopped or timed out by nng:
/// - An operation is started only under the lock and only while `closed` is false.
/// - `close()` sets `closed` under the lock, and closes the stream after that: what was started completes.
/// - The stream and its operations are freed once, by a thread of their own, when none is under way.
final class Connection: Sendable {
    /// Run on nng's threads without any lock held; one call at a time for one connection.
    struct Handlers: Sendable {
        var onReady: @Sendable (Connection) -> Void
        var onMessage: @Sendable (Connection, MessageBuffer) -> Void
        var onClosed: @Sendable (Connection) -> Void
    }

    /// Messages that leave in one system call at most: the most vectors that an operation of nng takes.
    static let batchLimit = 8

    /// Where a thread waits for a send that the kernel did not take at once: one of its own for each connection that
    /// is jammed, so that they don't wait for each other.
    private let jam = DispatchQueue(label: "varve.nng.jam")

    /// A message on its way into the kernel; `rest` is what the kernel has not taken.
    struct Departure {
        var buffer: MessageBuffer
        var rest: UnsafeMutableRawBufferPointer
        var isGreeting = false
    }

    struct State {
        var queue = SendQueue()
        var batch: [Departure] = []
        var batchBytes = 0
        var sending = false
        var operations = 0
        var ready = false
        /// A send failed: nothing more is sent, and who saw it closes the connection.
        var broken = false
        var closed = false
        var disposed = false
        var counters = EndpointCounters()
        var nextWord: UInt32 = 1
        var opened = Monotonic.now
    }

    let number: UInt64
    let role: Frame.Role
    let settings: EndpointSettings
    let handlers: Handlers
    let group: DispatchGroup
    let state = Mutex(State())
    /// The handles are set in `init` and freed in `dispose`, when no operation is under way.
    let stream: StreamHandle
    nonisolated(unsafe) var sendOperation: OpaquePointer?
    nonisolated(unsafe) var receiveOperation: OpaquePointer?
    /// Touched by the one receive operation only.
    nonisolated(unsafe) var reader: FrameReader

    private static let numbers = Atomic<UInt64>(1)

    /// Takes the stream in any case: it is freed here when there is no memory for the rest.
    init(
        stream: StreamHandle, role: Frame.Role, settings: EndpointSettings, group: DispatchGroup,
        handlers: Handlers
    ) throws(NNGError) {
        number = Connection.numbers.add(1, ordering: .relaxed).oldValue
        self.stream = stream
        self.role = role
        self.settings = settings
        self.group = group
        self.handlers = handlers
        reader = FrameReader(role: role, maxBodyBytes: settings.maxReceiveBytes)
        let context = Unmanaged.passUnretained(self).toOpaque()
        // Sends have no callback: nearly all complete within the call that starts them, and nng would wake one of its
        // threads only to say so.
        var code = nng_aio_alloc(&sendOperation, nil, nil)
        if code == 0 { code = nng_aio_alloc(&receiveOperation, Connection.receiveCallback, context) }
        if code != 0 {
            if let sendOperation { nng_aio_free(sendOperation) }
            nng_stream_free(stream.raw)
            throw NNGError(code: code, operation: "prepare a connection")
        }
        nng_aio_set_timeout(sendOperation, -1)
        nng_aio_set_timeout(receiveOperation, -1)
        // Until it is disposed of, which may come before the start.
        _ = Unmanaged.passRetained(self)
        group.enter()
    }

    private static let receiveCallback: @convention(c) (UnsafeMutableRawPointer?) -> Void = { argument in
        guard let argument else { return }
        Unmanaged<Connection>.fromOpaque(argument).takeUnretainedValue().received()
    }

    /// Greets the peer and starts to receive; call once.
    func start() {
        let started = state.withLock { state in
            guard !state.closed, let buffer = MessageBuffer.allocate(count: 0) else { return false }
            let greeting = Frame.greeting(role)
            let bytes = UnsafeMutableRawBufferPointer(start: buffer.base, count: greeting.count)
            bytes.copyBytes(from: greeting)
            state.batch = [Departure(buffer: buffer, rest: bytes, isGreeting: true)]
            startReceive(&state)
            return startNext(&state)
        }
        if !started { close() }
    }

    // MARK: Sending

    /// Takes the buffer when the outcome is `queued`; otherwise it stays the caller's.
    func offer(_ buffer: MessageBuffer) -> SendOutcome {
        let (outcome, sound) = state.withLock { state -> (SendOutcome, Bool) in
            if state.closed { return (.gone, true) }
            guard state.queue.append(buffer, settings) else {
                state.counters.refusedFull += 1
                return (.queueFull, true)
            }
            return (.queued, startNext(&state))
        }
        // The caller may hold a lock that closing takes.
        if !sound { jam.async { self.close() } }
        return outcome
    }

    /// Takes items that another queue has admitted, in front of anything offered later. Only from `onReady`: the
    /// caller holds a lock, so that a connection that breaks here is closed by the receive loop that called it.
    func adopt(_ queue: inout SendQueue) {
        state.withLock { state in
            while let item = queue.popFirst() { state.queue.append(item) }
            _ = startNext(&state)
        }
    }

    /// Sends what is queued until there is nothing left or the kernel takes no more, unless a send is under way.
    ///
    /// - Returns: false when the connection is broken: the caller closes it, without the lock.
    func startNext(_ state: inout State) -> Bool {
        // Nobody holds the lock for the whole of a long queue.
        var budget = 4
        while !state.sending, !state.closed, !state.broken {
            if state.batch.isEmpty, state.ready { fillBatch(&state) }
            guard !state.batch.isEmpty else { return true }
            guard budget > 0 else {
                state.sending = true
                state.operations += 1
                jam.async { self.goOn { $0.operations -= 1 } }
                return true
            }
            budget -= 1
            startSend(&state)
            // nng sets the count or the result only when a send ends, so waiting takes no time then.
            guard nng_aio_count(sendOperation) > 0 || nng_aio_result(sendOperation) != 0 else {
                jam.async {
                    nng_aio_wait(self.sendOperation)
                    self.goOn { self.retire(&$0) }
                }
                return true
            }
            nng_aio_wait(sendOperation)
            retire(&state)
        }
        return !state.broken
    }

    /// Takes the send back from the thread for jams.
    private func goOn(_ ended: (inout State) -> Void) {
        let sound = state.withLock { state in
            ended(&state)
            state.sending = false
            return startNext(&state) && !state.closed
        }
        if !sound { close() }
    }

    private func fillBatch(_ state: inout State) {
        state.counters.droppedLate += state.queue.dropExpired(now: .now)
        while state.batch.count < Connection.batchLimit, let item = state.queue.popFirst() {
            state.batch.append(
                Departure(buffer: item.buffer, rest: Frame.seal(item.buffer, word: word(&state))))
            state.batchBytes += item.buffer.count
            // A large body fills a system call alone; what is behind it stays subject to its deadline.
            if state.batchBytes >= 256 << 10 { break }
        }
    }

    /// A client numbers its messages; a server repeats the last word of its peer.
    private func word(_ state: inout State) -> UInt32 {
        if role == .client { state.nextWord = (state.nextWord &+ 1) & ~Frame.wordMark }
        return state.nextWord
    }

    private func startSend(_ state: inout State) {
        state.sending = true
        state.operations += 1
        let code = withUnsafeTemporaryAllocation(of: nng_iov.self, capacity: Connection.batchLimit) {
            vectors in
            for (index, item) in state.batch.enumerated() {
                vectors[index] = nng_iov(iov_buf: item.rest.baseAddress, iov_len: item.rest.count)
            }
            return nng_aio_set_iov(sendOperation, UInt32(state.batch.count), vectors.baseAddress)
        }
        precondition(code == 0, "nng takes 8 vectors")
        nng_stream_send(stream.raw, sendOperation)
    }

    /// Takes off the batch what the kernel has taken.
    private func retire(_ state: inout State) {
        state.operations -= 1
        state.sending = false
        guard nng_aio_result(sendOperation) == 0 else {
            state.broken = true
            return
        }
        var left = nng_aio_count(sendOperation)
        var done = 0
        while done < state.batch.count, left >= state.batch[done].rest.count {
            let item = state.batch[done]
            left -= item.rest.count
            if !item.isGreeting {
                state.counters.sentMessages += 1
                state.counters.sentBytes += UInt64(item.buffer.count)
            }
            state.batchBytes -= item.buffer.count
            item.buffer.free()
            done += 1
        }
        state.batch.removeFirst(done)
        if left > 0, !state.batch.isEmpty {
            state.batch[0].rest = UnsafeMutableRawBufferPointer(rebasing: state.batch[0].rest[left...])
        }
    }
}

/// nng's pointer to a stream. Unchecked: nng's streams are safe to use from any thread until they are freed.
struct StreamHandle: @unchecked Sendable {
    let raw: OpaquePointer

    /// Drops a stream on which nothing was started.
    func closeAndFree() {
        nng_stream_close(raw)
        ClosingThreads.run { nng_stream_free(self.raw) }
    }
}
