import Glibc
import NNG
import Synchronization

/// When a link last carried an answer, and the longest pauses that it made.
///
/// A pause counts from the last answer, or from the start of the peer's next process if that is later: a killed process is
/// gone only when each of its threads has had its turn to end, which takes seconds on a busy machine and is no fault of a link.
final class LinkClock: Sendable {
    struct State {
        var last = Processes.nowMilliseconds
        var killedAt: Double?
        var restartedAt: Double?
        /// From the kill of a peer to the start of the next.
        var longestAbsence = 0.0
        var longestPause = 0.0
        var longestRecovery = 0.0
        var answers = 0
        var wrong = 0
        /// Pauses of more than a second: when they began, in ms since the start, and how long they were.
        var long: [(began: Double, milliseconds: Double)] = []

        /// Since when an answer is overdue; nil while there is no peer.
        var waitingSince: Double? { killedAt == nil ? max(last, restartedAt ?? last) : nil }
    }

    let state = Mutex(State())

    /// An answer came.
    func answered() {
        let now = Processes.nowMilliseconds
        state.withLock { state in
            if let since = state.waitingSince {
                state.longestPause = max(state.longestPause, now - since)
                if now - since > 1000 { state.long.append((since, now - since)) }
            }
            if let started = state.restartedAt {
                state.longestRecovery = max(state.longestRecovery, now - started)
                state.restartedAt = nil
            }
            state.last = now
            state.answers += 1
        }
    }

    /// Something came back that was never asked, or twice.
    func wrong() { state.withLock { $0.wrong += 1 } }

    func killed() {
        let now = Processes.nowMilliseconds
        state.withLock { $0.killedAt = now }
    }

    /// The peer was started again: the time to the next answer is a recovery.
    func restarted() {
        let now = Processes.nowMilliseconds
        state.withLock { state in
            state.longestAbsence = max(state.longestAbsence, now - (state.killedAt ?? now))
            state.killedAt = nil
            if state.restartedAt == nil { state.restartedAt = now }
        }
    }

    var snapshot: State { state.withLock { $0 } }
}

/// What a soak needs of a candidate: keep requests in flight, tell the clock, close.
protocol SoakLink: AnyObject {
    func close()
}

/// Requests without end over one `Dialer`; a request without an answer in 250 ms is asked anew.
final class Traffic: SoakLink, Sendable {
    private struct State {
        var dialer: Dialer?
        var next: UInt64 = 1
        var open: [UInt64: Double] = [:]
        var closed = false
    }

    private let clock: LinkClock
    private let inFlight: Int
    private let state = Mutex(State())

    init(url: String, inFlight: Int, clock: LinkClock = LinkClock()) {
        self.clock = clock
        self.inFlight = inFlight
        do {
            let dialer = try Dialer(
                url: url, onMessage: { [weak self] in self?.answered($0) },
                onConnected: { [weak self] in self?.refill() })
            state.withLock { $0.dialer = dialer }
        } catch {
            Console.complain("\(error)")
            exit(1)
        }
        Threads.every(milliseconds: 100) { [weak self] in self?.refill() ?? false }
    }

    var counters: EndpointCounters? { state.withLock { $0.dialer }?.counters }

    private func answered(_ message: ReceivedMessage) {
        let id = message.withUnsafeBytes { $0.count == 64 ? $0.loadUnaligned(as: UInt64.self) : 0 }
        // An answer to a request that was given up is late, not wrong; one that was never asked is wrong.
        let (known, asked) = state.withLock {
            ($0.open.removeValue(forKey: id) != nil, id > 0 && id < $0.next)
        }
        if !asked { clock.wrong() }
        if known { clock.answered() }
        refill()
    }

    /// Gives up what is late and asks until enough is in flight; false when closed.
    @discardableResult
    private func refill() -> Bool {
        let now = Processes.nowMilliseconds
        let (dialer, ids) = state.withLock { state -> (Dialer?, [UInt64]) in
            guard !state.closed, let dialer = state.dialer else { return (nil, []) }
            state.open = state.open.filter { now - $0.value < 250 }
            var ids: [UInt64] = []
            while state.open.count < inFlight {
                state.open[state.next] = now
                ids.append(state.next)
                state.next += 1
            }
            return (dialer, ids)
        }
        for id in ids {
            var body = [UInt64](repeating: 0, count: 8)
            body[0] = id
            body.withUnsafeBytes { _ = dialer?.send(parts: [$0]) }
        }
        return dialer != nil
    }

    func close() {
        let dialer = state.withLock { state in
            state.closed = true
            return state.dialer
        }
        dialer?.close()
    }
}

/// Detached threads for what may block.
enum Threads {
    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    static func detach(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Work(body))
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, argument.toOpaque())
        pthread_detach(thread)
    }

    /// Runs `body` again and again until it returns false.
    static func every(milliseconds: UInt32, _ body: @escaping @Sendable () -> Bool) {
        detach {
            repeat { usleep(milliseconds * 1000) } while body()
        }
    }
}
