import Dispatch
import Foundation
import Logging
import MachineCore
import Synchronization
import Wire

/// Does what a role asks for: one action after another, never two at a time.
protocol Engine<Action, Completion> {
    associatedtype Action: Sendable
    associatedtype Completion: Sendable
    mutating func perform(_ action: Action) -> Completion?
    /// Whether an action takes well under a millisecond and never waits for the world: it is then done at once, by
    /// the thread that decided on it, since waking another one would cost as much.
    func isBrief(_ action: Action) -> Bool
}

extension Engine {
    func isBrief(_ action: Action) -> Bool { false }
}

/// How a role's process ends.
public enum RoleEnd: Sendable, Equatable {
    case stopped
    case exited(reason: String, failed: Bool)
}

/// Runs a state machine on real sockets and real time.
///
/// Whoever brings an event, a thread of the transport or the engine's or the clock's, also feeds it to the machine and
/// carries out the effects, unless another thread is doing so: then the event is left to that one. So an event costs
/// no wake-up of a thread, which on small machines costs more than the event. Actions that take long are done by the
/// engine's own thread, so that heartbeats leave in time meanwhile.
///
/// Invariants:
/// - Only the thread that set `driving` touches the machine; events are handled in the order in which they were put.
/// - An action begins only after all earlier ones have ended, whichever thread does them.
final class RoleRunner<Role: Machine>: Sendable where Role.Action: Sendable {
    private enum Input: Sendable {
        case event(Event<Role.Completion>)
        /// The engine's thread has ended an action.
        case finished(Role.Completion?)
        case stop
    }

    private struct State {
        var inbox: [Input] = []
        /// No thread drives before `run`.
        var driving = true
        var end: RoleEnd?
        var deadline: Instant?
        /// What the clock sleeps for.
        var alarm = Instant(nanoseconds: .max)
    }

    private struct Core {
        var machine: Role
        var effects = Effects<Role.Action>()
        var dialed: UInt64?
        /// Actions that the engine's thread was given and has not ended.
        var outstanding = 0
    }

    private struct Machinery {
        var engine: (any Engine<Role.Action, Role.Completion>)?
    }

    private let state = Mutex(State())
    private let core = Mutex<Core?>(nil)
    private let machinery = Mutex(Machinery())
    private let work = Mailbox<Role.Action?>()
    private let wake = DispatchSemaphore(value: 0)
    private let transport: Transport
    private let log: Logger
    private let history: HistoryWriter?

    /// - Parameter history: where to take down what the role does, if anywhere.
    init(transport: Transport, log: Logger, history: HistoryWriter?) {
        self.transport = transport
        self.history = history
        self.log = log
    }

    func put(_ signal: Transport.Signal) {
        switch signal {
        case .packet(let packet, let sender): put(.event(.message(packet, from: sender)))
        case .connected(let node): put(.event(.peerConnected(node)))
        case .disconnected(let node): put(.event(.peerDisconnected(node)))
        }
    }

    func stop() { put(.stop) }

    private func put(_ input: Input) {
        let drives = state.withLock { state in
            guard state.end == nil else { return false }
            state.inbox.append(input)
            defer { state.driving = true }
            return !state.driving
        }
        if drives { drive() }
    }

    /// Runs until the role ends or is stopped. Blocks the calling thread.
    ///
    /// - Parameter engine: made here and used by one thread at a time.
    func run(
        _ initial: consuming Role,
        engine makeEngine: @escaping @Sendable () -> any Engine<Role.Action, Role.Completion>
    )
        -> RoleEnd
    {
        machinery.withLock { $0.engine = makeEngine() }
        startEngine()
        defer { work.put(nil) }
        let machine = initial
        history?.append(machine.beginnings)
        core.withLock { $0 = Core(machine: machine) }
        state.withLock { $0.inbox.insert(.event(.tick), at: 0) }
        drive()
        while true {
            let (end, alarm) = state.withLock { state in
                let soonest = Instant.now + .milliseconds(1)
                let latest = Instant.now + .milliseconds(500)
                state.alarm = min(max(state.deadline ?? latest, soonest), latest)
                return (state.end, state.alarm)
            }
            if let end { return end }
            _ = wake.wait(timeout: DispatchTime(uptimeNanoseconds: alarm.nanoseconds))
            let isDue = state.withLock { state in
                state.alarm = Instant(nanoseconds: .max)
                return Instant.now >= state.deadline ?? alarm
            }
            if isDue { put(.event(.tick)) }
        }
    }

