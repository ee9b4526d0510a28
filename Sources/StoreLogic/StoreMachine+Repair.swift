import MachineCore
import Wire

/// How a store comes to hold what it should: inventories of its peers, repairs of single records, retention.
extension StoreMachine {
    mutating func markDamaged(_ key: Key, at now: Instant) {
        guard let part = index.removeValue(forKey: key) else { return }
        if settings.mutation == .damageForgotten { return }
        damaged[key] = part
        startRepair(part, at: now)
        // The coordinator must not take a record for lost that is being fetched.
        membership.heartbeatNow()
    }

    /// Asks peers for a record one after another; the answer is checked against the digest before it is written.
    mutating func startRepair(_ part: Part, at now: Instant) {
        let key = Key(shard: part.shard, step: part.step)
        if let known = repairs[key] {
            // Not merely late: a peer has it, or what was here is damaged.
            guard known.isExpected else { return }
            repairs[key]?.isExpected = false
            repairs[key]?.deadline = min(known.deadline, now)
            return
        }
        enqueue(Repair(part: part, deadline: now, request: 0), for: key)
    }

    /// Has a record wait to be fetched, if there is room.
    private mutating func enqueue(_ repair: Repair, for key: Key) {
        guard repairs.count < settings.maxRepairs || settings.mutation == .repairsUnlimited else {
            lacksRoom = true
            return
        }
        repairs[key] = repair
    }

    /// Nothing is missing but what is likely to come by itself.
    var lacksNothing: Bool { repairs.missed == 0 && !lacksRoom }

    mutating func checkTimers(at now: Instant, into effects: inout Effects<Action>) {
        if !repairs.isEmpty { askForRepairs(at: now, into: &effects) }
        if lacksRoom && repairs.count <= settings.maxRepairs / 2 && inventoriesMissing.isEmpty {
            refreshInventories(at: now)
            // With nobody to ask it stays known that something is missing.
            lacksRoom = inventoriesMissing.isEmpty
        }
        if let due = inventoryDue, now >= due { askInventories(at: now, into: &effects) }
        if !verifications.isEmpty { settleVerifications(at: now, into: &effects) }
        if membership.heartbeatIsDue(at: now) { sendHeartbeat(at: now, into: &effects) }
    }

    private mutating func askForRepairs(at now: Instant, into effects: inout Effects<Action>) {
        for key in repairs.takeDue(at: now, limit: Self.maxActiveRepairs) {
            guard let repair = repairs[key] else { continue }
            if index[key]?.payloadDigest == repair.part.payloadDigest {
                repairs[key] = nil
            } else {
                askForRepair(key, repair, at: now, into: &effects)
            }
        }
    }

    private mutating func askForRepair(
        _ key: Key, _ known: Repair, at now: Instant, into effects: inout Effects<Action>
    ) {
        var repair = known
        let peers = Self.replicas(ofShard: key.shard, settings: settings).filter { $0 != identity.node }
        guard !peers.isEmpty else {
            repairs[key] = nil
            return
        }
        if repair.triedPeers.count >= peers.count { repair.triedPeers = [] }
        guard let peer = peers.first(where: { !repair.triedPeers.contains($0) }) else { return }
        repair.triedPeers.insert(peer)
        repair.request = nextRequest
        nextRequest += 1
        repair.deadline = now + settings.retry + .transfer(of: repair.part.encodedBytes)
        repair.isExpected = false
        repairs[key] = repair
        var fetch = FetchRecord()
        fetch.request = repair.request
        fetch.shard = key.shard
        fetch.step = key.step
        fetch.payloadDigest = repair.part.payloadDigest
        effects.send(.fetchRecord(fetch), to: peer)
    }

