import Dispatch
import Foundation
import Logging
import MachineCore
import Synchronization
import Wire

/// Does what a role asks for, on the engine's own thread: one action after another.
protocol Engine<Action, Completion> {
    associatedtype Action: Sendable
    associatedtype Completion: Sendable
    mutating func perform(_ action: Action) -> Completion?
}

/// How a role's process ends.
public enum RoleEnd: Sendable, Equatable {
    case stopped
    case exited(reason: String, failed: Bool)
}

/// Runs a state machine on real sockets and real time.
///
/// One thread feeds events to the machine and carries out its effects; another one runs the engine, so that
/// heartbeats leave in time while arithmetic or the disk takes long.
final class RoleRunner<Role: Machine>: Sendable where Role.Action: Sendable {
    enum Input: Sendable {
        case event(Event<Role.Completion>)
        case stop
    }

    private let inbox = Mailbox<Input>()
    private let work = Mailbox<Role.Action?>()
    private let transport: Transport
    private let log: Logger

    init(transport: Transport, log: Logger) {
        self.transport = transport
        self.log = log
    }

    func put(_ signal: Transport.Signal) {
        switch signal {
        case .packet(let packet, let sender): inbox.put(.event(.message(packet, from: sender)))
        case .connected(let node): inbox.put(.event(.peerConnected(node)))
        case .disconnected(let node): inbox.put(.event(.peerDisconnected(node)))
        }
    }

    func stop() { inbox.put(.stop) }

    /// Runs until the role ends or is stopped. Blocks the calling thread.
    ///
    /// - Parameter engine: made on the engine's thread, which is the only one that ever touches it.
    func run(
        _ initial: consuming Role,
        engine makeEngine: @escaping @Sendable () -> any Engine<Role.Action, Role.Completion>
    )
        -> RoleEnd
    {
        startEngine(makeEngine)
        defer { work.put(nil) }
        var machine = initial
        var effects = Effects<Role.Action>()
        var batch: [Input] = []
        var dialable: [NodeID: String] = [:]
        machine.handle(.tick, at: .now, into: &effects)
        while true {
            if let end = carryOut(&effects, of: machine) { return end }
            let wanted = machine.dialable
            if wanted != dialable {
                dialable = wanted
                transport.dial(wanted)
            }
            inbox.take(into: &batch, until: deadline(machine.nextDeadline))
            if batch.isEmpty { machine.handle(.tick, at: .now, into: &effects) }
            for input in batch {
                switch input {
                case .event(let event): machine.handle(event, at: .now, into: &effects)
                case .stop: return .stopped
                }
                if let end = carryOut(&effects, of: machine) { return end }
            }
        }
    }

    private func startEngine(
        _ makeEngine: @escaping @Sendable () -> any Engine<Role.Action, Role.Completion>
    ) {
        let (work, inbox) = (work, inbox)
        let thread = Thread {
            var engine = makeEngine()
            var batch: [Role.Action?] = []
            while true {
                work.take(into: &batch, until: .distantFuture)
                for action in batch {
                    guard let action else { return }
                    if let completion = engine.perform(action) { inbox.put(.event(.completed(completion))) }
                }
            }
        }
        thread.name = "engine"
        thread.stackSize = 8 << 20
        thread.start()
    }

    private func deadline(_ instant: Instant?) -> DispatchTime {
        guard let instant else { return .now() + .milliseconds(500) }
        let now = Instant.now
        guard instant > now else { return .now() + .milliseconds(1) }
        let span = min(instant.nanoseconds - now.nanoseconds, 500_000_000)
        return .now() + .nanoseconds(Int(span))
    }

    private func carryOut(_ effects: inout Effects<Role.Action>, of machine: Role) -> RoleEnd? {
        guard !effects.items.isEmpty else { return nil }
        defer { effects.removeAll() }
        let identity = machine.identity
        for effect in effects.items {
            switch effect {
            case .send(let body, let payload, let node):
                transport.send(body, payload: payload, to: node, as: identity)
            case .perform(let action): work.put(action)
            case .report(let decision): log.log(decision)
            case .exit(let reason, let failed):
                log.log(level: failed ? .error : .info, "\(reason)")
                return .exited(reason: reason, failed: failed)
            }
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
