import MachineCore
import Wire

/// What tools ask: status, manifests, events; and what operators order.
extension CoordinatorMachine {
    /// A verification that every store takes part in.
    struct VerifyRound: Sendable {
        var asker: NodeID
        var missing: Set<Int>
        var answers: [Int: String] = [:]
        var deadline: Instant
    }

    mutating func receiveAsk(
        _ ask: Ask, from asker: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        func answer(_ json: String, ok: Bool = true) {
            var answer = Answer()
            answer.id = ask.id
            answer.ok = ok
            answer.last = true
            answer.json = json
            effects.send(.answer(answer), to: asker)
        }
        switch ask.what {
        case "status": answer(statusJSON)
        case "manifests": answer(manifestsJSON)
        case "view":
            effects.send(.view(view), to: asker)
            answer("{}")
        case "events":
            // Also what a follower was told of and did not hear: its connection may have been another then.
            followers[asker] = now
            for (number, fields) in notices where number > ask.after {
                effects.send(.notice(notice(number, fields)), to: asker)
            }
        case "stop": stop(ask, asker, at: now, into: &effects)
        case "pin", "unpin":
            guard ask.step >= 0, var manifest = manifests[UInt64(ask.step)] else {
                return answer(
                    JSONText.quoted("step \(ask.step) is not a committed step that is still held"), ok: false)
            }
            manifest.pinned = ask.what == "pin"
            manifests[manifest.step] = manifest
            batchCommits.append(manifest)
            then(.answer(id: ask.id, to: asker))
        case "prune":
            forcedPrune = true
            updateRetain()
            then(.answer(id: ask.id, to: asker))
        case "verify", "repair":
            let stores = live(.store)
            verifies[ask.id] = VerifyRound(
                asker: asker, missing: Set(stores.map(\.index)), deadline: now + .milliseconds(60_000))
            for store in stores { effects.send(.ask(ask), to: store) }
        default: answer(JSONText.quoted("'\(ask.what)' is not a question of this protocol"), ok: false)
        }
    }

    // MARK: Stopping

    /// Ends training at a step that is near and that no worker has passed: the last checkpoint is made there.
    private mutating func stop(
        _ ask: Ask, _ asker: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard durable.phase != .finished else {
            then(.answer(id: ask.id, to: asker))
            return
        }
        moveStop(at: now, into: &effects)
        then(.answer(id: ask.id, to: asker))
    }

    mutating func moveStop(at now: Instant, into effects: inout Effects<Action>) {
        guard durable.phase != .finished else {
            stopDeadline = nil
            return
        }
        let reached =
            liveness.filter { $0.key.role == .shard || $0.key.role == .worker }.map(\.value.step).max() ?? 0
        let isOrdered = stopDeadline != nil
        stopDeadline = now + .milliseconds(3_000)
        // Slow steps take longer than this patience: an end that nobody has passed stays.
        guard !isOrdered || reached > durable.targetStep else { return }
        let margin = UInt64(max(4, (stepsPerSecond * 0.4).rounded(.up)))
        // An earlier target may have been passed before it was heard, so only the end of the run is a limit.
        let target = min(max(reached, newestStep) + margin, max(settings.steps, 1))
        durable.targetStep = target
        effects.report(.info, "stop", "training ends at step \(target), with a checkpoint")
        then(.announce)
    }

    // MARK: Verification

    mutating func receiveVerifyAnswer(
        _ answer: Answer, from store: NodeID, into effects: inout Effects<Action>
    ) {
        guard store.role == .store, var round = verifies[answer.id], round.missing.remove(store.index) != nil
        else { return }
        round.answers[store.index] = answer.json
        verifies[answer.id] = round
        if round.missing.isEmpty { endVerify(answer.id, into: &effects) }
    }

    mutating func expireVerifies(at now: Instant, into effects: inout Effects<Action>) {
        for id in verifies.keys.sorted() where now >= verifies[id]!.deadline { endVerify(id, into: &effects) }
    }