    mutating func repairFailed(
        shard: UInt32, step: UInt64, by peer: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        let key = Key(shard: shard, step: step)
        guard var repair = repairs[key], repair.request != 0 else { return }
        let peers = Self.replicas(ofShard: shard, settings: settings).filter { $0 != identity.node }
        repair.refusals.insert(peer)
        if repair.refusals.isSuperset(of: peers) {
            // Nobody holds just this payload any more: the step was done again after a rollback. What they hold now
            // is asked for instead.
            repairs[key] = nil
            for position in verifications.indices where verifications[position].awaited.contains(key) {
                verifications[position].refused[key] = verifications[position].refused[key] ?? now
            }
            // What retention has already been decided on, and nobody has, nobody needs. Under load there is always something
            // that was freed while it was waited for.
            if Int64(step) > retain.committedStep { refreshInventories(at: now + settings.retry) }
            return
        }
        // The next peer at once; after the last one, a pause.
        if repair.triedPeers.count < peers.count { repair.deadline = now }
        repairs[key] = repair
    }

    mutating func takeRecord(
        _ record: RecordPart, payload: Payload?, from peer: NodeID, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        let key = Key(shard: record.part.shard, step: record.part.step)
        guard let repair = repairs[key], repair.request == record.request,
            repair.part.payloadDigest == record.part.payloadDigest, let payload,
            UInt64(payload.count) == record.part.encodedBytes
        else { return }
        if index[key]?.payloadDigest == record.part.payloadDigest {
            repairs[key] = nil
            return
        }
        // An append of the same bits is on its way to the disk, under a timeline that may be newer.
        if pendingRecord(key)?.payloadDigest == record.part.payloadDigest {
            repairs[key]?.deadline = now + .milliseconds(5_000)
            return
        }
        // What was appended meanwhile, and may be acknowledged in the same batch, is not made way for what came before it;
        // nor is what was acknowledged and is damaged since.
        let others = [pendingRecord(key), index[key], damaged[key]].compactMap { $0 }
        if settings.mutation != .repairOverwrites,
            others.contains(where: {
                $0.payloadDigest != record.part.payloadDigest && $0.line >= record.part.line
            })
        {
            repairs[key] = nil
            return
        }
        // The shell computes the digest of the payload before it writes, and refuses another one.
        repairs[key]?.deadline = now + .milliseconds(5_000)
        // The same bits may have been acknowledged here on a later timeline than the peer knows.
        let newest = [repair.part, record.part, damaged[key]].compactMap { $0 }
            .filter { $0.payloadDigest == record.part.payloadDigest }.max { $0.line < $1.line }
        enqueue(Pending(write: .record(newest ?? record.part, payload: payload), asker: nil))
    }

    // MARK: Catching up

    mutating func takeView(_ view: View, at now: Instant, into effects: inout Effects<Action>) {
        guard membership.take(view) == .taken else { return }
        if membership.isReplaced {
            effects.exit("\(identity.node) was replaced by another process", failed: false)
            return
        }
        if view.epoch > promisedEpoch { queuePromise(view.epoch) }
        committedStep = max(committedStep, view.committedStep)
        forgetGivenUp(view)
        appenders = membership.members(of: .shard).count { holds(UInt32($0.node.index)) }
        if inventoriesMissing.isEmpty && (!askedInventories || settings.mutation == .repairOverwrites) {
            refreshInventories(at: now)
        }
        if lacksLinks && inventoriesMissing.isEmpty && lacksNothing { askForLinksAgain(at: now) }
        updateCaughtUp(into: &effects)
        if caughtUp { membership.heartbeatNow() }
    }

    /// A commit of a timeline before, above what the new one began with, was given up because nobody could restore it: it
    /// must not keep out what is done in its place.
    private mutating func forgetGivenUp(_ view: View) {
        let givenUp = manifests.values.filter {
            $0.line < view.line && Int64($0.step) > view.committedStep
        }
        guard !givenUp.isEmpty else { return }
        for manifest in givenUp { manifests[manifest.step] = nil }
        manifestStep = manifests.keys.max().map { Int64($0) } ?? -1
        committedStep = view.committedStep
    }

