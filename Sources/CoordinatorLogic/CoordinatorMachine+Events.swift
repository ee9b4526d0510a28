import LCCheckpoint
import MachineCore
import Wire

extension CoordinatorMachine {
    public mutating func handle(
        _ event: Event<Completion>, at now: Instant, into effects: inout Effects<Action>
    ) {
        allowForOwnPause(at: now)
        switch event {
        case .message(let packet, let sender): receive(packet, from: sender, at: now, into: &effects)
        case .completed(.persisted): persisted(at: now, into: &effects)
        case .completed(.notLeader):
            effects.exit("another coordinator leads this run", failed: false)
            return
        case .completed(.persistFailed(let reason)):
            effects.exit("the coordinator's database failed: \(reason)", failed: true)
            return
        // What was sent on a connection that ended may be lost with it.
        case .peerConnected(let peer), .peerDisconnected(let peer): liveness[peer]?.viewSent = 0
        case .tick: break
        }
        checkTimers(at: now, into: &effects)
        flush(at: now, into: &effects)
    }

    private mutating func persisted(at now: Instant, into effects: inout Effects<Action>) {
        let done = pending.removeFirst()
        if let persisting { stable = persisting }
        persisting = nil
        var announces = false
        // Made once for all who have joined: it names every member.
        var view: View?
        for continuation in done {
            switch continuation {
            case .announce: announces = true
            case .joined(let node, let nonce, let asker):
                announces = true
                guard let member = member(node), member.nonce == nonce else { continue }
                let known = view ?? self.view
                view = known
                answerJoin(member, known, to: asker, into: &effects)
            case .committed(let manifests): committed(manifests, at: now, into: &effects)
            case .fence:
                announces = true
                sendFences(at: now, into: &effects)
            case .retain(let decided): retain = decided
            case .answer(let id, let asker):
                var answer = Answer()
                answer.id = id
                answer.ok = true
                answer.last = true
                answer.json = "{}"
                effects.send(.answer(answer), to: asker)
            }
        }
        if announces { announce(at: now, into: &effects) }
        tellOfTheEnd(at: now, into: &effects)
    }

    private mutating func receive(
        _ packet: Packet, from sender: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard let body = packet.body else { return }
        switch body {
        case .join(let join): receiveJoin(join, from: sender, at: now, into: &effects)
        case .nodeExited(let exit): receiveExit(exit, at: now, into: &effects)
        case .ask(let ask): receiveAsk(ask, from: sender, at: now, into: &effects)
        case .heartbeat(let heartbeat):
            guard admit(packet, sender, at: now, into: &effects) else { return }
            receiveHeartbeat(heartbeat, epoch: packet.epoch, from: sender, at: now, into: &effects)
        case .prepared(let prepared):
            guard admit(packet, sender, at: now, into: &effects) else { return }
            for part in prepared.parts { takePart(part, from: sender, into: &effects) }
            commitWhatIsWhole(into: &effects)
        case .restored(let restored):
            guard admit(packet, sender, at: now, into: &effects) else { return }
            receiveRestored(restored, from: sender, at: now, into: &effects)
        case .restoreFailed(let failure):
            guard admit(packet, sender, at: now, into: &effects) else { return }
            receiveRestoreFailed(failure, from: sender, at: now, into: &effects)
        case .frozen(let frozen):
            guard admit(packet, sender, at: now, into: &effects) else { return }
            receiveFrozen(frozen, from: sender, at: now, into: &effects)
        case .promised(let promised):
            guard admit(packet, sender, at: now, into: &effects) else { return }
            receivePromised(promised, from: sender, at: now, into: &effects)
        case .answer(let answer): receiveVerifyAnswer(answer, from: sender, into: &effects)
        case .joined, .refused, .heartbeatReply, .view, .fence, .notice, .position, .positionReply, .pull,
            .parameters,
            .push, .append, .appended, .appendRefused, .fetchChain, .chainPart, .fetchFailed,
            .inventoryRequest,
            .inventory, .fetchRecord, .recordPart:
            break
        }
    }

