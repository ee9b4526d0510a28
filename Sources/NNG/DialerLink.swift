internal import CNNG
import Dispatch
import Synchronization

/// The shared state behind a `Dialer`.
///
/// Invariants
/// - Only pipes of the present core (`generation`) count; late notifications of a replaced one change nothing.
/// - `onConnected` and `onDisconnected` alternate, in the order of the changes of `pipe`.
/// - Lock order: this state, then the pump. Neither is held while a handler of the caller runs.
final class DialerLink: Sendable {
    /// Acknowledge after this many messages or bytes, well inside the listener's window.
    private static let acknowledgeMessages = PeerFlow.windowMessages / 6
    private static let acknowledgeBytes = 2 << 20

    private struct State {
        var core: SocketCore?
        var generation = 0
        var pipe: UInt32?
        var disconnectedSince = Monotonic.now
        var futileReplacements = 0
        var unacknowledgedMessages = 0
        var unacknowledgedBytes = 0
        var counters = EndpointCounters()
        var closed = false
    }

    private let url: String
    private let settings: EndpointSettings
    private let onMessage: @Sendable (ReceivedMessage) -> Void
    private let onConnected: @Sendable () -> Void
    private let onDisconnected: @Sendable () -> Void
    private let events = DispatchQueue(label: "varve.nng.dialer")
    private let state = Mutex(State())
    private let watchdog: WatchTimer

    init(
        url: String, settings: EndpointSettings, onMessage: @escaping @Sendable (ReceivedMessage) -> Void,
        onConnected: @escaping @Sendable () -> Void, onDisconnected: @escaping @Sendable () -> Void
    ) throws(NNGError) {
        try settings.validate()
        try settings.checkTransport(url)
        self.url = url
        self.settings = settings
        self.onMessage = onMessage
        self.onConnected = onConnected
        self.onDisconnected = onDisconnected
        watchdog = WatchTimer(queue: DispatchQueue(label: "varve.nng.watchdog"))
    }

    var core: SocketCore? { state.withLock { $0.core } }

    var isConnected: Bool { state.withLock { $0.pipe != nil } }

    var counters: EndpointCounters {
        let (own, core) = state.withLock { ($0.counters, $0.core) }
        return own.adding(core?.pump.counters)
    }