    /// Handles events until there are none. Only for the thread that has set `driving`.
    private func drive() {
        core.withLock { core in
            var batch: [Input] = []
            while true {
                let deadline = core?.machine.nextDeadline
                let goesOn = state.withLock { state in
                    guard state.end == nil, !state.inbox.isEmpty else {
                        state.driving = false
                        state.deadline = deadline
                        if state.end != nil || deadline.map({ $0 < state.alarm }) ?? false { wake.signal() }
                        return false
                    }
                    batch.removeAll(keepingCapacity: true)
                    swap(&batch, &state.inbox)
                    return true
                }
                guard goesOn else { return }
                for input in batch {
                    guard let end = handle(input, &core!) else { continue }
                    state.withLock { $0.end = $0.end ?? end }
                    break
                }
                dialWanted(&core!)
            }
        }
    }

    private func handle(_ input: Input, _ core: inout Core) -> RoleEnd? {
        switch input {
        case .event(let event): step(event, &core)
        case .finished(let completion):
            core.outstanding -= 1
            guard let completion else { return nil }
            step(.completed(completion), &core)
        case .stop: return .stopped
        }
        return carryOut(&core)
    }

    /// What an event leads to is taken down before any of it is carried out.
    private func step(_ event: Event<Role.Completion>, _ core: inout Core) {
        let before = core.effects.items.count
        core.machine.handle(event, at: .now, into: &core.effects)
        guard let history else { return }
        history.append(core.machine.observations(of: event, Array(core.effects.items[before...])))
    }

    private func dialWanted(_ core: inout Core) {
        guard core.dialed != core.machine.dialableRevision else { return }
        core.dialed = core.machine.dialableRevision
        transport.dial(core.machine.dialable)
    }

    private func startEngine() {
        let thread = Thread { [self] in
            var batch: [Role.Action?] = []
            while true {
                work.take(into: &batch, until: .distantFuture)
                for action in batch {
                    guard let action else { return }
                    put(.finished(machinery.withLock { $0.engine?.perform(action) }))
                }
            }
        }
        thread.name = "engine"
        thread.stackSize = 8 << 20
        thread.start()
    }

    private func carryOut(_ core: inout Core) -> RoleEnd? {
        while !core.effects.items.isEmpty {
            let items = core.effects.items
            core.effects.removeAll()
            let identity = core.machine.identity
            var completions: [Role.Completion] = []
            for effect in items {
                switch effect {
                case .send(let body, let payload, let node):
                    transport.send(body, payload: payload, to: node, as: identity)
                case .perform(let action):
                    if core.outstanding == 0, machinery.withLock({ $0.engine?.isBrief(action) ?? false }) {
                        if let done = machinery.withLock({ $0.engine?.perform(action) }) {
                            completions.append(done)
                        }
                    } else {
                        core.outstanding += 1
                        work.put(action)
                    }
                case .report(let decision): log.log(decision)
                case .exit(let reason, let failed):
                    log.log(level: failed ? .error : .info, "\(reason)")
                    return .exited(reason: reason, failed: failed)
                }
            }
            for completion in completions { step(.completed(completion), &core) }
        }
        return nil
    }
}

extension Instant {
    /// The present on this machine's monotonic clock.
    static var now: Instant { Instant(nanoseconds: DispatchTime.now().uptimeNanoseconds) }
}

extension Logger {
    func log(_ decision: Decision) {
        let level: Level =
            switch decision.level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        log(level: level, "\(decision.kind): \(decision.sentence)")
    }
}