    /// True for the process that holds the place now; one that was replaced is told to end.
    private mutating func admit(
        _ packet: Packet, _ sender: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) -> Bool {
        guard let member = member(sender), packet.run == identityRun else { return false }
        guard packet.incarnation == member.incarnation else {
            var refusal = Refused()
            refusal.reason = "\(sender) was replaced by another process"
            refusal.fatal = packet.incarnation < member.incarnation
            effects.send(.refused(refusal), to: sender)
            effects.report(.warning, "fenced", "a replaced process of \(sender) was refused")
            return false
        }
        var entry = liveness[sender] ?? Liveness(lastHeard: now, live: true)
        // What was announced before a process had its connection did not reach it.
        if !entry.wasHeard { entry.viewSent = 0 }
        entry.lastHeard = now
        entry.hasSpoken = true
        entry.wasHeard = true
        expectLease(now + settings.lease)
        if !entry.live {
            entry.live = true
            effects.report(.info, "membership", "\(sender) is heard again")
            liveness[sender] = entry
            cameBack(sender, at: now, into: &effects)
        }
        liveness[sender] = entry
        return true
    }

    private mutating func receiveHeartbeat(
        _ heartbeat: Heartbeat, epoch: UInt64, from sender: NodeID, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        guard var entry = liveness[sender] else { return }
        entry.state = heartbeat.state
        entry.step = heartbeat.step
        entry.line = heartbeat.line
        entry.caughtUp = heartbeat.caughtUp
        entry.retainNumber = heartbeat.retainNumber
        entry.manifestStep = heartbeat.manifestStep
        if sender.role == .shard {
            let before = entry.stallNanoseconds
            let grown =
                heartbeat.stallNanoseconds >= before
                ? heartbeat.stallNanoseconds - before : heartbeat.stallNanoseconds
            stallTotal[sender.index, default: 0] += grown
            entry.stallNanoseconds = heartbeat.stallNanoseconds
        }
        liveness[sender] = entry
        var reply = HeartbeatReply()
        reply.committedStep = stable.committedStep
        if sender.role == .worker {
            takeLosses(heartbeat, slot: sender.index, at: now, into: &effects)
            reply.acknowledgedStep = acknowledged[sender.index] ?? 0
        }
        if sender.role == .store {
            if heartbeat.retainNumber < retain.number { reply.retain = retain }
            reply.manifests = manifests(for: sender.index, entry)
        }
        effects.send(.heartbeatReply(reply), to: sender)
        if epoch < stable.epoch || heartbeat.viewNumber < viewNumber {
            sendViewAgain(to: sender, at: now, into: &effects)
        }
        noticeReturn(of: sender, entry, at: now, into: &effects)
    }

    /// The manifests that a store lacks, each with the parts that it is to hold: whole ones would grow with the product of
    /// shards and stores.
    private func manifests(for store: Int, _ entry: Liveness) -> [Manifest] {
        let missing = manifests.keys.filter {
            $0 > entry.manifestStep || ($0 == 0 && entry.manifestStep == 0)
        }
        guard !missing.isEmpty else { return [] }
        let held = Placement.shards(
            ofStore: store, shards: settings.shards, stores: settings.stores, replicas: settings.replicas)
        return missing.sorted().prefix(64).compactMap { step in
            guard var manifest = manifests[step] else { return nil }
            let parts = manifest.parts
            manifest.parts = held.compactMap { $0 < parts.count ? parts[$0] : nil }
            return manifest
        }
    }

    // MARK: Steps and losses

    private mutating func takeLosses(
        _ heartbeat: Heartbeat, slot: Int, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard heartbeat.line == durable.line else {
            acknowledged[slot] = 0
            return
        }
        for item in heartbeat.losses where item.step > (acknowledged[slot] ?? 0) {
            losses[item.step, default: [:]][slot] = item.loss
            acknowledged[slot] = item.step
        }
        // A worker that died takes its last reports with it: a step is told of when it, or a later one, is complete.
        var complete: UInt64 = 0
        for (step, known) in losses where known.count == settings.workers { complete = max(complete, step) }
        let whole = losses.keys.sorted().filter { $0 <= complete || losses.count > 256 }
        for step in whole {
            let own = losses.removeValue(forKey: step)!
            // In the order of the slots: another one would round differently.
            let loss = own.keys.sorted().reduce(0) { $0 + own[$1]! } / Float(own.count)
            stepDone(step, loss: loss, at: now, into: &effects)
        }
    }

