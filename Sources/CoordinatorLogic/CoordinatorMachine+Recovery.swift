import MachineCore
import Wire

/// How the model comes back: fence, choose, restore, run.
extension CoordinatorMachine {
    mutating func startRecovery(
        lost: Set<Int>, maxStep: Int64 = .max, at now: Instant, into effects: inout Effects<Action>
    ) {
        if startedAt == nil { startedAt = now }
        durable.epoch += 1
        durable.phase = .fencing
        durable.lostShards = lost.sorted().map { UInt32($0) }
        var next = Recovery(lost: lost, stepBefore: max(newestStep, UInt64(max(durable.committedStep, 0))))
        next.maxStep = maxStep
        recovery = next
        let names = lost.sorted().map { "shard-\($0)" }.joined(separator: ", ")
        effects.report(.info, "recovery", "epoch \(durable.epoch): recovering \(names) from the stores")
        then(.fence)
    }

    /// Asks every store to promise the epoch and to tell what it holds.
    mutating func sendFences(at now: Instant, into effects: inout Effects<Action>) {
        guard let recovery, durable.phase == .fencing else {
            fenceResendAt = nil
            return
        }
        var fence = Fence()
        fence.epoch = told.epoch
        fence.committedStep = told.committedStep
        for store in live(.store) where !recovery.promised.contains(store.index) {
            effects.send(.fence(fence), to: store)
        }
        fenceResendAt = now + settings.retry
    }

    mutating func receivePromised(
        _ promised: Promised, from store: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard var current = recovery, durable.phase == .fencing, promised.epoch == durable.epoch,
            store.role == .store
        else { return }
        current.promised.insert(store.index)
        for part in promised.parts where part.line <= durable.line && Int(part.shard) < settings.shards {
            var entry = current.found[part.step]?[Int(part.shard)]?[part.payloadDigest] ?? (part, [])
            // The same bits may stand on one store as they were written first, on another as they were done again.
            if part.line > entry.part.line { entry.part = part }
            entry.stores.insert(store.index)
            current.found[part.step, default: [:]][Int(part.shard), default: [:]][part.payloadDigest] = entry
        }
        if current.quorumAt == nil && isFenced(current.promised) { current.quorumAt = now }
        recovery = current
        let all = live(.store).allSatisfy { current.promised.contains($0.index) }
        if current.quorumAt != nil && all && live(.store).count == settings.stores {
            chooseStep(at: now, into: &effects)
        }
    }

    /// True when no writer of an older epoch can reach a write quorum on any shard's replicas.
    func isFenced(_ promised: Set<Int>) -> Bool {
        (0..<settings.shards).allSatisfy { shard in
            let replicas = Placement.stores(
                ofShard: shard, stores: settings.stores, replicas: settings.replicas)
            let sworn = replicas.filter { promised.contains($0.index) }.count
            let spared = settings.mutation == .fenceOneShort ? 1 : 0
            return sworn >= replicas.count - settings.writeQuorum + 1 - spared
        }
    }

    func enoughStores(_ present: Set<Int>) -> Bool {
        (0..<settings.shards).allSatisfy { shard in
            Placement.stores(ofShard: shard, stores: settings.stores, replicas: settings.replicas)
                .filter { present.contains($0.index) }.count >= settings.writeQuorum
        }
    }

    /// Completes the newest commit that the stores can prove, and takes it, or an older one, as the step to restore.
    mutating func chooseStep(at now: Instant, into effects: inout Effects<Action>) {
        guard var current = recovery, durable.phase == .fencing else { return }
        current.quorumAt = nil
        fenceResendAt = nil
        if current.maxStep == .max, let complete = newestComplete(current) {
            effects.report(
                .info, "commit",
                "step \(complete.step) was acknowledged but not committed: the stores prove it, so it is committed now"
            )
            commit([complete])
        }
        parts = [:]
        if current.maxStep < durable.committedStep {
            fallBack(below: current.maxStep, into: &effects)
        }
        if settings.mutation == .commitGoesBack,
            let before = manifests.keys.filter({ Int64($0) < durable.committedStep }).max()
        {
            durable.committedStep = Int64(before)
        }
        current.restoreStep = durable.committedStep
        recovery = current
        if settings.partialRecovery && current.lost.count < settings.shards {
            durable.phase = .freezing
            then(.announce)
            thawIfComplete(at: now, into: &effects)
        } else {
            recovery?.lost = Set(0..<settings.shards)
            beginRestore(at: now, into: &effects)
        }
    }

