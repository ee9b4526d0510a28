import MachineCore
import Wire

extension StoreMachine {
    public mutating func handle(
        _ event: Event<Completion>, at now: Instant, into effects: inout Effects<Action>
    ) {
        switch event {
        case .message(let packet, let sender): receive(packet, from: sender, at: now, into: &effects)
        case .completed(let completion): finish(completion, at: now, into: &effects)
        case .tick: break
        case .peerConnected(let peer):
            if peer == .coordinator { membership.heartbeatNow() }
            if inventoriesMissing.contains(peer) { inventoryDue = now }
        case .peerDisconnected: break
        }
        startWriting(at: now, into: &effects)
        checkTimers(at: now, into: &effects)
    }

    private mutating func receive(
        _ packet: Packet, from sender: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard let body = packet.body else { return }
        switch body {
        case .append(let append):
            receiveAppend(append.part, packet: packet, from: sender, into: &effects)
        case .fetchChain(let fetch): serveChain(fetch, to: sender, into: &effects)
        case .fetchRecord(let fetch): serveRecord(fetch, to: sender, into: &effects)
        case .inventoryRequest(let request): serveInventory(request, to: sender, into: &effects)
        case .inventory(let inventory): takeInventory(inventory, from: sender, at: now, into: &effects)
        case .recordPart(let record):
            takeRecord(record, payload: packet.payload, from: sender, at: now, into: &effects)
        case .fetchFailed(let failure):
            repairFailed(shard: failure.shard, step: failure.step, by: sender, at: now, into: &effects)
        case .fence(let fence): receiveFence(fence, from: sender, into: &effects)
        case .view(let view): takeView(view, at: now, into: &effects)
        case .heartbeatReply(let reply): takeReply(reply, at: now, into: &effects)
        case .ask(let ask) where sender == .coordinator && (ask.what == "verify" || ask.what == "repair"):
            effects.perform(.verify(asked: ask.id, repair: ask.what == "repair"))
        case .refused(let refusal):
            if refusal.fatal && sender == .coordinator { effects.exit(refusal.reason, failed: false) }
        case .join, .joined, .heartbeat, .prepared, .restored, .restoreFailed, .frozen, .promised,
            .nodeExited, .ask,
            .answer, .notice, .position, .positionReply, .pull, .parameters, .push, .appended, .appendRefused,
            .chainPart:
            break
        }
    }

    // MARK: Writing

    private mutating func receiveAppend(
        _ part: Part, packet: Packet, from sender: NodeID, into effects: inout Effects<Action>
    ) {
        let key = Key(shard: part.shard, step: part.step)
        func refuse(_ reason: String) {
            var refusal = AppendRefused()
            refusal.shard = part.shard
            refusal.step = part.step
            refusal.promisedEpoch = promisedEpoch
            refusal.reason = reason
            effects.send(.appendRefused(refusal), to: sender)
        }
        guard part.epoch >= promisedEpoch || settings.mutation == .epochUnchecked else {
            effects.report(
                .warning, "fenced",
                "refused step \(part.step) of shard-\(part.shard): its epoch \(part.epoch) is older than the promised \(promisedEpoch)"
            )
            return refuse("epoch \(part.epoch) is older than the promised epoch \(promisedEpoch)")
        }
        guard let payload = packet.payload, UInt64(payload.count) == part.encodedBytes else {
            return refuse(
                "the frame has \(packet.payload?.count ?? 0) bytes, its header says \(part.encodedBytes)")
        }
        if let known = index[key] {
            let isCommitted = isCommitted(known)
            // What was done again to the same bits is stored again: a recovery looks for records of its own timeline.
            if known.payloadDigest == part.payloadDigest, isCommitted || known.line >= part.line {
                acknowledge(part, to: sender, into: &effects)
                return
            }
            guard part.epoch > known.epoch, part.line > known.line else {
                effects.report(
                    .error, "single-writer",
                    "two different payloads for step \(part.step) of shard-\(part.shard) in epoch \(part.epoch)"
                )
                return refuse("another payload for this step is already stored")
            }
            if isCommitted {
                effects.report(
                    .error, "monotonic",
                    "refused to replace the committed step \(part.step) of shard-\(part.shard)")
                return refuse("step \(part.step) is committed with another payload")
            }
        }
        // Steps are compared with signed ones elsewhere; no training comes near the limit.
        guard part.step < UInt64(Int64.max), part.baseStep < UInt64(Int64.max) else {
            return refuse("step \(part.step) is beyond every limit")
        }
        if let other = pendingRecord(key), other.payloadDigest != part.payloadDigest {
            guard part.epoch > other.epoch, part.line > other.line else {
                effects.report(
                    .error, "single-writer",
                    "two different payloads for step \(part.step) of shard-\(part.shard) in epoch \(part.epoch)"
                )
                return refuse("another payload for this step is already being stored")
            }
        }
        if isPending(part) {
            addAsker(part, sender)
            return
        }
        guard queuedBytes + payload.count <= settings.maxQueuedBytes else {
            return refuse("\(queuedBytes) bytes wait for the disk already")
        }
        if part.epoch > promisedEpoch { queuePromise(part.epoch) }
        if settings.mutation == .ackBeforeSync { acknowledge(part, to: sender, into: &effects) }
        enqueue(Pending(write: .record(part, payload: payload), asker: sender, askedEpoch: part.epoch))
    }

