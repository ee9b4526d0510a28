internal import CNNG
import Synchronization

/// Keeps a bounded queue of messages moving into one socket, in order, with a few operations under way.
///
/// Invariants
/// - A message is owned by the queue, by one slot, or by nng; never by two of them.
/// - An operation is started under the lock, so nng sees messages in the order in which they were offered;
///   nng runs its callbacks on its own threads and never inside `nng_send_aio`.
/// - After `stop()` no operation is started; the slots live until `free()`, which runs when none is under way.
final class SendPump: Sendable {
    /// Operations under way at most; enough to keep the pipe busy while callbacks hop threads.
    static let slotCount = 16

    enum Kind: Sendable {
        /// Messages carry the last acknowledged word, stamped as late as possible.
        case dialer
        /// Messages have their header already.
        case listener
    }

    private struct Queued {
        var message: MessageHandle
        var bytes: Int
        var deadline: Monotonic
    }

    private struct State {
        var free: [Int] = []
        var queue = FIFO<Queued>()
        var bytes = 0
        var acknowledgementDue = false
        var stopped = false
        var counters = EndpointCounters()
    }

    /// A slot's operation and its way back to the pump.
    ///
    /// Unchecked: nng's operation is thread-safe, and `message bytes` of it are touched only by the slot's owner.
    private final class Slot: @unchecked Sendable {
        unowned let pump: SendPump
        let index: Int
        var aio: OpaquePointer?
        var bytes = 0

        init(pump: SendPump, index: Int) {
            self.pump = pump
            self.index = index
        }
    }

    private let socket: SocketHandle
    private let kind: Kind
    private let settings: EndpointSettings
    private let state = Mutex(State())
    /// Set once in `init`, before any callback can run.
    nonisolated(unsafe) private var slots: [Slot] = []
    /// What the dialer acknowledges next.
    let word = Atomic<UInt32>(LinkWord.nothing.raw)

    init(socket: SocketHandle, kind: Kind, settings: EndpointSettings) throws(NNGError) {
        self.socket = socket
        self.kind = kind
        self.settings = settings
        for index in 0..<SendPump.slotCount {
            let slot = Slot(pump: self, index: index)
            let code = nng_aio_alloc(
                &slot.aio,
                { argument in
                    guard let argument else { return }
                    let slot = Unmanaged<Slot>.fromOpaque(argument).takeUnretainedValue()
                    slot.pump.finished(slot)
                }, Unmanaged.passUnretained(slot).toOpaque())
            guard code == 0 else {
                free()
                throw NNGError(code: code, operation: "prepare to send")
            }
            slots.append(slot)
        }
        state.withLock { $0.free = Array((0..<SendPump.slotCount).reversed()) }
    }

    var counters: EndpointCounters { state.withLock { $0.counters } }

    /// Messages and bytes that wait, those in operations included.
    var backlog: (messages: Int, bytes: Int) {
        state.withLock { ($0.queue.count + SendPump.slotCount - $0.free.count, $0.bytes) }
    }

    /// Takes the message when the outcome is `queued`; otherwise it stays the caller's.
    func offer(_ message: MessageHandle) -> SendOutcome {
        let bytes = message.count
        return state.withLock { state in
            if state.stopped { return .gone }
            let limited = kind == .dialer
            if limited
                && (state.queue.count >= settings.sendQueueLimit || state.bytes >= settings.sendQueueBytes)
            {
                state.counters.refusedFull += 1
                return .queueFull
            }
            state.bytes += bytes
            let deadline = Monotonic.now.adding(milliseconds: Int(settings.sendDeadlineMilliseconds))
            if state.queue.isEmpty, let index = state.free.popLast() {
                start(&state, slots[index], message, bytes, settings.sendDeadlineMilliseconds)
            } else {
                state.queue.append(Queued(message: message, bytes: bytes, deadline: deadline))
            }
            return .queued
        }
    }

    /// Sends the acknowledgement on an empty message, unless messages are waiting that will carry it.
    func acknowledge() {
        state.withLock { state in
            if state.stopped { return }
            if state.queue.isEmpty, let index = state.free.popLast() {
                startAcknowledgement(&state, index)
            } else {
                state.acknowledgementDue = true
            }
        }
    }

    /// Starts no more operations and drops what waits.
    func stop() {
        state.withLock { state in
            state.stopped = true
            while let item = state.queue.popFirst() {
                item.message.free()
                state.bytes -= item.bytes
                state.counters.droppedGone += 1
            }
        }
    }

    /// Waits for the callbacks and frees the operations: only after `stop()`, and never from a callback.
    func free() {
        for slot in slots {
            guard let aio = slot.aio else { continue }
            nng_aio_stop(aio)
            nng_aio_free(aio)
            slot.aio = nil
        }
    }

    private func startAcknowledgement(_ state: inout State, _ index: Int) {
        state.acknowledgementDue = false
        guard let message = try? MessageHandle.allocate(count: 0) else {
            state.free.append(index)
            return
        }
        start(&state, slots[index], message, 0, settings.sendDeadlineMilliseconds)
    }

    private func start(
        _ state: inout State, _ slot: Slot, _ message: MessageHandle, _ bytes: Int, _ milliseconds: Int32
    ) {
        if kind == .dialer {
            _ = message.appendHeader(word.load(ordering: .relaxed))
        }
        slot.bytes = bytes
        nng_aio_set_msg(slot.aio, message.raw)
        nng_aio_set_timeout(slot.aio, milliseconds)
        nng_send_aio(socket.raw, slot.aio)
    }

    private func finished(_ slot: Slot) {
        let code = nng_aio_result(slot.aio)
        if code != 0, let message = nng_aio_get_msg(slot.aio) {
            nng_aio_set_msg(slot.aio, nil)
            nng_msg_free(message)
        }
        state.withLock { state in
            state.bytes -= slot.bytes
            if code == 0 {
                state.counters.sentMessages += 1
                state.counters.sentBytes += UInt64(slot.bytes)
            } else if code == NNGError.Code.timedOut {
                state.counters.droppedLate += 1
            } else {
                state.counters.droppedGone += 1
            }
            startNext(&state, slot)
        }
    }

    private func startNext(_ state: inout State, _ slot: Slot) {
        if state.stopped {
            state.free.append(slot.index)
            return
        }
        let now = Monotonic.now
        while let item = state.queue.popFirst() {
            let left = now.milliseconds(until: item.deadline)
            if left > 0 {
                start(&state, slot, item.message, item.bytes, Int32(clamping: left))
                return
            }
            item.message.free()
            state.bytes -= item.bytes
            state.counters.droppedLate += 1
        }
        if state.acknowledgementDue {
            startAcknowledgement(&state, slot.index)
        } else {
            state.free.append(slot.index)
        }
    }
}
