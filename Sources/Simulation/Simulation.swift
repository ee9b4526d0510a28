import MachineCore

/// What became of one simulated run.
public struct Outcome: Sendable {
    public var seed: UInt64
    /// Nil when every check held.
    public var failure: String?
    var drawn: Plan
    /// The cluster's shape and its trouble, in words.
    public var plan: String { drawn.sentence }
    public var events: Int
    public var virtualMilliseconds: UInt64
    public var commits: Int
    public var recoveries: UInt64
    /// How often each kind of fault happened.
    public var faults: [FaultKind: Int]
}

/// Runs a whole cluster in one process, on a virtual clock, from one seed.
///
/// The roles are the very types that production runs; network, disks, database and processes are fake and fail as the
/// seed says. The same seed and arguments give the same run, event by event.
public enum Simulation {
    /// - Parameters:
    ///   - steps: training steps; nil: drawn from the seed.
    ///   - onlyFaults: these kinds of trouble and no others; nil: drawn from the seed.
    ///   - mutant: a mistake to build in, which the checkers must find.
    ///   - size: small clusters only, or whatever the seed draws.
    ///   - trace: is given every message, decision and fault as a line.
    public static func run(
        seed: UInt64, steps: UInt64? = nil, onlyFaults: [FaultKind]? = nil, mutant: Mutant? = nil,
        size: ClusterSize = .any, trace: ((String) -> Void)? = nil
    ) -> Outcome {
        let plan = Plan(seed: seed, steps: steps, onlyFaults: onlyFaults, mutant: mutant, size: size)
        trace?("seed \(seed): \(plan.sentence)")
        let world = World(plan: plan, trace: trace)
        world.run()
        return Outcome(
            seed: seed, failure: world.failure, drawn: plan, events: world.events,
            virtualMilliseconds: world.now / 1_000_000, commits: world.checkers.commits,
            recoveries: world.database.state?.recoveries ?? 0, faults: world.firedFaults)
    }

    /// The same as `run`, with a number that two runs share only if every line of their traces is the same (FNV-1a).
    public static func digest(
        seed: UInt64, steps: UInt64? = nil, mutant: Mutant? = nil, size: ClusterSize = .any
    ) -> (outcome: Outcome, digest: UInt64) {
        var digest: UInt64 = 0xCBF2_9CE4_8422_2325
        let outcome = run(seed: seed, steps: steps, mutant: mutant, size: size) { line in
            for byte in line.utf8 { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01B3 }
        }
        return (outcome, digest)
    }
}

/// Runs many seeds.
public enum SimulationRunner {
    /// The outcomes that failed, in order of their seeds; stops at `maxFailures`.
    public static func run(
        seeds: Range<UInt64>, steps: UInt64? = nil, onlyFaults: [FaultKind]? = nil, mutant: Mutant? = nil,
        size: ClusterSize = .any, maxFailures: Int = 10, progress: (Outcome) -> Void = { _ in }
    ) -> [Outcome] {
        var failed: [Outcome] = []
        for seed in seeds {
            let outcome = Simulation.run(
                seed: seed, steps: steps, onlyFaults: onlyFaults, mutant: mutant, size: size)
            progress(outcome)
            if outcome.failure != nil {
                failed.append(outcome)
                if failed.count >= maxFailures { break }
            }
        }
        return failed
    }
}