    private mutating func stepDone(
        _ step: UInt64, loss: Float, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard step > newestStep || stepTimes.isEmpty else { return }
        newestStep = max(newestStep, step)
        lastLoss = loss
        stepTimes.append((step, now))
        if stepTimes.count > 64 { stepTimes.removeFirst(stepTimes.count - 64) }
        notify(
            [
                ("event", "\"step\""), ("step", "\(step)"), ("loss", JSONText.number(Double(loss))),
                ("steps_per_second", JSONText.number(stepsPerSecond)),
                ("last_committed_step", "\(stable.committedStep)"),
            ], into: &effects)
    }

    var stepsPerSecond: Double {
        guard let first = stepTimes.first, let last = stepTimes.last, last.at > first.at,
            last.step > first.step
        else { return 0 }
        let rate = Double(last.step - first.step) / (last.at.since(first.at).milliseconds / 1000)
        return (rate * 100).rounded() / 100
    }

    // MARK: Commits

    private mutating func takePart(_ part: Part, from sender: NodeID, into effects: inout Effects<Action>) {
        guard sender == .shard(Int(part.shard)), part.step < UInt64(Int64.max),
            part.line == durable.line || settings.mutation == .oldLineAccepted,
            Int64(part.step) > durable.committedStep,
            part.stores.count >= settings.countedQuorum
        else { return }
        switch durable.phase {
        case .running, .restoring, .fencing, .finished: parts[part.step, default: [:]][Int(part.shard)] = part
        case .forming, .freezing, .UNRECOGNIZED: break
        }
    }

    mutating func commitWhatIsWhole(into effects: inout Effects<Action>) {
        if settings.mutation == .manifestOfTwoSteps { fillGaps() }
        let whole = parts.keys.sorted().filter {
            parts[$0]!.count == settings.shards && committing[$0] == nil
        }
        guard !whole.isEmpty else { return }
        let made = whole.map { manifest(step: $0, parts: parts[$0]!) }
        commit(made)
    }

    private mutating func fillGaps() {
        for step in parts.keys.sorted() where parts[step]!.count == settings.shards - 1 {
            for shard in 0..<settings.shards where parts[step]![shard] == nil {
                parts[step]![shard] = manifests[UInt64(max(durable.committedStep, 0))]?.parts[shard]
            }
        }
    }

    func manifest(step: UInt64, parts: [Int: Part]) -> Manifest {
        var manifest = Manifest()
        manifest.step = step
        manifest.line = durable.line
        manifest.epoch = durable.epoch
        manifest.parts = (0..<settings.shards).map { parts[$0]! }
        let digests = manifest.parts.map(\.stateDigest).joined()
        manifest.modelDigest = Array(digests.utf8).withUnsafeBytes { Digest.of($0).description }
        return manifest
    }

    /// A manifest that is committed, or decided and on its way to the disk.
    func decidedManifest(_ step: UInt64) -> Manifest? { committing[step] ?? manifests[step] }

    mutating func commit(_ made: [Manifest]) {
        for manifest in made {
            committing[manifest.step] = manifest
            durable.checkpointsCommitted += 1
            durable.committedStep = max(durable.committedStep, Int64(manifest.step))
            for part in manifest.parts {
                durable.rawBytes += part.rawBytes
                durable.encodedBytes += part.encodedBytes
            }
        }
        batchCommits += made
        then(.committed(made))
    }