    /// Whoever holds a missing link may have been away when the peers were asked.
    private mutating func askForLinksAgain(at now: Instant) {
        // Also of steps that nobody has committed yet: they may be.
        lacksLinks = index.values.contains { $0.baseStep < $0.step && lacksBase(of: $0) }
        if lacksLinks { refreshInventories(at: now) }
    }

    private func lacksBase(of part: Part) -> Bool {
        part.kind == .delta
            && index[Key(shard: part.shard, step: part.baseStep)]?.stateDigest != part.baseDigest
    }

    /// A delta whose base is not here shows that appends were missed: the peers are asked for what they hold.
    mutating func noticeGap(before part: Part, at now: Instant) {
        guard lacksBase(of: part), repairs[Key(shard: part.shard, step: part.baseStep)] == nil else { return }
        lacksLinks = true
        // Also when peers are being asked already: those that have answered may have had no word of it.
        refreshInventories(at: now)
    }

    /// Has the peers asked for what they hold: those that live, and the first time also those that come back later.
    private mutating func refreshInventories(at due: Instant) {
        inventoriesMissing = Set(
            membership.members(of: .store).filter {
                ($0.member.live || !askedInventories) && $0.node != identity.node
            }.map(\.node))
        if !inventoriesMissing.isEmpty { askedInventories = true }
        inventoryDue = inventoriesMissing.isEmpty ? nil : due
        inventoryRound = nextRequest
    }

    private mutating func askInventories(at now: Instant, into effects: inout Effects<Action>) {
        let live = Set(membership.members(of: .store).filter(\.member.live).map(\.node))
        for peer in inventoriesMissing.sorted() where live.contains(peer) {
            askInventory(of: peer, behind: nil, into: &effects)
        }
        inventoryDue = inventoriesMissing.isEmpty ? nil : now + settings.retry
    }

    /// - Parameter last: what the peer has told of so far ends with it.
    private mutating func askInventory(
        of peer: NodeID, behind last: Part?, into effects: inout Effects<Action>
    ) {
        var request = InventoryRequest()
        request.request = nextRequest
        nextRequest += 1
        if let last {
            request.isContinued = true
            request.afterShard = last.shard
            request.afterStep = last.step
        }
        effects.send(.inventoryRequest(request), to: peer)
    }

    mutating func takeInventory(
        _ inventory: Inventory, from peer: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard inventory.request >= inventoryRound, inventoriesMissing.contains(peer) else { return }
        if inventory.moreFollow, let last = inventory.parts.last {
            askInventory(of: peer, behind: last, into: &effects)
            // From the beginning only if this answer does not come.
            inventoryDue = now + settings.retry
        } else {
            inventoriesMissing.remove(peer)
            if inventoriesMissing.isEmpty { inventoryDue = nil }
        }
        var missing = 0
        for part in inventory.parts where holds(part.shard) {
            let key = Key(shard: part.shard, step: part.step)
            guard index[key]?.payloadDigest != part.payloadDigest else { continue }
            if let known = index[key] ?? damaged[key], known.payloadDigest != part.payloadDigest {
                // A record of a timeline that was given up makes room for the one that took its place.
                guard
                    part.line > known.line && !isCommitted(known) || settings.mutation == .repairOverwrites
                else { continue }
            }
            startRepair(part, at: now)
            missing += 1
        }
        if missing > 0 {
            effects.report(.info, "catch-up", "\(missing) records are fetched from \(peer) and its peers")
        }
        updateCaughtUp(into: &effects)
    }

    mutating func updateCaughtUp(into effects: inout Effects<Action>) {
        let stores = membership.members(of: .store)
        var isHeard: Bool {
            stores.allSatisfy {
                !$0.member.live || $0.node == identity.node || !inventoriesMissing.contains($0.node)
            }
        }
        // Before the peers were asked nothing is known of what is missing: a disk may be empty.
        let now = lacksNothing && (stores.count <= 1 || askedInventories && isHeard)
        if now && !caughtUp { membership.heartbeatNow() }
        caughtUp = now
    }

