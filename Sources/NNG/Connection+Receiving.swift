internal import CNNG
import Synchronization

extension Connection {
    /// Reads into the space that the reader names. Only under the lock, while not closed.
    func startReceive(_ state: inout State) {
        state.operations += 1
        let space = reader.space()
        var vector = nng_iov(iov_buf: space.baseAddress, iov_len: space.count)
        let code = nng_aio_set_iov(receiveOperation, 1, &vector)
        precondition(code == 0, "nng takes one vector")
        nng_stream_recv(stream.raw, receiveOperation)
    }

    func received() {
        let code = nng_aio_result(receiveOperation)
        let count = nng_aio_count(receiveOperation)
        var sound = code == 0 && count > 0
        if sound {
            reader.advance(count)
            sound = deliver()
        }
        let finished = state.withLock { state -> Bool in
            state.operations -= 1
            guard sound, !state.closed, !state.broken else { return true }
            startReceive(&state)
            return false
        }
        if finished { close() }
    }

    /// Hands out every complete message; false when the connection can't go on.
    private func deliver() -> Bool {
        while true {
            switch reader.next() {
            case .needsMore: return true
            case .broken, .noMemory: return false
            case .greeted:
                let sound = state.withLock { state in
                    state.ready = true
                    return startNext(&state)
                }
                guard sound else { return false }
                handlers.onReady(self)
            case .message(let buffer, let word):
                let deliver = state.withLock { state in
                    if role == .server { state.nextWord = word }
                    if state.closed { return false }
                    state.counters.receivedMessages += 1
                    state.counters.receivedBytes += UInt64(buffer.count)
                    return true
                }
                guard deliver else {
                    buffer.free()
                    return false
                }
                handlers.onMessage(self, buffer)
            }
        }
    }
}

extension Connection {
    var counters: EndpointCounters { state.withLock { $0.counters } }

    /// Messages that have not left, those in the system call included.
    var backlog: Int { state.withLock { $0.queue.count + $0.batch.count } }

    /// Drops what is late; closes a connection whose peer has not greeted in time.
    func sweep(now: Monotonic) {
        let stalled = state.withLock { state in
            state.counters.droppedLate += state.queue.dropExpired(now: now)
            let limit = state.opened.adding(milliseconds: settings.sendDeadlineMilliseconds)
            return !state.ready && limit <= now
        }
        if stalled { close() }
    }

    /// Ends the connection; returns at once. `onClosed` follows when nothing is under way any more.
    func close() {
        let first = state.withLock { state in
            if state.closed { return false }
            state.closed = true
            // Closing is an operation too: the stream must not be freed under it.
            state.operations += 1
            return true
        }
        if first { nng_stream_close(stream.raw) }
        let idle = state.withLock { state in
            if first { state.operations -= 1 }
            if state.operations > 0 || state.disposed { return false }
            state.disposed = true
            return true
        }
        if idle { dispose() }
    }

    /// Frees everything on a thread of its own, since nng may wait there for its poller.
    private func dispose() {
        state.withLock { state in
            state.counters.droppedGone += state.queue.dropAll() + UInt64(state.batch.count)
            for item in state.batch { item.buffer.free() }
            state.batch = []
        }
        handlers.onClosed(self)
        ClosingThreads.run {
            nng_stream_free(self.stream.raw)
            nng_aio_free(self.sendOperation)
            nng_aio_free(self.receiveOperation)
            self.group.leave()
            Unmanaged.passUnretained(self).release()
        }
    }
}