    private mutating func committed(_ made: [Manifest], at now: Instant, into effects: inout Effects<Action>)
    {
        for manifest in made {
            manifests[manifest.step] = manifest
            committing[manifest.step] = nil
            parts[manifest.step] = nil
            let raw = manifest.parts.reduce(0) { $0 + $1.rawBytes }
            let encoded = manifest.parts.reduce(0) { $0 + $1.encodedBytes }
            let slowest = manifest.parts.map(\.commitNanoseconds).max() ?? 0
            let error = manifest.parts.map(\.relativeError).max() ?? 0
            notify(
                [
                    ("event", "\"checkpoint\""), ("step", "\(manifest.step)"), ("raw_bytes", "\(raw)"),
                    ("encoded_bytes", "\(encoded)"),
                    ("ratio", JSONText.number(Double(raw) / Double(max(encoded, 1)))),
                    ("commit_ms", JSONText.number(Double(slowest) / 1e6)),
                    ("relative_error", JSONText.number(error)),
                ], into: &effects)
        }
        parts = parts.filter { Int64($0.key) > durable.committedStep }
        updateRetain()
        if durable.phase == .running && durable.committedStep >= Int64(durable.targetStep) {
            finish()
        }
    }

    mutating func finish() {
        durable.phase = .finished
        stopDeadline = nil
        then(.announce)
    }

    /// Once in the life of a coordinator, and only when the end is durable: so the one that follows it tells again what
    /// may have been lost with it.
    private mutating func tellOfTheEnd(at now: Instant, into effects: inout Effects<Action>) {
        guard stable.phase == .finished, !hasToldOfTheEnd else { return }
        hasToldOfTheEnd = true
        let wall = startedAt.map { Double(now.since($0).nanoseconds) } ?? 0
        let stall = Double(stallTotal.values.max() ?? 0)
        notify(
            [
                ("event", "\"finished\""), ("step", "\(durable.committedStep)"),
                ("final_loss", JSONText.number(Double(lastLoss))),
                ("checkpoints_committed", "\(durable.checkpointsCommitted)"),
                ("raw_bytes", "\(durable.rawBytes)"), ("encoded_bytes", "\(durable.encodedBytes)"),
                ("recoveries", "\(durable.recoveries)"),
                ("checkpoint_overhead_percent", JSONText.number(wall > 0 ? stall / wall * 100 : 0)),
            ], into: &effects)
    }

    // MARK: Retention

    /// The newest `keepLast` committed steps, every `keepEvery`-th, and those that are pinned.
    mutating func updateRetain() {
        let all = manifests.keys.sorted()
        guard let newestCommitted = all.last else { return }
        let newest = Set(all.suffix(settings.keepLast))
        let kept = all.filter {
            newest.contains($0) || manifests[$0]!.pinned && settings.mutation != .pruneDropsPinned
                || (settings.keepEvery > 0 && $0 % settings.keepEvery == 0)
        }
        // Telling the stores every time would be work for nothing: a few steps too many are kept meanwhile.
        guard all.count - kept.count >= 16 || decidedRetain.number == 0 || forcedPrune else { return }
        forcedPrune = false
        let dropped = Set(all).subtracting(kept)
        delete(dropped.sorted())
        decidedRetain.number += 1
        if decidedRetain.number == 1 { decidedRetain.number = durable.epoch << 20 }
        // Not the newest that is decided: commits that are still on their way to the disk are not in `steps`.
        decidedRetain.committedStep = Int64(newestCommitted)
        decidedRetain.steps = kept
        // The stores hear of it when the steps are out of the database: a coordinator that follows this one must not
        // offer a step that they have dropped.
        then(.retain(decidedRetain))
    }

    /// Steps leave the database with the next transaction; a pin that is on its way there doesn't bring them back.
    mutating func delete(_ steps: [UInt64]) {
        for step in steps { manifests[step] = nil }
        batchCommits.removeAll { steps.contains($0.step) }
        batchDeletes += steps
    }

    // MARK: Notices

    mutating func notify(_ fields: [(String, String)], into effects: inout Effects<Action>) {
        noticeNumber += 1
        notices.append((noticeNumber, fields))
        if notices.count > 4096 { notices.removeFirst(notices.count - 4096) }
        guard !followers.isEmpty else { return }
        let notice = notice(noticeNumber, fields)
        for follower in followers.keys.sorted() { effects.send(.notice(notice), to: follower) }
    }

    func notice(_ number: UInt64, _ fields: [(String, String)]) -> Notice {
        var notice = Notice()
        notice.number = number
        notice.json = JSONText.object(fields)
        return notice
    }
}