    /// The newest step above the last commit of which every shard's part stands on a write quorum, chain included.
    ///
    /// The step itself must be of the present timeline. What it builds on is proved by its digest, whatever its timeline.
    private func newestComplete(_ current: Recovery) -> Manifest? {
        func whole(_ step: UInt64, _ shard: Int, _ isMeant: (Part) -> Bool) -> Part? {
            current.found[step]?[shard]?.values.first {
                $0.stores.count >= settings.writeQuorum && isMeant($0.part)
            }.map { entry in
                var part = entry.part
                part.stores = entry.stores.map { UInt32($0) }.sorted()
                return part
            }
        }
        func chained(_ part: Part) -> Bool {
            var part = part
            while part.kind == .delta && Int64(part.baseStep) > durable.committedStep {
                let digest = part.baseDigest
                guard let base = whole(part.baseStep, Int(part.shard), { $0.stateDigest == digest }),
                    base.step < part.step
                else { return false }
                part = base
            }
            if part.kind == .delta,
                let known = decidedManifest(part.baseStep)?.parts.first(where: { $0.shard == part.shard })
            {
                return known.stateDigest == part.baseDigest
            }
            return true
        }
        // What shards told of meanwhile may be committed already, and freed: it is not committed a second time.
        for step in current.found.keys.sorted(by: >) where Int64(step) > durable.committedStep {
            let parts = (0..<settings.shards).compactMap { whole(step, $0) { $0.line == durable.line } }
            guard parts.count == settings.shards, parts.allSatisfy(chained) else { continue }
            return manifest(
                step: step, parts: Dictionary(uniqueKeysWithValues: parts.map { (Int($0.shard), $0) }))
        }
        return nil
    }

    /// Every copy of a committed step is damaged: the one before it is taken, and that is said aloud.
    private mutating func fallBack(below step: Int64, into effects: inout Effects<Action>) {
        let usable = manifests.keys.filter { Int64($0) <= step }.max()
        guard let usable else {
            unrecoverable = "no committed step is left that the stores can restore"
            effects.report(.error, "unrecoverable", unrecoverable!)
            return
        }
        effects.report(
            .error, "monotonic",
            "step \(durable.committedStep) can't be restored from any store: falling back to step \(usable)")
        let lostSteps = manifests.keys.filter { $0 > usable }.sorted()
        delete(lostSteps)
        durable.committedStep = Int64(usable)
    }

    // MARK: Partial recovery

    mutating func receiveFrozen(
        _ frozen: Frozen, from shard: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard durable.phase == .freezing, frozen.line == durable.epoch, shard.role == .shard,
            recovery?.lost.contains(shard.index) == false
        else { return }
        recovery?.frozen[shard.index] = frozen.version
        thawIfComplete(at: now, into: &effects)
    }

    mutating func thawIfComplete(at now: Instant, into effects: inout Effects<Action>) {
        guard let current = recovery, durable.phase == .freezing,
            current.lost.count + current.frozen.count >= settings.shards
        else { return }
        beginRestore(at: now, into: &effects)
    }

    // MARK: Restoring