    /// The records that are on their way to the disk, the newest first.
    var pendingRecords: some Sequence<Part> {
        [queue, writing].lazy.flatMap { $0.lazy.reversed() }.compactMap(\.record)
    }

    /// The newest record of this step that is on its way to the disk.
    func pendingRecord(_ key: Key) -> Part? {
        pendingRecords.first { $0.shard == key.shard && $0.step == key.step }
    }

    private func isPending(_ part: Part) -> Bool {
        pendingRecords.contains { Self.isSame($0, part) }
    }

    /// True when storing `pending` stores what is asked for: the same bits, of this timeline or a later one.
    private static func isSame(_ pending: Part, _ asked: Part) -> Bool {
        pending.shard == asked.shard && pending.step == asked.step
            && pending.payloadDigest == asked.payloadDigest && pending.line >= asked.line
    }

    /// The same shard asks again while its record is under way, or a repair brought it: one answer serves both.
    private mutating func addAsker(_ part: Part, _ sender: NodeID) {
        func ask(_ pending: inout Pending) {
            guard case .record(let other, _) = pending.write, Self.isSame(other, part) else { return }
            pending.asker = sender
            pending.askedEpoch = part.epoch
        }
        for position in writing.indices { ask(&writing[position]) }
        for position in queue.indices { ask(&queue[position]) }
    }

    func acknowledge(_ part: Part, to asker: NodeID, into effects: inout Effects<Action>) {
        var ack = Appended()
        ack.shard = part.shard
        ack.step = part.step
        ack.payloadDigest = part.payloadDigest
        effects.send(.appended(ack), to: asker)
    }

    mutating func queuePromise(_ epoch: UInt64) {
        promisedEpoch = epoch
        enqueue(Pending(write: .promise(epoch: epoch), asker: nil))
    }

    mutating func enqueue(_ pending: Pending) {
        // After a refusal the disk is tried again only when there is something new to write.
        if !refusedWrites.isEmpty {
            queue.insert(contentsOf: refusedWrites, at: 0)
            refusedWrites = []
        }
        if case .record(_, let payload) = pending.write { queuedBytes += payload.count }
        queue.append(pending)
    }

    private mutating func startWriting(at now: Instant, into effects: inout Effects<Action>) {
        guard writing.isEmpty, !queue.isEmpty else { return }
        let until = gatherUntil ?? now + settings.gather
        guard now >= until || isGathered else {
            gatherUntil = until
            return
        }
        gatherUntil = nil
        swap(&writing, &queue)
        for pending in writing {
            guard case .record(let part, _) = pending.write, part.step >= gathered.step else { continue }
            if part.step > gathered.step { gathered = (part.step, []) }
            gathered.shards.insert(part.shard)
        }
        effects.perform(.write(writing.map(\.write)))
    }

    /// False while records of the same step are likely to follow soon from other shards.
    private var isGathered: Bool {
        var step: UInt64?
        var shards: Set<UInt32> = []
        for pending in queue {
            // A shard that is a step behind may wait for just this record.
            guard case .record(let part, _) = pending.write, part.step == step ?? part.step else {
                return true
            }
            step = part.step
            shards.insert(part.shard)
        }
        if step == gathered.step { shards.formUnion(gathered.shards) }
        return shards.count >= appenders
    }

