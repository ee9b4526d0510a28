import LCCheckpoint
import ParameterState

/// What the deltas of a run come to, by codec: every codec follows the same training.
public struct CompressionOutcome: Sendable, Codable, Hashable {
    public struct Row: Sendable, Codable, Hashable {
        public var codec: String
        /// Mean bytes of a checkpoint, headers and checksums included.
        public var bytes: Double
        /// Bytes of the state by bytes of its checkpoint.
        public var ratio: Double
        public var meanError: Double
        public var largestError: Double
    }
    public var parameters: Int
    public var rows: [Row]
}

struct CompressionExperiment: Sendable {
    var workload: Workload
    var seed: UInt64
    var steps: Int
    /// Relative errors that `auto` is asked for.
    var errors = [1e-2, 1e-3, 1e-4]

    var settings: [String: String] {
        workload.settings.merging(["seed": "\(seed)", "steps": "\(steps)", "errors": "\(errors)"]) { $1 }
    }

    private var policies: [Policy] {
        let paper: [Policy] = [nil, 4, 3, 2].flatMap { (bits: Int?) in
            [CodecSettings.Entropy.huffman, .best].map { entropy in
                Policy(
                    name: "\(bits.map { "\($0) bits" } ?? "all buckets"), \(entropy)",
                    kind: .delta(CodecSettings(kind: .lc(bits: bits), entropy: entropy)))
            }
        }
        let auto = errors.map { error in
            Policy(
                name: "auto, error \(short(error))", kind: .delta(CodecSettings(kind: .auto(error: error))))
        }
        return paper + auto + [Policy(name: "exact", kind: .exact(every: 1))]
    }

    func run() throws -> CompressionOutcome {
        let subject = try Subject(workload, seed: seed)
        var run = TrainingRun(subject)
        // The paper quantizes a whole model at once; a cluster would quantize each shard's slice.
        let followers = try policies.map { try Follower($0, shards: 1, following: run) }
        for _ in 0..<steps {
            let gradient = run.gradient()
            run.apply(gradient)
            for follower in followers { try follower.follow(gradient, step: run.clock) }
        }
        let raw = Double(run.stateBytes)
        return CompressionOutcome(
            parameters: run.parameters.count,
            rows: followers.map { follower in
                let bytes = Double(follower.bytes) / Double(steps)
                return CompressionOutcome.Row(
                    codec: follower.policy.name, bytes: bytes, ratio: raw / bytes,
                    meanError: follower.errors.reduce(0, +) / Double(steps),
                    largestError: follower.errors.max() ?? 0)
            })
    }
}