    private mutating func beginRestore(at now: Instant, into effects: inout Effects<Action>) {
        guard let current = recovery, unrecoverable == nil else { return }
        durable.line = durable.epoch
        durable.phase = .restoring
        durable.lostShards = current.lost.sorted().map { UInt32($0) }
        durable.resumeVersion = current.frozen.values.max() ?? UInt64(max(current.restoreStep, 0))
        losses = [:]
        acknowledged = [:]
        parts = [:]
        let lostSteps =
            durable.resumeVersion > UInt64(max(current.restoreStep, 0))
            ? 0
            : current.stepBefore - min(current.stepBefore, UInt64(max(current.restoreStep, 0)))
        let told = settings.mutation == .lostStepsMisreported && lostSteps > 0 ? lostSteps - 1 : lostSteps
        for node in faults.keys.sorted() where node.role == .shard { faults[node]?.lostSteps = told }
        newestStep = durable.resumeVersion
        stepTimes = []
        instruct()
        let names = current.lost.sorted().map { "shard-\($0)" }.joined(separator: ", ")
        effects.report(
            .info, "recovery",
            current.restoreStep < 0
                ? "nothing is committed yet: \(names) begin from the seed"
                : "\(names) restore step \(current.restoreStep); \(lostSteps) steps are done again")
        then(.announce)
    }

    /// One instruction for each lost shard, for the process that holds its place now.
    mutating func instruct() {
        guard let current = recovery else { return }
        durable.restores = current.lost.sorted().map { shard in
            var restore = Restore()
            restore.shard = UInt32(shard)
            restore.step = current.restoreStep
            restore.incarnation = member(.shard(shard))?.incarnation ?? 0
            if settings.mutation == .restoreOfTwoSteps, shard == 0,
                let before = manifests.keys.filter({ Int64($0) < current.restoreStep }).max()
            {
                restore.step = Int64(before)
            }
            if restore.step >= 0 {
                restore.stateDigest =
                    decidedManifest(UInt64(restore.step))?.parts.first { $0.shard == UInt32(shard) }?
                    .stateDigest ?? ""
            }
            return restore
        }
    }

    mutating func receiveRestored(
        _ restored: Restored, from node: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard durable.phase == .restoring, restored.line == durable.line, node.role == .shard,
            let current = recovery,
            current.lost.contains(node.index),
            restored.step == current.restoreStep || settings.mutation == .restoreOfTwoSteps
        else { return }
        let instruction = durable.restores.first { $0.shard == UInt32(node.index) }
        guard instruction?.stateDigest == restored.stateDigest else {
            effects.report(
                .error, "proved", "\(node) restored another state than the manifest names; it is not taken")
            return
        }
        recovery?.restored.insert(node.index)
        guard recovery?.restored == current.lost else { return }
        durable.phase = .running
        durable.lostShards = []
        recovery = nil
        then(.announce)
        for fault in faults.keys.sorted() where fault.role == .shard && liveness[fault]?.live == true {
            recovered(fault, mode: settings.partialRecovery ? "partial" : "rollback", at: now, into: &effects)
        }
        if durable.committedStep >= Int64(durable.targetStep) { finish() }
    }

    mutating func receiveRestoreFailed(
        _ failure: RestoreFailed, from node: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard durable.phase == .restoring, failure.line == durable.line, var current = recovery,
            failure.step == current.restoreStep
        else { return }
        effects.report(
            .error, "restore", "\(node) found no store that gives step \(failure.step): \(failure.reason)")
        guard failure.definite else { return }
        guard var rounds = current.failedRounds[node.index] else {
            recovery?.failedRounds[node.index] = FailedRounds(began: now, last: now, reason: failure.reason)
            return
        }
        // The same round told of twice is no second one.
        guard now.since(rounds.last) >= Instant.Span(nanoseconds: settings.retry.nanoseconds / 2) else {
            return
        }
        let replicas = Placement.stores(
            ofShard: node.index, stores: settings.stores, replicas: settings.replicas)
        let told = replicas.compactMap { liveness[$0] }
        let areWhole = told.allSatisfy { $0.caughtUp && $0.lastHeard > rounds.last }
        let isProof = rounds.isProof(failure.reason, storesAreWhole: areWhole, at: now)
        current.failedRounds[node.index] = rounds
        recovery = current
        guard isProof, told.count == replicas.count, told.allSatisfy(\.live) else { return }
        startRecovery(lost: current.lost, maxStep: failure.step - 1, at: now, into: &effects)
    }
}
