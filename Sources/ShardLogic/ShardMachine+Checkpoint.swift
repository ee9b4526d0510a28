import MachineCore
import Wire

/// From a version to a durable part: encode, append to the replicas, count acknowledgements, tell the coordinator.
extension ShardMachine {
    mutating func startCheckpoint(at now: Instant, into effects: inout Effects<Action>) {
        guard !isEncoding, lastCheckpoint != version else { return }
        isEncoding = true
        encodeBegan = now
        let asBase = lastBaseStep.map { version - $0 >= settings.baseEvery } ?? true
        effects.perform(.encode(step: version, asBase: asBase))
    }

    mutating func encoded(
        _ part: Part, _ frame: Payload, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard isEncoding, part.step <= version else { return }
        isEncoding = false
        lastCheckpoint = part.step
        if part.kind == .base { lastBaseStep = part.step }
        var part = part
        part.shard = shard
        part.epoch = identity.epoch
        part.line = line
        inFlight.append(InFlight(part: part, frame: frame, began: encodeBegan, resendAt: now))
        // Behind those that might not leave when they were made: a delta does not overtake what it builds on.
        resendAppends(at: now, into: &effects)
    }

    private func send(_ item: InFlight, to stores: [NodeID], into effects: inout Effects<Action>) {
        var append = Append()
        append.part = item.part
        for store in stores { effects.send(.append(append), to: store, payload: item.frame) }
    }

    mutating func resendAppends(at now: Instant, into effects: inout Effects<Action>) {
        guard mayAppend else { return }
        for position in inFlight.indices where now >= inFlight[position].resendAt {
            inFlight[position].part.epoch = identity.epoch
            inFlight[position].resendAt =
                now + settings.retry + .transfer(of: inFlight[position].part.encodedBytes)
            let missing = replicas.filter { !inFlight[position].acks.contains($0) }
            send(inFlight[position], to: missing, into: &effects)
        }
    }

    mutating func receiveAck(
        _ ack: Appended, from store: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        func matches(_ part: Part) -> Bool {
            part.step == ack.step && part.payloadDigest == ack.payloadDigest
        }
        guard ack.shard == shard, replicas.contains(store) else { return }
        guard let position = inFlight.firstIndex(where: { matches($0.part) }) else {
            // Durable already: the coordinator is told of this copy too, if it has not been told yet.
            guard let known = prepared.lastIndex(where: matches),
                !prepared[known].stores.contains(UInt32(store.index))
            else { return }
            prepared[known].stores = (prepared[known].stores + [UInt32(store.index)]).sorted()
            return
        }
        inFlight[position].acks.insert(store)
        // A delta is durable only with what it builds on: parts are told of in their order.
        var newest: UInt64?
        while let position = nextDurable {
            let first = inFlight.remove(at: position)
            var part = first.part
            let holders = settings.mutation == .holdersInvented ? replicas : Array(first.acks)
            part.stores = holders.map { UInt32($0.index) }.sorted()
            part.commitNanoseconds = now.since(first.began).nanoseconds
            prepared.append(part)
            newest = part.step
        }
        guard let newest else { return }
        if prepared.count > 4096 { prepared.removeFirst(prepared.count - 4096) }
        let due = toldAt.map { $0 + settings.tellPause } ?? now
        if now >= due || newest == view.targetStep {
            sendPrepared(after: toldStep, at: now, into: &effects)
        } else {
            preparedResendAt = min(preparedResendAt ?? due, due)
        }
    }

    /// The oldest checkpoint under way, if a quorum has acknowledged it.
    private var nextDurable: Int? {
        let isDurable = { (item: InFlight) in item.acks.count >= settings.countedQuorum }
        if settings.mutation == .toldOutOfOrder { return inFlight.firstIndex(where: isDurable) }
        return inFlight.first.map(isDurable) == true ? 0 : nil
    }

    mutating func receiveRefusal(
        _ refusal: AppendRefused, from store: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard let position = inFlight.firstIndex(where: { $0.part.step == refusal.step }) else { return }
        effects.report(.warning, "append", "\(store) refused step \(refusal.step): \(refusal.reason)")
        // Asked again later: a newer view may bring the epoch, or the disk room. One that has not left since was not refused:
        // that was its predecessor of a timeline before.
        guard inFlight[position].resendAt > now else { return }
        inFlight[position].resendAt = max(inFlight[position].resendAt, now + settings.retry)
    }

    /// Tells of what was not told yet, or after `retry` without a confirmation of everything again.
    mutating func preparedIsDue(at now: Instant, into effects: inout Effects<Action>) {
        let isUntold = (prepared.last?.step).map { newest in toldStep.map { newest > $0 } ?? true } ?? false
        sendPrepared(after: isUntold ? toldStep : nil, at: now, into: &effects)
    }

    private mutating func sendPrepared(
        after told: UInt64?, at now: Instant, into effects: inout Effects<Action>
    ) {
        var message = Prepared()
        let untold = prepared.lazy.filter { part in told.map { part.step > $0 } ?? true }
        message.parts = Array(untold.prefix(256))
        guard let last = message.parts.last else {
            preparedResendAt = nil
            return
        }
        effects.send(.prepared(message), to: .coordinator)
        toldStep = max(toldStep ?? 0, last.step)
        toldAt = now
        preparedResendAt = now + settings.retry
    }
}
