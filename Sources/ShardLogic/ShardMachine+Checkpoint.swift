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
        let item = InFlight(part: part, frame: frame, began: encodeBegan, resendAt: now + settings.retry)
        inFlight.append(item)
        if mayAppend { send(item, to: replicas, into: &effects) }
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
            inFlight[position].resendAt = now + settings.retry
            let missing = replicas.filter { !inFlight[position].acks.contains($0) }
            send(inFlight[position], to: missing, into: &effects)
        }
    }

    mutating func receiveAck(
        _ ack: Appended, from store: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard ack.shard == shard, replicas.contains(store),
            let position = inFlight.firstIndex(where: {
                $0.part.step == ack.step && $0.part.payloadDigest == ack.payloadDigest
            })
        else { return }
        inFlight[position].acks.insert(store)
        // A delta is durable only with what it builds on: parts are told of in their order.
        var message = Prepared()
        while let first = inFlight.first, first.acks.count >= settings.writeQuorum {
            var part = first.part
            part.stores = first.acks.map { UInt32($0.index) }.sorted()
            part.commitNanoseconds = now.since(first.began).nanoseconds
            inFlight.removeFirst()
            prepared.append(part)
            message.parts.append(part)
        }
        guard !message.parts.isEmpty else { return }
        if prepared.count > 4096 { prepared.removeFirst(prepared.count - 4096) }
        effects.send(.prepared(message), to: .coordinator)
        preparedResendAt = now + settings.retry
    }

    mutating func receiveRefusal(
        _ refusal: AppendRefused, from store: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard let position = inFlight.firstIndex(where: { $0.part.step == refusal.step }) else { return }
        effects.report(.warning, "append", "\(store) refused step \(refusal.step): \(refusal.reason)")
        // Asked again later: a newer view may bring the epoch, or the disk room.
        inFlight[position].resendAt = max(inFlight[position].resendAt, now + settings.retry)
    }

    mutating func sendPrepared(at now: Instant, into effects: inout Effects<Action>) {
        guard !prepared.isEmpty else {
            preparedResendAt = nil
            return
        }
        var message = Prepared()
        message.parts = Array(prepared.prefix(256))
        effects.send(.prepared(message), to: .coordinator)
        preparedResendAt = now + settings.retry
    }
}
