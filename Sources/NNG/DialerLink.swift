import Dispatch
import Synchronization

/// The shared state behind a `Dialer`.
///
/// Invariants
/// - At most one attempt and one connection count; what an older one reports (`generation`) changes nothing.
/// - `onConnected` and `onDisconnected` alternate.
/// - Messages offered without a connection wait in `early`, and go in front when there is one.
/// - Lock order: this state, then the connection. Neither is held while a handler of the caller runs.
final class DialerLink: Sendable {
    private struct State {
        var generation = 0
        var attempt: DialAttempt?
        /// Set when the peer has greeted.
        var connection: Connection?
        /// Set from the connect until the peer has greeted.
        var greeting: Connection?
        var early = SendQueue()
        var stepStarted = Monotonic.now
        var pauseMilliseconds: Int
        var counters = EndpointCounters()
        var closed = false
    }

    private let url: String
    private let settings: EndpointSettings
    private let onMessage: @Sendable (ReceivedMessage) -> Void
    private let onConnected: @Sendable () -> Void
    private let onDisconnected: @Sendable () -> Void
    private let events = DispatchQueue(label: "varve.nng.dialer")
    private let work = DispatchQueue(label: "varve.nng.dialing")
    private let group = DispatchGroup()
    private let state: Mutex<State>
    private let timer: WatchTimer

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
        state = Mutex(State(pauseMilliseconds: settings.reconnectMinMilliseconds))
        timer = WatchTimer(queue: work)
    }

    var isConnected: Bool { state.withLock { $0.connection != nil } }

    var backlog: Int {
        let (early, connection) = state.withLock { ($0.early.count, $0.connection) }
        return early + (connection?.backlog ?? 0)
    }

    var counters: EndpointCounters {
        let (own, connection) = state.withLock { ($0.counters, $0.connection) }
        return own.adding(connection?.counters)
    }

    /// Makes the first attempt, whose errors are the caller's, and starts to watch.
    func start() throws(NNGError) {
        try dial()
        let period = max(20, min(250, settings.replaceAfterMilliseconds / 4))
        timer.start(everyMilliseconds: period) { [weak self] in self?.watch() }
    }

    // MARK: Sending

    func offer(_ parts: [UnsafeRawBufferPointer]) -> SendOutcome {
        var count = 0
        for part in parts { count += part.count }
        if count > settings.maxReceiveBytes { return refuseOversize() }
        guard let buffer = MessageBuffer.joining(parts, count: count) else { return .noMemory }
        return enqueue(buffer)
    }

    func offer(_ buffer: MessageBuffer) -> SendOutcome {
        guard buffer.count <= settings.maxReceiveBytes else {
            buffer.free()
            return refuseOversize()
        }
        return enqueue(buffer)
    }

    private func refuseOversize() -> SendOutcome {
        state.withLock { $0.counters.refusedOversize += 1 }
        return .oversize
    }

    private func enqueue(_ buffer: MessageBuffer) -> SendOutcome {
        let outcome: SendOutcome = state.withLock { state in
            if state.closed {
                state.counters.refusedGone += 1
                return .gone
            }
            if let connection = state.connection {
                let outcome = connection.offer(buffer)
                if outcome != .gone { return outcome }
            }
            guard state.early.append(buffer, settings) else {
                state.counters.refusedFull += 1
                return .queueFull
            }
            return .queued
        }
        if outcome != .queued { buffer.free() }
        return outcome
    }

    // MARK: Connecting

    private func dial() throws(NNGError) {
        let attempt: DialAttempt? = state.withLock { state in
            guard !state.closed else { return nil }
            state.generation += 1
            let generation = state.generation
            let attempt = DialAttempt(group: group) { [weak self] stream in
                if let self { self.dialed(stream, generation) } else { stream?.closeAndFree() }
            }
            state.attempt = attempt
            state.stepStarted = .now
            return attempt
        }
        do throws(NNGError) {
            try attempt?.start(url: url, tls: settings.tls)
        } catch {
            state.withLock { $0.attempt = nil }
            throw error
        }
    }

    private func dialed(_ stream: StreamHandle?, _ generation: Int) {
        guard let stream else { return retry(after: generation) }
        let handlers = Connection.Handlers(
            onReady: { [weak self] connection in self?.ready(connection, generation) },
            onMessage: { [weak self] _, buffer in
                let message = ReceivedMessage(owning: buffer)
                self?.onMessage(message)
            },
            onClosed: { [weak self] connection in self?.closed(connection, generation) })
        let made = try? Connection(
            stream: stream, role: .client, settings: settings, group: group, handlers: handlers)
        guard let connection = made else { return retry(after: generation) }
        let wanted = state.withLock { state in
            guard !state.closed, state.generation == generation else { return false }
            state.attempt = nil
            state.greeting = connection
            state.stepStarted = .now
            return true
        }
        connection.start()
        if !wanted { connection.close() }
    }

    private func ready(_ connection: Connection, _ generation: Int) {
        let wanted = state.withLock { state in
            guard !state.closed, state.generation == generation else { return false }
            state.greeting = nil
            state.connection = connection
            state.pauseMilliseconds = settings.reconnectMinMilliseconds
            state.counters.connections += 1
            connection.adopt(&state.early)
            events.async { self.onConnected() }
            return true
        }
        if !wanted { connection.close() }
    }

    private func closed(_ connection: Connection, _ generation: Int) {
        let last = connection.counters
        state.withLock { state in
            state.counters = state.counters.adding(last)
            guard state.generation == generation else { return }
            state.greeting = nil
            loseConnection(&state)
        }
        retry(after: generation)
    }

    private func loseConnection(_ state: inout State) {
        guard state.connection != nil else { return }
        state.connection = nil
        state.counters.disconnections += 1
        events.async { self.onDisconnected() }
    }

    /// Dials again after a pause that doubles up to its limit.
    private func retry(after generation: Int) {
        let pause: Int? = state.withLock { state in
            guard !state.closed, state.generation == generation else { return nil }
            state.attempt = nil
            let pause = state.pauseMilliseconds
            state.pauseMilliseconds = min(pause * 2, settings.reconnectMaxMilliseconds)
            state.stepStarted = Monotonic.now.adding(milliseconds: pause)
            return pause
        }
        guard let pause else { return }
        work.asyncAfter(deadline: .now() + .milliseconds(pause)) { [weak self] in
            self?.dialAgain(generation)
        }
    }

    private func dialAgain(_ generation: Int) {
        let due = state.withLock { !$0.closed && $0.generation == generation }
        // A failure here is of memory or descriptors: the watchdog tries again.
        if due { try? dial() }
    }
}

