/// What checkpoints cost the training of a real cluster, by how often they are made.
public struct IntervalOutcome: Sendable, Codable, Hashable {
    public struct Row: Sendable, Codable, Hashable {
        /// Steps from one checkpoint to the next; 0: none are made.
        public var every: Int
        /// Timings: medians over the rounds.
        public var stepMilliseconds: Double
        public var processorMilliseconds: Double
        /// By the runs without checkpoints of the same rounds.
        public var overheadPercent: Double
        public var processorOverheadPercent: Double

        public init(
            every: Int, stepMilliseconds: Double, processorMilliseconds: Double, overheadPercent: Double,
            processorOverheadPercent: Double
        ) {
            self.every = every
            self.stepMilliseconds = stepMilliseconds
            self.processorMilliseconds = processorMilliseconds
            self.overheadPercent = overheadPercent
            self.processorOverheadPercent = processorOverheadPercent
        }
    }
    public var rows: [Row]
}

/// Starts clusters and times them; given by whoever can start processes.
public typealias ClusterTimer =
    @Sendable (_ every: Int, _ steps: Int, _ batch: Int) throws -> (
        stepSeconds: Double, processorSeconds: Double
    )

struct IntervalExperiment: Sendable {
    var intervals: [Int]
    var rounds: Int
    var steps: Int
    var batch: Int
    var timer: ClusterTimer

    var settings: [String: String] {
        ["intervals": "\(intervals)", "rounds": "\(rounds)", "steps": "\(steps)", "batch": "\(batch)"]
    }

    /// Runs of one round stand beside each other, as machines change their speed.
    func run() throws -> IntervalOutcome {
        var costs: [Int: [(step: Double, processor: Double)]] = [:]
        for _ in 0..<rounds {
            for every in [0] + intervals {
                let cost = try timer(every, steps, batch)
                costs[every, default: []].append((cost.stepSeconds, cost.processorSeconds))
            }
        }
        let without = costs[0] ?? []
        return IntervalOutcome(
            rows: ([0] + intervals).map { every in
                let with = costs[every] ?? []
                func overhead(_ part: ((step: Double, processor: Double)) -> Double) -> Double {
                    median(zip(with, without).map { (part($0) / part($1) - 1) * 100 })
                }
                return IntervalOutcome.Row(
                    every: every, stepMilliseconds: median(with.map(\.step)) * 1e3,
                    processorMilliseconds: median(with.map(\.processor)) * 1e3,
                    overheadPercent: overhead(\.step), processorOverheadPercent: overhead(\.processor))
            })
    }
}
