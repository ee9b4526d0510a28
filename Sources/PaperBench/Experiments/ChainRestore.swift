import LCCheckpoint
import ParameterState
import Wire

/// What a restore takes as the chain grows, and what a new base now and then changes.
public struct ChainOutcome: Sendable, Codable, Hashable {
    public struct Row: Sendable, Codable, Hashable {
        /// Checkpoints from one base to the next; 0: the first base is the only one.
        public var baseEvery: Int
        /// Checkpoints since the start of training.
        public var checkpoints: Int
        /// Frames that a restore reads, of one shard.
        public var frames: Int
        /// Bytes that it reads, of all shards.
        public var bytes: Int
        /// Bytes that the whole run has written by then.
        public var written: Int
        /// A timing: the median of some restores of all shards, one after another.
        public var milliseconds: Double
    }
    public var rows: [Row]
}

struct ChainExperiment: Sendable {
    var workload: Workload
    var policy: Policy
    var seed: UInt64
    var lengths: [Int]
    var baseEvery: [Int]
    var rounds: Int
    var shards = 4

    var settings: [String: String] {
        workload.settings.merging([
            "policy": "\(policy)", "seed": "\(seed)", "lengths": "\(lengths)", "base_every": "\(baseEvery)",
            "rounds": "\(rounds)", "shards": "\(shards)",
        ]) { $1 }
    }

    func run() throws -> ChainOutcome {
        var rows: [ChainOutcome.Row] = []
        for every in baseEvery { rows += try measure(every) }
        return ChainOutcome(rows: rows)
    }

    private func measure(_ every: Int) throws -> [ChainOutcome.Row] {
        let subject = try Subject(workload, seed: seed)
        var run = TrainingRun(subject)
        let writers = policy.makeShards(shards, at: run)
        var chains = [[[UInt8]]](repeating: [], count: shards)
        var written = 0
        func write(_ step: UInt64, asBase: Bool) throws {
            for (index, writer) in writers.enumerated() {
                let frame = try writer.encode(step: step, asBase: asBase).frame.bytes
                written += frame.count
                if asBase { chains[index] = [] }
                chains[index].append(frame)
            }
        }
        try write(0, asBase: true)
        var rows: [ChainOutcome.Row] = []
        for step in 1...(lengths.max() ?? 1) {
            let gradient = run.gradient()
            run.apply(gradient)
            for writer in writers { writer.take(gradient, step: run.clock) }
            try write(run.clock, asBase: every > 0 && step % every == 0)
            guard lengths.contains(step) else { continue }
            let times = try (0..<rounds).map { _ in
                let start = ContinuousClock.now
                for (writer, chain) in zip(writers, chains) {
                    _ = try policy.makeShard(writer.range, of: workload, from: chain, version: run.clock)
                }
                return (ContinuousClock.now - start) / .milliseconds(1)
            }
            rows.append(
                ChainOutcome.Row(
                    baseEvery: every, checkpoints: step, frames: chains[0].count,
                    bytes: chains.joined().reduce(0) { $0 + $1.count }, written: written,
                    milliseconds: median(times)))
        }
        return rows
    }
}