    /// True when a manifest that is known here names just this record.
    func isCommitted(_ part: Part) -> Bool {
        manifests[part.step]?.parts.contains {
            $0.shard == part.shard && $0.payloadDigest == part.payloadDigest
        } ?? false
    }

    /// A committed part that did not come here is fetched, unless it comes by itself a little later.
    private mutating func fetchIfMissing(_ part: Part, at now: Instant) {
        let key = Key(shard: part.shard, step: part.step)
        guard index[key]?.payloadDigest != part.payloadDigest,
            repairs[key]?.part.payloadDigest != part.payloadDigest
        else { return }
        enqueue(
            Repair(part: part, deadline: now + settings.retry, request: 0, isExpected: true), for: key)
    }

    // MARK: Retention

    mutating func takeReply(
        _ reply: HeartbeatReply, at now: Instant, into effects: inout Effects<Action>
    ) {
        committedStep = max(committedStep, reply.committedStep)
        for manifest in reply.manifests where manifests[manifest.step] == nil {
            manifests[manifest.step] = manifest
            enqueue(Pending(write: .manifest(manifest), asker: nil))
            for part in manifest.parts where holds(part.shard) { fetchIfMissing(part, at: now) }
        }
        if reply.hasRetain, reply.retain.number > retain.number {
            retain = reply.retain
            maybeCompact(into: &effects)
        }
    }

    mutating func maybeCompact(into effects: inout Effects<Action>) {
        guard !compacting, retain.number > compactedRetain, lacksNothing else { return }
        compactedRetain = retain.number
        let keep = keptKeys()
        let dead = index.keys.filter { !keep.contains($0) }
        guard !dead.isEmpty else { return }
        for key in dead { index[key] = nil }
        // Damage to what nobody needs any more is over.
        damaged = damaged.filter { keep.contains($0.key) }
        manifests = manifests.filter { retain.steps.contains($0.key) || Int64($0.key) > retain.committedStep }
        compacting = true
        effects.perform(.compact(keep: keep, discardDamaged: false))
    }

    /// Every record newer than the last commit, and the chains of the committed steps that are to be kept.
    func keptKeys() -> Set<Key> {
        var kept = KeptRecords(
            held: index.merging(damaged) { whole, _ in whole },
            followsChains: settings.mutation != .compactionDropsBases)
        if settings.mutation != .compactionDropsUncommitted {
            for key in kept.held.keys where Int64(key.step) > retain.committedStep { kept.keepChain(of: key) }
        }
        let shards = Set(kept.held.keys.map(\.shard))
        for step in retain.steps {
            for shard in shards { kept.keepChain(of: Key(shard: shard, step: step)) }
        }
        // What late records build on is needed when they come.
        for repair in repairs.all.values {
            kept.keepChain(of: Key(shard: repair.part.shard, step: repair.part.baseStep))
        }
        // What is on its way to the disk is there before the compaction begins.
        for part in pendingRecords {
            kept.keepChain(of: Key(shard: part.shard, step: part.baseStep))
            kept.keys.insert(Key(shard: part.shard, step: part.step))
        }
        kept.keepBelowGaps()
        return kept.keys
    }

    // MARK: Telling

    private mutating func sendHeartbeat(at now: Instant, into effects: inout Effects<Action>) {
        updateCaughtUp(into: &effects)
        var heartbeat = Heartbeat()
        heartbeat.viewNumber = membership.view.number
        heartbeat.state =
            diskRefusal != nil
            ? "disk-full"
            : lacksNothing ? (caughtUp ? "ready" : "joining") : "catching-up"
        heartbeat.step = newestStep
        heartbeat.caughtUp = caughtUp
        heartbeat.retainNumber = retain.number
        heartbeat.manifestStep = UInt64(max(manifestStep, 0))
        heartbeat.sentNanoseconds = now.nanoseconds
        effects.send(.heartbeat(heartbeat), to: .coordinator)
    }
}
