/// How a mistake that was built in on purpose was found.
public struct MutantTrial: Sendable {
    public var mutant: Mutant
    /// Seeds that were run, the one that found it included.
    public var seeds: UInt64
    /// The run that found it; nil when none did.
    public var caught: Outcome?
    /// Whether that seed holds without the mistake: else it shows nothing.
    public var isSound: Bool

    /// Runs one seed after another until a check fails.
    public static func run(
        _ mutant: Mutant, seeds: Range<UInt64>, steps: UInt64? = nil, size: ClusterSize = .any
    ) -> MutantTrial {
        var tried: UInt64 = 0
        for seed in seeds {
            tried += 1
            let outcome = Simulation.run(seed: seed, steps: steps, mutant: mutant, size: size)
            guard outcome.failure != nil else { continue }
            let plain = Simulation.run(seed: seed, steps: steps, size: size)
            return MutantTrial(
                mutant: mutant, seeds: tried, caught: outcome, isSound: plain.failure == nil)
        }
        return MutantTrial(mutant: mutant, seeds: tried, caught: nil, isSound: true)
    }
}

extension Outcome {
    /// The name of the check that did not hold.
    public var check: String? {
        // "12.345 ms: durable: what happened"
        guard let failure, let time = failure.firstIndex(of: ":") else { return nil }
        let sentence = failure[failure.index(after: time)...].drop { $0 == " " }
        return String(sentence.prefix { $0 != ":" })
    }
}
