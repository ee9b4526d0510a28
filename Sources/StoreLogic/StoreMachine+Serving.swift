import MachineCore
import Wire

/// Answers to those who restore: chains for shards and tools, single records for peers.
extension StoreMachine {
    /// The records from the last base up to `step`, each building on the one before; nil with the reason otherwise.
    func chain(shard: UInt32, step: UInt64, stateDigest: String) -> Result<[Part], ChainGap> {
        var reversed: [Part] = []
        var wanted = (step: step, digest: stateDigest)
        while true {
            let key = Key(shard: shard, step: wanted.step)
            guard let part = index[key] else {
                let why = damaged[key] == nil ? "is not here" : "is damaged here"
                return .failure(
                    ChainGap(step: wanted.step, reason: "step \(wanted.step) of shard-\(shard) \(why)"))
            }
            guard part.stateDigest == wanted.digest else {
                return .failure(
                    ChainGap(
                        step: wanted.step,
                        reason:
                            "step \(wanted.step) of shard-\(shard) leads to another state than the one asked for"
                    ))
            }
            reversed.append(part)
            switch part.kind {
            case .base: return .success(reversed.reversed())
            case .delta:
                guard part.baseStep < part.step else {
                    return .failure(
                        ChainGap(step: part.step, reason: "step \(part.step) builds on a later one"))
                }
                wanted = (part.baseStep, part.baseDigest)
            case .none, .UNRECOGNIZED:
                return .failure(ChainGap(step: part.step, reason: "step \(part.step) is of an unknown kind"))
            }
        }
    }

    struct ChainGap: Error, Sendable {
        var step: UInt64
        var reason: String
    }

    func serveChain(_ fetch: FetchChain, to asker: NodeID, into effects: inout Effects<Action>) {
        switch chain(shard: fetch.shard, step: fetch.step, stateDigest: fetch.stateDigest) {
        case .failure(let gap):
            refuseFetch(
                request: fetch.request, shard: fetch.shard, step: fetch.step, reason: gap.reason, to: asker,
                into: &effects)
        case .success(let parts):
            var selected: [Part] = []
            var bytes = 0
            var last = true
            for part in parts where Int64(part.step) > fetch.afterStep {
                if !selected.isEmpty && bytes + Int(part.encodedBytes) > settings.maxAnswerBytes {
                    last = false
                    break
                }
                selected.append(part)
                bytes += Int(part.encodedBytes)
            }
            effects.perform(.read(selected, .chain(request: fetch.request, to: asker, last: last)))
        }
    }

    func serveInventory(
        _ request: InventoryRequest, to asker: NodeID, into effects: inout Effects<Action>
    ) {
        var keys = Array(index.keys)
        if request.isContinued {
            let last = Key(shard: request.afterShard, step: request.afterStep)
            keys = keys.filter { $0 > last }
        }
        keys.sort()
        var inventory = Inventory()
        inventory.request = request.request
        inventory.parts = keys.prefix(settings.maxInventory).compactMap { index[$0] }
        inventory.moreFollow = keys.count > settings.maxInventory
        inventory.committedStep = committedStep
        effects.send(.inventory(inventory), to: asker)
    }

    func serveRecord(_ fetch: FetchRecord, to asker: NodeID, into effects: inout Effects<Action>) {
        let key = Key(shard: fetch.shard, step: fetch.step)
        guard let part = index[key] ?? (settings.mutation == .repairFromCorrupt ? damaged[key] : nil),
            part.payloadDigest == fetch.payloadDigest
        else {
            return refuseFetch(
                request: fetch.request, shard: fetch.shard, step: fetch.step, reason: "not here", to: asker,
                into: &effects)
        }
        effects.perform(.read([part], .record(request: fetch.request, to: asker)))
    }

    func refuseFetch(
        request: UInt64, shard: UInt32, step: UInt64, reason: String, to asker: NodeID,
        into effects: inout Effects<Action>
    ) {
        var failure = FetchFailed()
        failure.request = request
        failure.shard = shard
        failure.step = step
        failure.reason = reason
        effects.send(.fetchFailed(failure), to: asker)
    }

    func answerRead(
        _ parts: [Part], _ payload: Payload, _ purpose: ReadPurpose, into effects: inout Effects<Action>
    ) {
        switch purpose {
        case .chain(let request, let asker, let last):
            var answer = ChainPart()
            answer.request = request
            answer.parts = parts
            answer.last = last
            effects.send(.chainPart(answer), to: asker, payload: payload)
        case .record(let request, let asker):
            guard let part = parts.first else { return }
            var answer = RecordPart()
            answer.request = request
            answer.part = part
            effects.send(.recordPart(answer), to: asker, payload: payload)
        }
    }

    mutating func readFailed(
        _ part: Part, _ why: String, _ purpose: ReadPurpose, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        let key = Key(shard: part.shard, step: part.step)
        var reason = "step \(part.step) of shard-\(part.shard) \(why)"
        // While the read waited for the disk, a later timeline's record may have taken the place, or retention freed it:
        // what stands there now is whole for all that is known.
        if index[key]?.payloadDigest == part.payloadDigest {
            effects.report(.error, "damage", reason)
            markDamaged(key, at: now)
        } else if damaged[key] == nil {
            reason = "step \(part.step) of shard-\(part.shard) is not here any more"
        }
        switch purpose {
        case .chain(let request, let asker, _), .record(let request, let asker):
            refuseFetch(
                request: request, shard: key.shard, step: key.step, reason: reason, to: asker,
                into: &effects)
        }
    }
}
