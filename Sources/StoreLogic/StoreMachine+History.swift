import MachineCore
import Wire

extension StoreMachine {
    public var beginnings: [Observation] {
        [
            .opened(
                promised: foundPromise, held: index.keys.sorted().map { HeldFact(index[$0]!) },
                damaged: damaged.keys.sorted().map { HeldFact(damaged[$0]!) })
        ]
    }

    public func observations(of event: Event<Completion>, _ effects: [Effect<Action>]) -> [Observation] {
        var facts: [Observation] = []
        if case .completed(.written) = event { facts.append(.synced) }
        for effect in effects {
            switch effect {
            case .perform(.write(let writes)): facts.append(Self.writing(writes))
            case .perform(.compact(let keep, _)):
                facts.append(
                    .compacting(kept: keep.sorted().map { KeyFact(shard: $0.shard, step: $0.step) }))
            case .send(.appended(let ack), _, _):
                facts.append(
                    .acknowledged(
                        shard: ack.shard, step: ack.step, payload: ack.payloadDigest,
                        epoch: epoch(of: ack, event)))
            case .send(.promised(let promised), _, _): facts.append(.promised(epoch: promised.epoch))
            case .report: if let alarm = effect.alarm { facts.append(alarm) }
            case .send, .perform, .exit: break
            }
        }
        return facts
    }

    private static func writing(_ writes: [Write]) -> Observation {
        var records: [HeldFact] = []
        var newest: UInt64 = 0
        for write in writes {
            switch write {
            case .promise(let epoch): newest = max(newest, epoch)
            case .record(let part, _): records.append(HeldFact(part))
            case .manifest, .drop: break
            }
        }
        return .writing(records: records, promise: newest)
    }

    /// Of the append that is answered: at once, or when its record is synced.
    private func epoch(of ack: Appended, _ event: Event<Completion>) -> UInt64 {
        if case .message(let packet, _) = event, case .append(let append)? = packet.body {
            return append.part.epoch
        }
        return answeredEpochs[Key(shard: ack.shard, step: ack.step)] ?? 0
    }

    /// What grows with traffic here.
    public var held: [Held] {
        [
            Held("bytes that wait for the disk", queuedBytes, limit: settings.maxQueuedBytes),
            Held("repairs", repairs.count, limit: settings.maxRepairs),
        ]
    }
}
