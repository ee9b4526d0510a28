internal import CNNG
import Dispatch
import Synchronization

/// The shared state behind a `Listener`.
///
/// Invariants
/// - A peer is in `peers` from the moment before its connection starts until it is reported as closed.
/// - Lock order: this state, then the pump. Neither is held while a handler of the caller runs.
final class ListenerLink: Sendable {
    private struct State {
        var core: SocketCore?
        var peers: [UInt32: PeerFlow] = [:]
        var nextConnection: UInt8 = 1
        var counters = EndpointCounters()
        var closed = false
    }

    private let settings: EndpointSettings
    private let onMessage: @Sendable (PeerID, ReceivedMessage) -> Void
    private let onPeerClosed: @Sendable (PeerID) -> Void
    private let events = DispatchQueue(label: "varve.nng.listener")
    private let state = Mutex(State())
    /// Made in `init`; cancelled on close.
    private let sweeper: WatchTimer

    init(
        settings: EndpointSettings, onMessage: @escaping @Sendable (PeerID, ReceivedMessage) -> Void,
        onPeerClosed: @escaping @Sendable (PeerID) -> Void
    ) throws(NNGError) {
        try settings.validate()
        self.settings = settings
        self.onMessage = onMessage
        self.onPeerClosed = onPeerClosed
        sweeper = WatchTimer(queue: events)
    }

    var core: SocketCore? { state.withLock { $0.core } }

    var peers: [PeerID] { state.withLock { $0.peers.keys.sorted().map(PeerID.init(pipe:)) } }

    var counters: EndpointCounters {
        let (own, core) = state.withLock { ($0.counters, $0.core) }
        return own.adding(core?.pump.counters)
    }

    func backlog(_ peer: PeerID) -> (waiting: Int, unacknowledged: Int) {
        state.withLock { state in
            guard let flow = state.peers[peer.pipe] else { return (0, 0) }
            return (flow.waitingCount, flow.unacknowledged.count)
        }
    }

    /// Binds and starts; returns the address with its real port.
    func start(_ url: String) throws(NNGError) -> String {
        try settings.checkTransport(url)
        let core = try SocketCore(
            kind: .listener, settings: settings,
            handlers: SocketCore.Handlers(
                onMessage: { [weak self] message in
                    if let self { self.received(message) } else { message.free() }
                },
                onPipe: { [weak self] pipe, event in self?.pipeChanged(pipe, event) }))
        state.withLock { $0.core = core }
        var listener = nng_listener()
        try NNGError.check(nng_listener_create(&listener, core.socket.raw, url), "listen on \(url)")
        if let tls = settings.tls {
            try tls.withConfiguration(.server) { configuration in
                nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, UnsafeMutableRawPointer(configuration))
            }
        }
        core.startReceiving()
        try NNGError.check(nng_listener_start(listener, 0), "listen on \(url)")
        sweeper.start(everyMilliseconds: 250) { [weak self] in self?.sweep() }
        return SocketCore.boundURL(listener) ?? url
    }

    func offer(_ peer: PeerID, _ parts: [UnsafeRawBufferPointer]) -> SendOutcome {
        var count = 0
        for part in parts { count += part.count }
        if let refusal = refusal(peer, count) { return refusal }
        guard let message = MessageHandle.joining(parts, count: count) else { return .noMemory }
        return enqueue(peer, message)
    }

    func offer(_ peer: PeerID, _ message: MessageHandle) -> SendOutcome {
        if let refusal = refusal(peer, message.count) {
            message.free()
            return refusal
        }
        return enqueue(peer, message)
    }

    /// Why a message of `count` bytes can't be queued, before it is made.
    private func refusal(_ peer: PeerID, _ count: Int) -> SendOutcome? {
        state.withLock { state in
            if count > settings.maxReceiveBytes {
                state.counters.refusedOversize += 1
                return .oversize
            }
            if state.closed || state.peers[peer.pipe] == nil {
                state.counters.refusedGone += 1
                return .gone
            }
            return nil
        }
    }

    private func enqueue(_ peer: PeerID, _ message: MessageHandle) -> SendOutcome {
        let outcome: SendOutcome = state.withLock { state in
            guard !state.closed, state.peers[peer.pipe] != nil else {
                state.counters.refusedGone += 1
                return .gone
            }
            guard state.peers[peer.pipe]?.enqueue(message, settings, now: .now) == true else {
                state.counters.refusedFull += 1
                return .queueFull
            }
            release(&state, peer.pipe)
            return .queued
        }
        if outcome != .queued { message.free() }
        return outcome
    }

    /// Hands to nng what the peer's window lets out.
    private func release(_ state: inout State, _ pipe: UInt32) {
        guard let core = state.core else { return }
        while let item = state.peers[pipe]?.next() {
            let stamped = item.message.appendHeader(pipe) && item.message.appendHeader(item.word.raw)
            if !stamped || core.pump.offer(item.message) != .queued {
                item.message.free()
                state.counters.droppedGone += 1
            }
        }
    }

    private func received(_ message: MessageHandle) {
        let pipe = message.pipe
        guard let word = message.takeHeaderWord() else { return message.free() }
        let deliver = state.withLock { state in
            guard state.peers[pipe] != nil else { return false }
            state.peers[pipe]?.acknowledge(LinkWord(raw: word))
            release(&state, pipe)
            let count = message.count
            if count == 0 { return false }
            state.counters.receivedMessages += 1
            state.counters.receivedBytes += UInt64(count)
            return true
        }
        guard deliver else { return message.free() }
        onMessage(PeerID(pipe: pipe), ReceivedMessage(owning: message))
    }

    private func pipeChanged(_ pipe: UInt32, _ event: SocketCore.PipeEvent) {
        switch event {
        case .added:
            state.withLock { state in
                guard !state.closed else { return }
                state.peers[pipe] = PeerFlow(connection: state.nextConnection)
                state.nextConnection = state.nextConnection == 255 ? 1 : state.nextConnection + 1
                state.counters.connections += 1
            }
        case .removed:
            let known = state.withLock { state in
                guard var flow = state.peers.removeValue(forKey: pipe) else { return false }
                while let message = flow.popAny() {
                    message.free()
                    state.counters.droppedGone += 1
                }
                state.counters.disconnections += 1
                return true
            }
            if known { events.async { self.onPeerClosed(PeerID(pipe: pipe)) } }
        }
    }

    /// Drops messages that waited too long behind a closed window.
    private func sweep() {
        let now = Monotonic.now
        state.withLock { state in
            for pipe in state.peers.keys {
                while let message = state.peers[pipe]?.popExpired(now: now) {
                    message.free()
                    state.counters.droppedLate += 1
                }
            }
        }
    }

    func close(waiting: Bool) {
        sweeper.cancel()
        let core = state.withLock { state in
            state.closed = true
            return state.core
        }
        guard let group = core?.retire(), waiting else { return }
        _ = group.wait(timeout: .now() + .milliseconds(settings.closeDeadlineMilliseconds))
    }
}
