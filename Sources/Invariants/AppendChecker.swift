import MachineCore

/// What shards send to the stores: `single-writer`, `chained`, `deterministic`, and `bounded-loss`: how far training is
/// ahead of what is durable.
struct AppendChecker: Sendable {
    private struct Place: Hashable {
        var shard: UInt32
        var number: UInt64
        var step: UInt64
    }
    /// One process of a shard, as it stands.
    private struct Writer {
        /// States that its next delta may build on, by step.
        var states: [UInt64: String] = [:]
        var underWay: [UInt64: (payload: String, stores: Set<Int>)] = [:]
        var durable: Set<UInt64> = []
        /// Acknowledged before it was sent: of an append of the same payload in an epoch before. It stands there all the same.
        var early: [UInt64: (payload: String, stores: Set<Int>)] = [:]
    }

    private let run: RunFacts
    private var writers: [ProcessFact: Writer] = [:]
    private var byLine: [Place: String] = [:]
    private var byEpoch: [Place: String] = [:]
    private var states: [KeyFact: String] = [:]

    init(run: RunFacts) { self.run = run }

    mutating func observe(_ what: Observation, of process: ProcessFact, _ findings: inout Findings) {
        switch what {
        case .began(_, let step, _, let stateDigest, _):
            writers[process] = Writer(states: step < 0 ? [:] : [UInt64(step): stateDigest])
        case .appended(let part): appended(part, process, &findings)
        case .heard(let store, let step, let payload):
            guard writers[process]?.underWay[step]?.payload == payload else {
                return heardEarly(store, step, payload, process)
            }
            writers[process]!.underWay[step]!.stores.insert(store)
            if writers[process]!.underWay[step]!.stores.count >= run.writeQuorum {
                writers[process]!.underWay[step] = nil
                writers[process]!.durable.insert(step)
            }
        case .applied(_, let version, _):
            guard run.checkpointEvery > 0 else { return }
            findings.count(.boundedLoss)
            findings.count(.boundedMemory)
            let waiting = writers[process]?.underWay.keys.sorted() ?? []
            if waiting.count >= run.maxLag {
                findings.fail(
                    .boundedLoss,
                    "\(process.node) applies step \(version) while the checkpoints \(waiting) wait for their quorum, and at most \(run.maxLag) may"
                )
            }
        case .opened, .writing, .synced, .acknowledged, .promised, .compacting, .computed, .led, .persisting,
            .persisted, .announced, .progress, .fencing, .restoring, .alarm, .fault:
            break
        }
    }

    private mutating func heardEarly(
        _ store: Int, _ step: UInt64, _ payload: String, _ process: ProcessFact
    ) {
        guard var writer = writers[process], !writer.durable.contains(step), writer.underWay[step] == nil
        else {
            return
        }
        let known = writer.early[step].flatMap { $0.payload == payload ? $0.stores : nil } ?? []
        writer.early[step] = (payload, known.union([store]))
        if writer.early.count > 64 { writer.early.removeValue(forKey: writer.early.keys.min()!) }
        writers[process] = writer
    }

    private mutating func appended(_ part: PartFact, _ process: ProcessFact, _ findings: inout Findings) {
        findings.count(.singleWriter)
        let line = Place(shard: part.shard, number: part.line, step: part.step)
        let epoch = Place(shard: part.shard, number: part.epoch, step: part.step)
        if byLine[line, default: part.payload] != part.payload {
            findings.fail(
                .singleWriter,
                "shard-\(part.shard) has two payloads for step \(part.step) on timeline \(part.line)")
        }
        if byEpoch[epoch, default: part.payload] != part.payload {
            findings.fail(
                .singleWriter,
                "shard-\(part.shard) has two payloads for step \(part.step) in epoch \(part.epoch)")
        }
        byLine[line] = part.payload
        byEpoch[epoch] = part.payload

        var writer = writers[process] ?? Writer()
        findings.count(.chained)
        if let base = part.baseStep, base >= part.step || writer.states[base] != part.baseDigest {
            findings.fail(
                .chained,
                "step \(part.step) of shard-\(part.shard) builds on a state \(part.baseDigest) of step \(base), where the shard had \(writer.states[base] ?? "none")"
            )
        }
        writer.states[part.step] = part.stateDigest
        if writer.states.count > 256 { writer.states.removeValue(forKey: writer.states.keys.min()!) }
        if !writer.durable.contains(part.step), writer.underWay[part.step] == nil {
            let early = writer.early.removeValue(forKey: part.step)
            writer.underWay[part.step] = (part.payload, early?.payload == part.payload ? early!.stores : [])
        }
        writers[process] = writer

        guard run.isReproducible else { return }
        findings.count(.deterministic)
        let key = KeyFact(shard: part.shard, step: part.step)
        if states[key, default: part.stateDigest] != part.stateDigest {
            findings.fail(
                .deterministic,
                "step \(part.step) of shard-\(part.shard) was done twice and came to two states: \(states[key]!) and \(part.stateDigest)"
            )
        }
        states[key] = part.stateDigest
    }
}