    private mutating func endVerify(_ id: UInt64, into effects: inout Effects<Action>) {
        guard let round = verifies.removeValue(forKey: id) else { return }
        let answered = round.answers.keys.sorted().map {
            JSONText.object([("store", "\"store-\($0)\""), ("report", round.answers[$0]!)])
        }
        let absent = (0..<settings.stores).filter { round.answers[$0] == nil }.map { "\"store-\($0)\"" }
        var answer = Answer()
        answer.id = id
        answer.ok = true
        answer.last = true
        answer.json = JSONText.object([
            ("stores", JSONText.array(answered)), ("absent", JSONText.array(absent)),
        ])
        effects.send(.answer(answer), to: round.asker)
    }

    // MARK: Documents

    private var statusJSON: String {
        let own = JSONText.object([
            ("id", "\"coordinator\""), ("role", "\"coordinator\""), ("state", "\"leading\""),
            ("pid", "\(selfMember.pid)"),
            ("host", JSONText.quoted(selfMember.host)), ("endpoint", JSONText.quoted(selfMember.endpoint)),
            ("epoch", "\(durable.epoch)"), ("incarnation", "\(epochAtStart)"), ("step", "\(newestStep)"),
        ])
        let nodes =
            [own]
            + durable.members.map { member -> String in
                let node = NodeID(member.node)!
                let entry = liveness[node]
                return JSONText.object([
                    ("id", JSONText.quoted(member.node)), ("role", JSONText.quoted(node.role.rawValue)),
                    ("state", JSONText.quoted(entry?.state ?? "unknown")), ("pid", "\(member.pid)"),
                    ("host", JSONText.quoted(member.host)), ("endpoint", JSONText.quoted(member.endpoint)),
                    ("epoch", "\(durable.epoch)"), ("incarnation", "\(member.incarnation)"),
                    ("step", "\(entry?.step ?? 0)"),
                ])
            }
        return JSONText.object([
            ("state", JSONText.quoted(stateName)), ("step", "\(newestStep)"),
            ("last_committed_step", "\(durable.committedStep)"), ("epoch", "\(durable.epoch)"),
            ("line", "\(durable.line)"), ("target_step", "\(durable.targetStep)"),
            ("loss", JSONText.number(Double(lastLoss))),
            ("steps_per_second", JSONText.number(stepsPerSecond)),
            ("recoveries", "\(durable.recoveries)"),
            ("checkpoints_committed", "\(durable.checkpointsCommitted)"),
            (
                "compression_ratio",
                JSONText.number(Double(durable.rawBytes) / Double(max(durable.encodedBytes, 1)))
            ),
            ("nodes", JSONText.array(nodes)),
        ])
    }

    private var stateName: String {
        if unrecoverable != nil { return "unrecoverable" }
        switch durable.phase {
        case .forming: return "forming"
        case .fencing, .freezing, .restoring: return "recovering"
        case .running: return enoughStores(Set(live(.store).map(\.index))) ? degraded : "stalled"
        case .finished: return "finished"
        case .UNRECOGNIZED: return "unknown"
        }
    }

    private var degraded: String {
        let present = live(.store).count + live(.shard).count + live(.worker).count
        return present == settings.stores + settings.shards + settings.workers ? "running" : "degraded"
    }

    private var manifestsJSON: String {
        JSONText.array(
            manifests.keys.sorted().map { step in
                let manifest = manifests[step]!
                let kind = manifest.parts.allSatisfy { $0.kind == .base } ? "base" : "delta"
                return JSONText.object([
                    ("step", "\(step)"), ("kind", JSONText.quoted(kind)),
                    ("raw_bytes", "\(manifest.parts.reduce(0) { $0 + $1.rawBytes })"),
                    ("encoded_bytes", "\(manifest.parts.reduce(0) { $0 + $1.encodedBytes })"),
                    ("digest", JSONText.quoted(manifest.modelDigest)),
                    ("replicas", "\(manifest.parts.map(\.stores.count).min() ?? 0)"),
                    ("pinned", manifest.pinned ? "true" : "false"),
                ])
            })
    }
}
