import LCCheckpoint
import Training

/// What each policy cost in bytes, and how much training it took to make up for each failure.
public struct ReworkOutcome: Sendable, Codable, Hashable {
    /// One failure under one policy.
    public struct Sample: Sendable, Codable, Hashable {
        public var failure: Int
        /// Shards lost.
        public var lost: Int
        /// The clock that training went on from.
        public var restored: Int
        public var lossBefore: Double
        public var lossAfter: Double
        /// Whole steps, as measured.
        public var whole: Int
        /// Steps without the samples' noise, interpolated.
        public var fraction: Double
        /// Whether the loss came back within the steps that were allowed; else these are the counts.
        public var reached: Bool
    }
    public struct PolicyRow: Sendable, Codable, Hashable {
        public var policy: String
        public var parameter: String
        public var bytesPerStep: Double
        public var ratio: Double
        public var meanError: Double
        public var lastError: Double
        /// The mean error of the last quarter by that of the second: above 1 where errors add up.
        public var growth: Double
        public var samples: [Sample]
        /// Losses after the first failure with all shards lost, from the restored parameters on.
        public var trace: [Double]
    }
    public var rows: [PolicyRow]
    /// Undisturbed losses from the first failure on, beside the traces.
    public var undisturbed: [Double]
}

struct ReworkExperiment: Sendable {
    var workload: Workload
    var policies: [Policy]
    var seed: UInt64
    /// Failures happen after these steps at random.
    var window: Range<Int>
    var failures: Int
    var shards = 4
    /// How many shards are lost: one, the first of the random order, or all.
    var lost: [Int]
    /// The most steps that a recovered run is followed.
    var horizon: Int
    /// Steps of the traces.
    var traced = 40

    var settings: [String: String] {
        workload.settings.merging([
            "seed": "\(seed)", "window": "\(window)", "failures": "\(failures)", "shards": "\(shards)",
            "lost": "\(lost)", "horizon": "\(horizon)",
            "policies": policies.map { "\($0)" }.joined(separator: "; "),
        ]) { $1 }
    }

    /// The steps after which a failure happens, ascending and different, and the shard that is lost then.
    private var plan: [(step: Int, shard: Int)] {
        var generator = SplitMix64(seed: seed, stream: 0xFA11)
        var steps: Set<Int> = []
        let count = min(failures, window.count)
        while steps.count < count {
            steps.insert(window.lowerBound + Int(generator.below(UInt64(window.count))))
        }
        return steps.sorted().map { ($0, Int(generator.below(UInt64(shards)))) }
    }

    func run() throws -> ReworkOutcome {
        let subject = try Subject(workload, seed: seed)
        let plan = plan
        guard let first = plan.first?.step else {
            return ReworkOutcome(rows: [], undisturbed: [])
        }
        let curve = undisturbed(subject, steps: window.upperBound + max(horizon, traced))
        var run = TrainingRun(subject)
        let followers = try policies.map { try Follower($0, shards: shards, following: run) }
        var samples = [[ReworkOutcome.Sample]](repeating: [], count: followers.count)
        var traces = [[Double]](repeating: [], count: followers.count)
        // To the end of the window, over which bytes were made equal.
        for step in 1...window.upperBound {
            let gradient = run.gradient()
            run.apply(gradient)
            for follower in followers { try follower.follow(gradient, step: run.clock) }
            guard let failure = plan.first(where: { $0.step == step }) else { continue }
            for (index, follower) in followers.enumerated() {
                for count in lost {
                    let places = count == shards ? 0..<shards : failure.shard..<failure.shard + 1
                    let recovered = try follower.recovered(run, lost: places)
                    let isTraced = step == first && count == lost.last
                    let (sample, trace) = goOn(
                        recovered, curve, failure: step, lost: count, tracing: isTraced ? traced : 0)
                    samples[index].append(sample)
                    if isTraced { traces[index] = trace }
                }
            }
        }
        let raw = Double(run.stateBytes)
        let rows = followers.indices.map { index in
            row(followers[index], raw: raw, samples: samples[index], trace: traces[index])
        }
        return ReworkOutcome(
            rows: rows, undisturbed: Array(curve.losses[first...min(first + traced, curve.losses.count - 1)]))
    }

    private func undisturbed(_ subject: Subject, steps: Int) -> LossCurve {
        var run = TrainingRun(subject)
        var losses = [run.loss()]
        for _ in 0..<steps {
            run.step()
            losses.append(run.loss())
        }
        return LossCurve(losses)
    }

    private func goOn(
        _ start: TrainingRun, _ curve: LossCurve, failure: Int, lost: Int, tracing: Int
    ) -> (ReworkOutcome.Sample, [Double]) {
        var run = start
        var counter = ReworkCounter(curve, failure: failure, restored: Int(start.clock))
        let after = run.loss()
        var trace = [after]
        counter.add(after)
        var steps = 0
        while steps < tracing || (steps < horizon && !counter.isDone) {
            run.step()
            steps += 1
            let loss = run.loss()
            if trace.count <= tracing { trace.append(loss) }
            if steps <= horizon { counter.add(loss) }
        }
        let sample = ReworkOutcome.Sample(
            failure: failure, lost: lost, restored: Int(start.clock), lossBefore: curve.losses[failure],
            lossAfter: after, whole: counter.whole ?? horizon, fraction: counter.fraction ?? Double(horizon),
            reached: counter.isDone)
        return (sample, trace)
    }

    private func row(
        _ follower: Follower, raw: Double, samples: [ReworkOutcome.Sample], trace: [Double]
    ) -> ReworkOutcome.PolicyRow {
        let errors = follower.errors
        func mean(_ part: ArraySlice<Double>) -> Double { part.reduce(0, +) / Double(max(part.count, 1)) }
        let bytes = Double(follower.bytes) / Double(max(follower.steps, 1))
        let (second, last) = (
            mean(errors[(errors.count / 4)..<(errors.count / 2)]), mean(errors[(errors.count * 3 / 4)...])
        )
        return ReworkOutcome.PolicyRow(
            policy: follower.policy.name, parameter: follower.policy.parameter, bytesPerStep: bytes,
            ratio: bytes > 0 ? raw / bytes : 0, meanError: mean(errors[...]), lastError: errors.last ?? 0,
            growth: second > 0 ? last / second : 0, samples: samples, trace: trace)
    }
}