    /// Opens a socket and starts to dial in the background.
    func open() throws(NNGError) {
        let generation = state.withLock { state in
            state.generation += 1
            return state.generation
        }
        let core = try SocketCore(
            kind: .dialer, settings: settings,
            handlers: SocketCore.Handlers(
                onMessage: { [weak self] message in
                    if let self { self.received(message, generation) } else { message.free() }
                },
                onPipe: { [weak self] pipe, event in self?.pipeChanged(pipe, event, generation) }))
        let adopted = state.withLock { state in
            guard !state.closed, state.generation == generation else { return false }
            state.core = core
            return true
        }
        guard adopted else {
            core.retire()
            return
        }
        var dialer = nng_dialer()
        try NNGError.check(nng_dialer_create(&dialer, core.socket.raw, url), "dial \(url)")
        if let tls = settings.tls {
            try tls.withConfiguration(.client) { configuration in
                nng_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, UnsafeMutableRawPointer(configuration))
            }
        }
        core.startReceiving()
        try NNGError.check(nng_dialer_start(dialer, Int32(bitPattern: NNG_FLAG_NONBLOCK)), "dial \(url)")
    }

    func startWatching() {
        let period = max(20, min(250, settings.replaceAfterMilliseconds / 4))
        watchdog.start(everyMilliseconds: period) { [weak self] in self?.watch() }
    }

    func offer(_ parts: [UnsafeRawBufferPointer]) -> SendOutcome {
        var count = 0
        for part in parts { count += part.count }
        let (core, refusal) = admit(count)
        guard let core else { return refusal }
        guard let message = MessageHandle.joining(parts, count: count) else { return .noMemory }
        let outcome = core.pump.offer(message)
        if outcome != .queued { message.free() }
        return outcome
    }

    func offer(_ message: MessageHandle) -> SendOutcome {
        let (core, refusal) = admit(message.count)
        let outcome = core?.pump.offer(message) ?? refusal
        if outcome != .queued { message.free() }
        return outcome
    }

    /// The core that takes a message of `count` bytes, or why none does.
    private func admit(_ count: Int) -> (SocketCore?, SendOutcome) {
        state.withLock { state in
            if count > settings.maxReceiveBytes {
                state.counters.refusedOversize += 1
                return (nil, .oversize)
            }
            guard !state.closed, let core = state.core else {
                state.counters.refusedGone += 1
                return (nil, .gone)
            }
            return (core, .queued)
        }
    }

    private func received(_ message: MessageHandle, _ generation: Int) {
        guard let raw = message.takeHeaderWord() else { return message.free() }
        let pipe = message.pipe
        let count = message.count
        let core: SocketCore? = state.withLock { state in
            guard state.generation == generation, state.pipe == pipe, let core = state.core else {
                return nil
            }
            core.pump.word.store(raw, ordering: .relaxed)
            state.counters.receivedMessages += 1
            state.counters.receivedBytes += UInt64(count)
            state.unacknowledgedMessages += 1
            state.unacknowledgedBytes += count
            return core
        }
        guard let core else { return message.free() }
        if count > 0 { onMessage(ReceivedMessage(owning: message)) } else { message.free() }
        acknowledgeIfDue(core)
    }

    /// Sends a bare acknowledgement when enough has come in; after the handler, whose answer may carry it.
    private func acknowledgeIfDue(_ core: SocketCore) {
        let due = state.withLock { state in
            guard
                state.unacknowledgedMessages >= DialerLink.acknowledgeMessages
                    || state.unacknowledgedBytes >= DialerLink.acknowledgeBytes
            else { return false }
            state.unacknowledgedMessages = 0
            state.unacknowledgedBytes = 0
            return true
        }
        if due { core.pump.acknowledge() }
    }

    private func pipeChanged(_ pipe: UInt32, _ event: SocketCore.PipeEvent, _ generation: Int) {
        switch event {
        case .added:
            state.withLock { state in
                guard state.generation == generation, !state.closed else { return }
                let wasConnected = state.pipe != nil
                state.pipe = pipe
                state.futileReplacements = 0
                state.unacknowledgedMessages = 0
                state.unacknowledgedBytes = 0
                state.core?.pump.word.store(LinkWord.nothing.raw, ordering: .relaxed)
                state.counters.connections += 1
                if !wasConnected { events.async { self.onConnected() } }
            }
        case .removed:
            state.withLock { state in
                guard state.generation == generation, state.pipe == pipe else { return }
                disconnected(&state)
            }
        }
    }

    private func disconnected(_ state: inout State) {
        state.pipe = nil
        state.disconnectedSince = .now
        state.counters.disconnections += 1
        events.async { self.onDisconnected() }
    }

    /// Replaces the socket when the link has been down for too long; waits longer after each futile attempt.
    private func watch() {
        let due = state.withLock { state in
            guard !state.closed, state.pipe == nil else { return false }
            let patience = settings.replaceAfterMilliseconds << min(2, state.futileReplacements / 2)
            return state.disconnectedSince.adding(milliseconds: patience) <= .now
        }
        // Sockets that nng can't close pile up: past this, only a new process helps, and the caller can see it.
        if due && ClosingThreads.count < 64 { replace() }
    }

    func replace() {
        let old: SocketCore? = state.withLock { state in
            guard !state.closed, let old = state.core else { return nil }
            if state.pipe != nil { disconnected(&state) }
            state.disconnectedSince = .now
            state.futileReplacements += 1
            state.counters.replacements += 1
            state.core = nil
            return old
        }
        guard let old else { return reopenIfMissing() }
        old.retire()
        let last = old.pump.counters
        state.withLock { $0.counters = $0.counters.adding(last) }
        try? open()
    }

    /// A replacement can fail for want of descriptors or memory: the next turn of the watchdog tries again.
    private func reopenIfMissing() {
        let missing = state.withLock { state in
            state.disconnectedSince = .now
            return !state.closed && state.core == nil
        }
        if missing { try? open() }
    }

    func close(waiting: Bool) {
        watchdog.cancel()
        let core = state.withLock { state in
            state.closed = true
            if state.pipe != nil { disconnected(&state) }
            return state.core
        }
        guard let group = core?.retire(), waiting else { return }
        _ = group.wait(timeout: .now() + .milliseconds(settings.closeDeadlineMilliseconds))
    }
}
