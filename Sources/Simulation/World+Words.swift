import MachineCore
import ShardLogic
import StoreLogic
import Wire
import WorkerLogic

/// What stands in a trace.
extension World {
    private func words(_ part: Part) -> String {
        "shard-\(part.shard) step \(part.step) payload \(part.payloadDigest.prefix(6)) line \(part.line)"
    }

    private func words(_ writes: [StoreMachine.Write]) -> String {
        writes.map { write in
            switch write {
            case .promise(let epoch): "promise \(epoch)"
            case .record(let part, _): words(part)
            case .manifest(let manifest): "manifest \(manifest.step)"
            case .drop(let key): "no more shard-\(key.shard) step \(key.step)"
            }
        }.joined(separator: ", ")
    }

    func describe(_ action: StoreMachine.Action, _ completion: StoreMachine.Completion) -> String {
        switch action {
        case .write(let writes): "writes \(words(writes)): \(outcome(completion))"
        case .read(let parts, _): "reads \(parts.map(words).joined(separator: ", ")): \(outcome(completion))"
        case .compact(let keep, _): "keeps \(keep.count) records: \(outcome(completion))"
        case .verify: "verifies: \(outcome(completion))"
        }
    }

    private func outcome(_ completion: StoreMachine.Completion) -> String {
        switch completion {
        case .written: plan.mutant == .syncDoesNothing ? "said to be synced" : "synced"
        case .writeFailed(let reason, let fatal): reason + (fatal ? ", it ends" : "")
        case .read(_, let payload, _): "\(payload.count) bytes"
        case .readFailed(let part, let why, _): "step \(part.step) \(why)"
        case .compacted(let freed): "\(freed) freed"
        case .compactionFailed(let reason): reason
        case .verified(_, let checked, let damages, _): "\(checked) records, \(damages.count) damaged"
        }
    }

    func describe(_ action: ShardMachine.Action, _ completion: ShardMachine.Completion?) -> String {
        switch (action, completion) {
        case (.initialize(let line), _): "begins from the seed on line \(line)"
        case (.apply(let version, let gradients), _):
            "applies \(gradients.count) gradients: version \(version)"
        case (.encode(let step, _), .encoded(let part, let frame)):
            "encodes step \(step) as \(part.kind): payload \(part.payloadDigest.prefix(6)), "
                + "\(frame.count) bytes"
        case (.encode(let step, _), _): "can't encode step \(step)"
        case (.restore(let link), .restoreFailed(_, let reason, _)):
            "can't restore line \(link.line): \(reason)"
        case (.restore(let link), _):
            "restores \(link.parts.map { "\($0.kind) \($0.step)" }.joined(separator: ", ")) on line \(link.line)"
                + (link.isLast ? ": state \(link.stateDigest.prefix(6))" : "")
        }
    }

    func describe(_ action: WorkerMachine.Action, _ completion: WorkerMachine.Completion) -> String {
        guard case .compute(let line, let clock, _) = action else { return "" }
        if case .computeFailed(_, _, let reason) = completion {
            return "has no gradient of clock \(clock) on line \(line): \(reason)"
        }
        return "computes the gradient of clock \(clock) on line \(line)"
    }

    func describe(_ body: Envelope.OneOf_Body) -> String {
        switch body {
        case .join(let m): "Join \(m.role)-\(m.index) pid \(m.pid)"
        case .joined(let m): "Joined \(m.node) incarnation \(m.incarnation) view \(m.view.number)"
        case .refused(let m): "Refused \(m.reason)"
        case .heartbeat(let m): "Heartbeat \(m.state) step \(m.step) line \(m.line) view \(m.viewNumber)"
        case .heartbeatReply(let m): "HeartbeatReply committed \(m.committedStep)"
        case .view(let m):
            "View \(m.number) epoch \(m.epoch) line \(m.line) \(m.phase) committed \(m.committedStep) resume \(m.resumeVersion) "
                + m.restores.map { "restore shard-\($0.shard)@\($0.step) inc \($0.incarnation)" }.joined(
                    separator: ", ")
        case .prepared(let m): "Prepared \(m.parts.map { "\($0.step)" }.joined(separator: " "))"
        case .restored(let m): "Restored line \(m.line) step \(m.step)"
        case .restoreFailed(let m): "RestoreFailed line \(m.line) step \(m.step) \(m.reason)"
        case .frozen(let m): "Frozen line \(m.line) version \(m.version)"
        case .fence(let m): "Fence \(m.epoch) committed \(m.committedStep)"
        case .promised(let m): "Promised \(m.epoch) parts \(m.parts.count)"
        case .nodeExited(let m): "NodeExited \(m.node) pid \(m.pid)"
        case .position(let m): "Position line \(m.line)"
        case .positionReply(let m): "PositionReply version \(m.version) clock \(m.slotClock)"
        case .pull(let m): "Pull version \(m.version)"
        case .parameters(let m): "Parameters version \(m.version) clock \(m.slotClock)"
        case .push(let m): "Push clock \(m.clock) want \(m.wantVersion)"
        case .append(let m):
            "Append \(words(m.part)) \(m.part.kind) epoch \(m.part.epoch)"
        case .appended(let m): "Appended shard-\(m.shard) step \(m.step) payload \(m.payloadDigest.prefix(6))"
        case .appendRefused(let m): "AppendRefused shard-\(m.shard) step \(m.step): \(m.reason)"
        case .fetchChain(let m):
            "FetchChain shard-\(m.shard) step \(m.step) after \(m.afterStep) request \(m.request)"
        case .chainPart(let m):
            "ChainPart request \(m.request) parts \(m.parts.map { "\($0.step)" }.joined(separator: " ")) last \(m.last)"
        case .fetchFailed(let m): "FetchFailed shard-\(m.shard) step \(m.step): \(m.reason)"
        case .inventoryRequest: "InventoryRequest"
        case .inventory(let m): "Inventory \(m.parts.count) parts"
        case .fetchRecord(let m):
            "FetchRecord shard-\(m.shard) step \(m.step) payload \(m.payloadDigest.prefix(6))"
        case .recordPart(let m): "RecordPart \(words(m.part))"
        case .ask(let m): "Ask \(m.what)"
        case .answer: "Answer"
        case .notice(let m): "Notice \(m.json)"
        }
    }
}
