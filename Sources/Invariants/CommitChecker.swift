import MachineCore

/// Coordinators: `durable` and `atomic` (what a commit rests on), `monotonic` (commits are never taken back), `fenced`
/// (one coordinator at a time changes the database, and tells only what is in it), `honest` (who holds a part).
struct CommitChecker: Sendable {
    private struct Leader {
        var epoch: UInt64
        var committedStep: Int64
        /// Asked for, and not known to have happened.
        var asked: (state: StateFact, commits: [ManifestFact])?
    }

    private let run: RunFacts
    private var leaders: [ProcessFact: Leader] = [:]
    /// The epoch of the newest coordinator.
    private var ledEpoch: UInt64 = 0
    private var persistedEpoch: UInt64 = 0
    private var persistedStep: Int64 = -1
    private var digests: [UInt64: String] = [:]
    /// The payloads of commits that are known to be in the database.
    private(set) var committed: [KeyFact: String] = [:]
    /// Commits that are to be held against what the stores have.
    private var open: [ManifestFact] = []

    init(run: RunFacts) { self.run = run }

    mutating func observe(_ what: Observation, of process: ProcessFact, _ findings: inout Findings) {
        switch what {
        case .led(let epoch, let committedStep): led(process, epoch, committedStep, &findings)
        case .persisting(let state, let commits):
            leaders[process]?.asked = (state, commits)
            for manifest in commits { check(manifest, &findings) }
        case .persisted: persisted(process, &findings)
        case .announced(let epoch, let committedStep):
            guard let leader = leaders[process] else { return }
            findings.count(.fenced)
            findings.count(.durable)
            if epoch > leader.epoch {
                findings.fail(
                    .fenced, "a coordinator told of epoch \(epoch) when \(leader.epoch) was in its database")
            }
            if committedStep > leader.committedStep {
                findings.fail(
                    .durable,
                    "a coordinator told of step \(committedStep) as committed when \(leader.committedStep) was in its database"
                )
            }
        case .opened, .writing, .synced, .acknowledged, .promised, .compacting, .computed, .began, .applied,
            .appended, .heard, .progress, .fencing, .restoring, .alarm, .fault:
            break
        }
    }

    private mutating func led(
        _ process: ProcessFact, _ epoch: UInt64, _ committedStep: Int64, _ findings: inout Findings
    ) {
        findings.count(.monotonic)
        findings.count(.fenced)
        if epoch <= persistedEpoch {
            findings.fail(
                .fenced,
                "a coordinator began with epoch \(epoch), and the one before it had made \(persistedEpoch) durable"
            )
        }
        if committedStep < persistedStep {
            findings.fail(
                .monotonic,
                "a coordinator began with step \(committedStep) committed, and the one before it had committed \(persistedStep)"
            )
        }
        ledEpoch = max(ledEpoch, epoch)
        leaders[process] = Leader(epoch: epoch - 1, committedStep: committedStep)
    }

    private mutating func persisted(_ process: ProcessFact, _ findings: inout Findings) {
        guard let (state, commits) = leaders[process]?.asked else { return }
        leaders[process] = Leader(epoch: state.epoch, committedStep: state.committedStep)
        findings.count(.monotonic)
        findings.count(.fenced)
        if process.incarnation < ledEpoch {
            findings.fail(
                .fenced,
                "a coordinator of epoch \(state.epoch) changed the database after one of epoch \(ledEpoch) had begun"
            )
        }
        if state.epoch < persistedEpoch {
            findings.fail(.fenced, "the epoch went back from \(persistedEpoch) to \(state.epoch)")
        }
        if state.committedStep < persistedStep {
            findings.fail(
                .monotonic, "the committed step went back from \(persistedStep) to \(state.committedStep)")
        }
        persistedEpoch = max(persistedEpoch, state.epoch)
        persistedStep = max(persistedStep, state.committedStep)
        for manifest in commits {
            if let known = digests[manifest.step], known != manifest.digest {
                findings.fail(
                    .monotonic, "step \(manifest.step) was committed before with another digest")
            }
            digests[manifest.step] = manifest.digest
            for part in manifest.parts {
                committed[KeyFact(shard: part.shard, step: part.step)] = part.payload
            }
        }
    }

    private mutating func check(_ manifest: ManifestFact, _ findings: inout Findings) {
        findings.count(.atomic)
        guard manifest.parts.count == run.shards else {
            findings.fail(.atomic, "step \(manifest.step) is committed with \(manifest.parts.count) parts")
            return
        }
        for (shard, part) in manifest.parts.enumerated() {
            if part.shard != UInt32(shard) || part.step != manifest.step {
                findings.fail(
                    .atomic,
                    "the commit of step \(manifest.step) names step \(part.step) of shard-\(part.shard)")
            }
            if part.line != manifest.parts[0].line {
                findings.fail(
                    .atomic,
                    "the commit of step \(manifest.step) mixes timelines \(manifest.parts[0].line) and \(part.line)"
                )
            }
        }
        open.append(manifest)
    }

    /// Every part of a commit was on the disks of a write quorum, and on those of all the stores that it names.
    mutating func settle(holders: [HeldFact: Set<Int>], _ findings: inout Findings) {
        for manifest in open {
            for part in manifest.parts {
                findings.count(.durable)
                findings.count(.honest)
                let held = holders[HeldFact(shard: part.shard, step: part.step, payload: part.payload)] ?? []
                if held.count < run.writeQuorum {
                    findings.fail(
                        .durable,
                        "step \(manifest.step) is committed, and shard-\(part.shard)'s part was synced by \(held.count) stores, not \(run.writeQuorum)"
                    )
                }
                if let other = part.stores.first(where: { !held.contains($0) }) {
                    findings.fail(
                        .honest,
                        "the commit of step \(manifest.step) names store-\(other) as a holder of shard-\(part.shard)'s part, which never had it"
                    )
                }
            }
        }
        open = []
    }
}
