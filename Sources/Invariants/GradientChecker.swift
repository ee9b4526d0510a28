import MachineCore

/// `at-most-once`: step `v` applies exactly the gradients of clock `v − 1`, one per slot, in order of the slots,
/// computed on this timeline; and a shard's versions follow one another. `deterministic`: a clock's gradient is the same
/// however often it is computed.
struct GradientChecker: Sendable {
    private struct Place: Hashable {
        var slot: Int
        var clock: UInt64
        var shard: Int
    }
    private struct Applied {
        var place: Place
        var line: UInt64
        var digest: String
    }

    private let run: RunFacts
    /// By digest: the timelines on which it was computed.
    private var computed: [Place: [String: Set<UInt64>]] = [:]
    private var versions: [ProcessFact: UInt64] = [:]
    private var open: [Applied] = []

    init(run: RunFacts) { self.run = run }

    mutating func observe(_ what: Observation, of process: ProcessFact, _ findings: inout Findings) {
        switch what {
        case .computed(let line, let clock, let slices):
            for (shard, digest) in slices.enumerated() {
                let place = Place(slot: process.index, clock: clock, shard: shard)
                if run.isReproducible {
                    findings.count(.deterministic)
                    if let other = computed[place]?.keys.first(where: { $0 != digest }) {
                        findings.fail(
                            .deterministic,
                            "worker-\(process.index) computed two gradients for clock \(clock): \(other) and \(digest)"
                        )
                    }
                }
                computed[place, default: [:]][digest, default: []].insert(line)
            }
        case .began(_, _, let version, _, _): versions[process] = version
        case .applied(let line, let version, let gradients):
            findings.count(.atMostOnce)
            let before = versions[process]
            versions[process] = version
            if before.map({ $0 + 1 != version }) ?? true {
                findings.fail(
                    .atMostOnce,
                    "\(process.node) applies step \(version) at version \(before.map { "\($0)" } ?? "none")")
            }
            if gradients.count != run.workers {
                findings.fail(
                    .atMostOnce,
                    "\(process.node) applies \(gradients.count) gradients in step \(version), not \(run.workers)"
                )
            }
            guard version > 0 else { return }
            for (slot, digest) in gradients.enumerated() {
                open.append(
                    Applied(
                        place: Place(slot: slot, clock: version - 1, shard: process.index), line: line,
                        digest: digest))
            }
        case .opened, .writing, .synced, .acknowledged, .promised, .compacting, .appended, .heard, .led,
            .persisting, .persisted, .announced, .progress, .fencing, .restoring, .alarm, .fault:
            break
        }
    }

    mutating func settle(_ findings: inout Findings) {
        for applied in open {
            let lines = computed[applied.place]?[applied.digest] ?? []
            // In partial mode a shard that survived goes on with the gradients that it holds.
            let isOlder = run.isPartial && lines.contains { $0 <= applied.line }
            if !lines.contains(applied.line) && !isOlder {
                let place = applied.place
                findings.fail(
                    .atMostOnce,
                    "shard-\(place.shard) applies in step \(place.clock + 1) on timeline \(applied.line) a gradient that slot \(place.slot) did not compute for clock \(place.clock) on it"
                )
            }
        }
        open = []
    }
}
