import MachineCore

/// Recoveries: `proved` and `atomic` (what is restored), `fenced` (nobody older can write any more), `deterministic` (the
/// same bits each time), `bounded-loss` (how far back it goes, and what is said of it), `honest` (users are told of steps
/// that were done).
struct RestoreChecker: Sendable {
    private struct Choice {
        var line: UInt64
        var step: Int64
        var version: UInt64
        var heardAll: Bool
    }
    private struct Begun {
        var shard: Int
        var line: UInt64
        var step: Int64
        var stateDigest: String
    }
    private struct State: Hashable {
        var key: KeyFact
        var digest: String
    }

    private let run: RunFacts
    private var manifests: [KeyFact: Set<String>] = [:]
    private var choices: [UInt64: (step: Int64, version: UInt64, heardAll: Bool)] = [:]
    private var begun: [Begun] = []
    private var open: [Choice] = []
    private var told: [(line: UInt64, step: UInt64)] = []
    private var parameters: [State: String] = [:]
    /// By shard and timeline, the newest version.
    private var standings: [Int: [UInt64: UInt64]] = [:]
    /// By coordinator: the newest step that it knows to be done, and what it knew when the recovery began.
    private var known: [ProcessFact: UInt64] = [:]
    private var knownAtFence: [ProcessFact: UInt64] = [:]
    /// By store, the newest epoch that it has promised.
    private var promised: [Int: UInt64] = [:]

    init(run: RunFacts) { self.run = run }

    mutating func observe(_ what: Observation, of process: ProcessFact, _ findings: inout Findings) {
        switch what {
        case .persisting(_, let commits):
            for part in commits.flatMap(\.parts) {
                manifests[KeyFact(shard: part.shard, step: part.step), default: []].insert(part.stateDigest)
            }
        case .led(_, let committedStep):
            known[process] = UInt64(max(committedStep, 0))
            knownAtFence[process] = known[process]
        case .progress(let line, let step):
            known[process] = step
            told.append((line, step))
        case .fencing(_, let committedStep):
            knownAtFence[process] = max(known[process] ?? 0, UInt64(max(committedStep, 0)))
        case .restoring(let line, let step, let version, _, let heard, let lost):
            chosen(process, line, step, version, heard, lost, &findings)
        case .began(let line, let step, let version, let stateDigest, let values):
            began(process, line, step, stateDigest, values, &findings)
            stands(process.index, line, version)
        case .applied(let line, let version, _): stands(process.index, line, version)
        case .promised(let epoch): promised[process.index] = max(promised[process.index] ?? 0, epoch)
        case .opened, .writing, .synced, .acknowledged, .compacting, .computed, .appended, .heard,
            .persisted, .announced, .alarm, .fault:
            break
        }
    }

    private mutating func stands(_ shard: Int, _ line: UInt64, _ version: UInt64) {
        standings[shard, default: [:]][line] = max(standings[shard]?[line] ?? 0, version)
    }

    private mutating func began(
        _ process: ProcessFact, _ line: UInt64, _ step: Int64, _ stateDigest: String, _ values: String,
        _ findings: inout Findings
    ) {
        begun.append(Begun(shard: process.index, line: line, step: step, stateDigest: stateDigest))
        findings.count(.deterministic)
        // What begins from the seed has no state digest: its step is below every other.
        let state = State(
            key: KeyFact(shard: UInt32(process.index), step: UInt64(bitPattern: step)), digest: stateDigest)
        if parameters[state, default: values] != values {
            findings.fail(
                .deterministic,
                "\(process.node) restored step \(step) twice, from \(stateDigest), and had other parameters each time"
            )
        }
        parameters[state] = values
    }

