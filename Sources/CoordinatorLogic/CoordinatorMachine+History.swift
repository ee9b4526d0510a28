import MachineCore
import Wire

extension CoordinatorMachine {
    /// The epoch that this process gives out first, which tells it from other coordinators.
    public var firstEpoch: UInt64 { epochAtStart }

    public var beginnings: [Observation] {
        [.led(epoch: epochAtStart, committedStep: durable.committedStep)]
    }

    public func observations(of event: Event<Completion>, _ effects: [Effect<Action>]) -> [Observation] {
        var facts: [Observation] = []
        if case .completed(.persisted) = event { facts.append(.persisted) }
        for effect in effects {
            switch effect {
            case .perform(.persist(let state, let commits, _)):
                facts.append(.persisting(state: StateFact(state), commits: commits.map(ManifestFact.init)))
            case .send(.view(let view), _, _):
                let fact = Observation.announced(epoch: view.epoch, committedStep: view.committedStep)
                // One view goes to many.
                if facts.last != fact { facts.append(fact) }
            case .send(.fence(let fence), _, _):
                let fact = Observation.announced(epoch: fence.epoch, committedStep: fence.committedStep)
                if facts.last != fact { facts.append(fact) }
            case .report(let decision):
                if let alarm = effect.alarm { facts.append(alarm) }
                if decision.kind == "recovery", let recovery { facts += recoveryFacts(recovery) }
            case .send, .perform(.record), .exit: break
            }
        }
        // Last: where a timeline begins, which the same event may have decided, is no step that was done.
        if case .message(let packet, let sender) = event, sender.role == .worker,
            case .heartbeat? = packet.body
        {
            facts.append(.progress(line: durable.line, step: newestStep))
        }
        return facts
    }

    /// The two moments of a recovery at which it says something: its beginning, and the choice of the step.
    private func recoveryFacts(_ recovery: Recovery) -> [Observation] {
        switch durable.phase {
        case .fencing: return [.fencing(epoch: durable.epoch, committedStep: durable.committedStep)]
        case .restoring:
            return [
                .restoring(
                    line: durable.line, step: recovery.restoreStep, version: durable.resumeVersion,
                    shards: durable.restores.map(\.shard), heard: recovery.promised.sorted(),
                    lost: faults.filter { $0.key.role == .shard }.map(\.value.lostSteps).max())
            ]
        case .forming, .freezing, .running, .finished, .UNRECOGNIZED: return []
        }
    }

    /// Who counts as alive after having been heard, with the incarnation that holds the place.
    public var countedAlive: [(node: NodeID, incarnation: UInt64)] {
        liveness.keys.sorted().filter { liveness[$0]!.live && liveness[$0]!.wasHeard }.map {
            ($0, member($0)?.incarnation ?? 0)
        }
    }

    /// What grows with traffic here.
    public var held: [Held] {
        [
            Held("notices", notices.count, limit: 4096),
            Held("steps whose losses are not complete", losses.count, limit: 257),
            Held("step times", stepTimes.count, limit: 64),
        ]
    }
}