// MARK: Watching and closing

extension DialerLink {
    /// Drops late messages; starts afresh when connecting or greeting made no progress for too long.
    private func watch() {
        let now = Monotonic.now
        let (connection, stuck) = state.withLock { state in
            state.counters.droppedLate += state.early.dropExpired(now: now)
            let limit = state.stepStarted.adding(milliseconds: settings.replaceAfterMilliseconds)
            return (state.connection, state.connection == nil && !state.closed && limit <= now)
        }
        connection?.sweep(now: now)
        if stuck { replace() }
    }

    /// Leaves the present attempt and connection behind and dials anew at once.
    func replace() {
        let (attempt, connections) = state.withLock { state -> (DialAttempt?, [Connection]) in
            guard !state.closed else { return (nil, []) }
            let connections = [state.connection, state.greeting].compactMap { $0 }
            let attempt = state.attempt
            loseConnection(&state)
            state.greeting = nil
            state.attempt = nil
            state.pauseMilliseconds = settings.reconnectMinMilliseconds
            state.counters.replacements += 1
            return (attempt, connections)
        }
        // The new generation comes first, so that nothing that the old one reports starts another dial.
        if ClosingThreads.count < ClosingThreads.limit { try? dial() }
        attempt?.cancel()
        for connection in connections { connection.close() }
    }

    func close(waiting: Bool) {
        timer.cancel()
        let (attempt, connections) = state.withLock { state -> (DialAttempt?, [Connection]) in
            state.closed = true
            let connections = [state.connection, state.greeting].compactMap { $0 }
            let attempt = state.attempt
            loseConnection(&state)
            state.greeting = nil
            state.attempt = nil
            state.counters.droppedGone += state.early.dropAll()
            return (attempt, connections)
        }
        attempt?.cancel()
        for connection in connections { connection.close() }
        if waiting {
            _ = group.wait(timeout: .now() + .milliseconds(settings.closeDeadlineMilliseconds))
        }
    }
}