    private mutating func chosen(
        _ process: ProcessFact, _ line: UInt64, _ step: Int64, _ version: UInt64, _ heard: [Int],
        _ lost: UInt64?, _ findings: inout Findings
    ) {
        findings.count(.atomic)
        if let known = choices[line], known.step != step {
            findings.fail(.atomic, "timeline \(line) restores step \(known.step) and step \(step)")
        }
        let heardAll = Set(heard).count == run.stores
        choices[line] = (step, version, heardAll)
        open.append(Choice(line: line, step: step, version: version, heardAll: heardAll))
        let target = UInt64(max(step, 0))
        let newest = knownAtFence[process] ?? 0
        let expected = version > target || newest < target ? 0 : newest - target
        if let lost {
            findings.count(.boundedLoss)
            if lost != expected {
                findings.fail(
                    .boundedLoss,
                    "the recovery to step \(step) on timeline \(line) reports \(lost) lost steps, and \(expected) were lost"
                )
            }
        }
        known[process] = version
    }

    mutating func settle(diskWasHurt: Bool, _ findings: inout Findings) {
        for begun in begun { check(begun, &findings) }
        begun = []
        for choice in open {
            checkFence(choice, &findings)
            if !diskWasHurt { check(choice, &findings) }
        }
        open = []
        // Users are told of a step when every shard has taken its gradients, which it may apply a little later.
        let slack = UInt64(run.staleness ?? RunSettings.maxWindow)
        for (line, step) in told where step > slack {
            // Where a timeline begins is no word of what was done on it.
            guard step > choices[line]?.version ?? 0 else { continue }
            findings.count(.honest)
            let behind = (0..<run.shards).first { shard in
                (standings[shard]?.values.max() ?? 0) < step - slack
            }
            if let behind {
                findings.fail(
                    .honest,
                    "users were told of step \(step) on timeline \(line), which shard-\(behind) has not done")
            }
        }
        told = []
    }

    private func check(_ begun: Begun, _ findings: inout Findings) {
        findings.count(.atomic)
        if let step = choices[begun.line]?.step, step != begun.step {
            findings.fail(
                .atomic,
                "shard-\(begun.shard) restored step \(begun.step) on timeline \(begun.line), which restores step \(step)"
            )
        }
        guard begun.step >= 0 else { return }
        findings.count(.proved)
        let key = KeyFact(shard: UInt32(begun.shard), step: UInt64(begun.step))
        if manifests[key]?.contains(begun.stateDigest) != true {
            findings.fail(
                .proved,
                "shard-\(begun.shard) restored step \(begun.step) with the digest \(begun.stateDigest), which no commit names"
            )
        }
    }

    /// So many stores have promised the new timeline's epoch that no older writer can reach a write quorum on any shard's.
    private func checkFence(_ choice: Choice, _ findings: inout Findings) {
        findings.count(.fenced)
        for shard in 0..<run.shards {
            let replicas = Placement.stores(ofShard: shard, stores: run.stores, replicas: run.replicas)
            let sworn = replicas.count { promised[$0.index] ?? 0 >= choice.line }
            guard replicas.count - sworn >= run.writeQuorum else { continue }
            findings.fail(
                .fenced,
                "timeline \(choice.line) began when \(sworn) of the \(replicas.count) stores of shard-\(shard) had promised it: an older writer could still reach \(run.writeQuorum)"
            )
        }
    }

    /// No more is done again than `every` and `max_lag` allow, if the stores that hold it could be asked.
    private func check(_ choice: Choice, _ findings: inout Findings) {
        guard choice.heardAll, !run.isPartial, run.checkpointEvery > 0 else { return }
        let before = (0..<run.shards).map { shard in
            standings[shard]?.filter { $0.key < choice.line }.max { $0.key < $1.key }
        }
        // Shards that stand on different timelines, or nowhere yet, have no common step.
        guard let first = before.first??.key, before.allSatisfy({ $0?.key == first }) else { return }
        // A recovery in between, which came to no end, has given up that timeline without having heard every store.
        guard !choices.contains(where: { $0.key > first && $0.key < choice.line && !$0.value.heardAll })
        else { return }
        findings.count(.boundedLoss)
        let common = before.compactMap { $0?.value }.min() ?? 0
        let bound = run.checkpointEvery * UInt64(run.maxLag)
        if common > UInt64(max(choice.step, 0)) + bound {
            findings.fail(
                .boundedLoss,
                "timeline \(choice.line) restores step \(choice.step) when every shard had done step \(common), and at most \(bound) steps may be lost"
            )
        }
    }
}
