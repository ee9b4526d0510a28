import Training

/// How good a model is after a fixed amount of work in which all shards were lost again and again.
public struct AccuracyOutcome: Sendable, Codable, Hashable {
    public struct Row: Sendable, Codable, Hashable {
        public var policy: String
        public var failures: Int
        /// The share of right answers; for ratings the root of the mean squared error.
        public var quality: Double
        public var heldOutLoss: Double
        /// How far training got: the steps done less those done again.
        public var clock: Int
    }
    public var isAccuracy: Bool
    public var rows: [Row]
}

struct AccuracyExperiment: Sendable {
    var workload: Workload
    var policies: [Policy]
    var seed: UInt64
    /// Steps that are computed, those that are done again included.
    var steps: Int
    /// How many failures, in one run after another.
    var failures = [0, 1, 5, 10]
    var shards = 4

    var settings: [String: String] {
        workload.settings.merging([
            "seed": "\(seed)", "steps": "\(steps)", "failures": "\(failures)", "shards": "\(shards)",
            "policies": policies.map { "\($0)" }.joined(separator: "; "),
        ]) { $1 }
    }

    func run() throws -> AccuracyOutcome {
        let subject = try Subject(workload, seed: seed, parts: .all)
        var rows: [AccuracyOutcome.Row] = []
        var isAccuracy = true
        for policy in policies {
            for count in failures {
                // Without failures all policies are the same training.
                if count == 0, let known = rows.first(where: { $0.failures == 0 }) {
                    var row = known
                    row.policy = policy.name
                    rows.append(row)
                    continue
                }
                let run = try train(subject, policy, failures: count)
                let evaluation = run.evaluation()
                let quality: Double
                switch evaluation.quality {
                case .accuracy(let share): quality = share
                case .rmse(let error): (quality, isAccuracy) = (error, false)
                }
                rows.append(
                    AccuracyOutcome.Row(
                        policy: policy.name, failures: count, quality: quality, heldOutLoss: evaluation.loss,
                        clock: Int(run.clock)))
            }
        }
        return AccuracyOutcome(isAccuracy: isAccuracy, rows: rows)
    }

    private func train(_ subject: Subject, _ policy: Policy, failures: Int) throws -> TrainingRun {
        // One failure in each of as many equal parts of the work, at a step drawn from the seed.
        var generator = SplitMix64(seed: seed, stream: 0xACC0 + UInt64(failures))
        let struck = Set(
            (0..<failures).map { part in
                let start = steps * part / failures
                return start + 1 + Int(generator.below(UInt64(max(1, steps * (part + 1) / failures - start))))
            })
        var run = TrainingRun(subject)
        let follower = try Follower(policy, shards: shards, following: run)
        for step in 1...steps {
            let gradient = run.gradient()
            run.apply(gradient)
            try follower.follow(gradient, step: run.clock)
            if struck.contains(step) { try follower.restart(&run) }
        }
        return run
    }
}
