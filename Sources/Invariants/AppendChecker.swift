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
        /// By step and payload.
        var early: [UInt64: [String: Set<Int>]] = [:]

        mutating func heardEarly(_ store: Int, _ step: UInt64, _ payload: String) {
            guard !durable.contains(step), underWay[step] == nil else { return }
            early[step, default: [:]][payload, default: []].insert(store)
            if early.count > 64 { early.removeValue(forKey: early.keys.min()!) }
        }

        mutating func sent(_ part: PartFact) {
            states[part.step] = part.stateDigest
            if states.count > 256 { states.removeValue(forKey: states.keys.min()!) }
            guard !durable.contains(part.step), underWay[part.step] == nil else { return }
            underWay[part.step] = (part.payload, early.removeValue(forKey: part.step)?[part.payload] ?? [])
        }
    }

    private let run: RunFacts
    private var writers: [ProcessFact: Writer] = [:]
    private var byLine: [Place: String] = [:]
    private var byEpoch: [Place: String] = [:]
    private var states: [KeyFact: String] = [:]
    /// To which state each payload leads that was ever sent.
    private var leadsTo: [HeldFact: String] = [:]

    init(run: RunFacts) { self.run = run }

    mutating func observe(_ what: Observation, of process: ProcessFact, _ findings: inout Findings) {
        switch what {
        case .began(_, let step, _, let stateDigest, _):
            writers[process] = Writer(states: step < 0 ? [:] : [UInt64(step): stateDigest])
        case .appended(let part): appended(part, process, &findings)
        case .heard(let store, let step, let payload):
            guard writers[process]?.underWay[step]?.payload == payload else {
                writers[process]?.heardEarly(store, step, payload)
                return
            }
            writers[process]!.underWay[step]!.stores.insert(store)
            if writers[process]!.underWay[step]!.stores.count >= run.writeQuorum {
                writers[process]!.underWay[step] = nil
                writers[process]!.durable.insert(step)
            }
        case .applied(_, let version, _):
            guard run.checkpointEvery > 0 else { return }
            findings.count(.boundedLoss)
            guard let waiting = writers[process]?.underWay else { return }
            if waiting.count >= run.maxLag {
                findings.fail(
                    .boundedLoss,
                    "\(process.node) applies step \(version) while the checkpoints \(waiting.keys.sorted()) wait for their quorum, and at most \(run.maxLag) may"
                )
            }
        case .opened, .writing, .synced, .acknowledged, .promised, .compacting, .computed, .led, .persisting,
            .persisted, .announced, .progress, .fencing, .restoring, .alarm, .fault:
            break
        }
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

        findings.count(.chained)
        if let base = part.baseStep, base >= part.step || !knows(base, part.baseDigest, part.shard, process) {
            let known = writers[process]?.states[base] ?? "none"
            findings.fail(
                .chained,
                "step \(part.step) of shard-\(part.shard) builds on a state \(part.baseDigest) of step \(base), where the shard had \(known)"
            )
        }
        leadsTo[HeldFact(shard: part.shard, step: part.step, payload: part.payload)] = part.stateDigest
        writers[process, default: Writer()].sent(part)
        if let waiting = writers[process]?.underWay {
            findings.count(.boundedMemory)
            if waiting.count > run.maxLag {
                findings.fail(
                    .boundedMemory,
                    "\(process.node) holds the frames of \(waiting.count) steps that wait for their quorum, and at most \(run.maxLag) may"
                )
            }
        }

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

    /// Whether a process's next delta may build on a state: one that it sent or restored or, where it had no need to send
    /// the step, one that a quorum acknowledged to it early.
    private func knows(_ step: UInt64, _ state: String, _ shard: UInt32, _ process: ProcessFact) -> Bool {
        guard let writer = writers[process] else { return false }
        if let sent = writer.states[step] { return sent == state }
        return (writer.early[step] ?? [:]).contains { payload, stores in
            stores.count >= run.writeQuorum
                && leadsTo[HeldFact(shard: shard, step: step, payload: payload)] == state
        }
    }
}