    private mutating func receiveFence(
        _ fence: Fence, from sender: NodeID, into effects: inout Effects<Action>
    ) {
        guard fence.epoch >= promisedEpoch else {
            effects.report(
                .warning, "fenced",
                "a coordinator of epoch \(fence.epoch) was refused: \(promisedEpoch) is promised")
            return
        }
        fenceStep = fence.committedStep
        // Written even when the epoch is known, so that the answer follows everything that is under way.
        promisedEpoch = fence.epoch
        if settings.mutation == .promiseNotSynced {
            return sendPromised(fence.epoch, to: sender, into: &effects)
        }
        enqueue(Pending(write: .promise(epoch: fence.epoch), asker: sender))
    }

    // MARK: Completions

    private mutating func finish(
        _ completion: Completion, at now: Instant, into effects: inout Effects<Action>
    ) {
        switch completion {
        case .written: batchWritten(at: now, into: &effects)
        case .writeFailed(let reason, let fatal):
            if fatal {
                effects.exit(
                    "the disk failed: \(reason); nothing of the last batch was acknowledged", failed: true)
                return
            }
            diskRefused(reason, into: &effects)
        case .read(let parts, let payload, let purpose): answerRead(parts, payload, purpose, into: &effects)
        case .readFailed(let part, let why, let purpose):
            readFailed(part, why, purpose, at: now, into: &effects)
        case .compacted(let freedBytes):
            compacting = false
            if freedBytes > 0 { effects.report(.debug, "compaction", "freed \(freedBytes) bytes") }
        case .compactionFailed(let reason):
            compacting = false
            effects.report(.warning, "compaction", "compaction failed: \(reason)")
        case .verified(let asked, let checked, let damages, let repair):
            verified(
                asked: asked, checked: checked, damages: damages, repair: repair, at: now, into: &effects)
        }
    }

    private mutating func batchWritten(at now: Instant, into effects: inout Effects<Action>) {
        diskRefusal = nil
        answeredEpochs = [:]
        // What a later record of the same batch has replaced is not held, and not acknowledged.
        var held: [Key: String] = [:]
        for pending in writing {
            guard case .record(let part, _) = pending.write else { continue }
            held[Key(shard: part.shard, step: part.step)] = part.payloadDigest
        }
        for pending in writing {
            switch pending.write {
            case .promise(let epoch):
                if let asker = pending.asker { sendPromised(epoch, to: asker, into: &effects) }
            case .record(let part, let payload):
                queuedBytes -= payload.count
                let key = Key(shard: part.shard, step: part.step)
                index[key] = part
                damaged[key] = nil
                repairs[key] = nil
                if let asker = pending.asker, held[key] == part.payloadDigest {
                    answeredEpochs[key] = pending.askedEpoch
                    acknowledge(part, to: asker, into: &effects)
                }
                noticeGap(before: part, at: now)
            case .manifest(let manifest):
                manifests[manifest.step] = manifest
                manifestStep = max(manifestStep, Int64(manifest.step))
            case .drop: break
            }
        }
        writing.removeAll(keepingCapacity: true)
        updateCaughtUp(into: &effects)
        maybeCompact(into: &effects)
    }

    private mutating func diskRefused(_ reason: String, into effects: inout Effects<Action>) {
        if diskRefusal == nil { effects.report(.error, "disk", "appends are refused: \(reason)") }
        diskRefusal = reason
        // What nobody will send again goes back to the head of the queue, before any record that relies on it.
        let kept = writing.filter {
            switch $0.write {
            case .promise, .manifest: true
            case .record, .drop: false
            }
        }
        for pending in writing {
            guard case .record(let part, let payload) = pending.write else { continue }
            queuedBytes -= payload.count
            guard let asker = pending.asker else { continue }
            var refusal = AppendRefused()
            refusal.shard = part.shard
            refusal.step = part.step
            refusal.promisedEpoch = promisedEpoch
            refusal.reason = reason
            effects.send(.appendRefused(refusal), to: asker)
        }
        writing.removeAll(keepingCapacity: true)
        refusedWrites = kept
    }

    private func sendPromised(_ epoch: UInt64, to asker: NodeID, into effects: inout Effects<Action>) {
        guard epoch == promisedEpoch else { return }
        var promised = Promised()
        promised.epoch = epoch
        promised.parts = index.values.filter { Int64($0.step) > fenceStep }
            .sorted { ($0.step, $0.shard) < ($1.step, $1.shard) }
        effects.send(.promised(promised), to: asker)
    }
}
