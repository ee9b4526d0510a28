import LCCheckpoint
import ParameterState
import Wire

/// How a cluster keeps checkpoints: what its shards are made with, and when they write.
///
/// Unless said otherwise the entropy coder is `quick`, as in a cluster.
public struct Policy: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        /// The whole state every so many steps.
        case full(every: Int)
        /// Bit-exact deltas every so many steps.
        case exact(every: Int)
        /// A share of the elements or blocks at every step, exact.
        case partial(PartialSelection)
        /// A delta of every element at every step.
        case delta(CodecSettings)
    }

    public var name: String
    public var kind: Kind
    /// Of optimizer slots; nil for the codec of the parameters.
    public var slots: CodecSettings?

    public init(name: String, kind: Kind, slots: CodecSettings? = nil) {
        self.name = name
        self.kind = kind
        self.slots = slots
    }

    public static func lc(bits: Int?, slots: CodecSettings? = nil) -> Policy {
        Policy(
            name: "lc, \(bits.map { "\($0) bits" } ?? "all buckets")",
            kind: .delta(CodecSettings(kind: .lc(bits: bits), entropy: .quick)), slots: slots)
    }

    public static func auto(error: Double, slots: CodecSettings? = nil) -> Policy {
        Policy(
            name: "auto", kind: .delta(CodecSettings(kind: .auto(error: error), entropy: .quick)),
            slots: slots)
    }

    /// Steps from one checkpoint to the next.
    var every: Int {
        switch kind {
        case .full(let every), .exact(let every): every
        case .partial, .delta: 1
        }
    }

    /// Whether each checkpoint stands by itself.
    var isBase: Bool {
        if case .full = kind { return true }
        return false
    }

    private var codec: CodecSettings {
        if case .delta(let settings) = kind { return settings }
        return CodecSettings(kind: .exact, entropy: .quick)
    }

    private var selection: PartialSelection? {
        if case .partial(let selection) = kind { return selection }
        return nil
    }

    /// A shard as a cluster with this policy makes it.
    func makeShard(_ range: Range<Int>, of workload: Workload) -> ShardState {
        ShardState(
            range: range, optimizer: workload.optimizer, codec: codec, slotCodec: slots ?? codec,
            selection: selection, checkpointEvery: UInt64(every))
    }

    /// As many shards with equal parts of a run's parameters.
    func makeShards(_ count: Int, at run: TrainingRun) -> [ShardState] {
        let total = run.parameters.count
        return (0..<count).map { index in
            let shard = makeShard(
                total * index / count..<total * (index + 1) / count, of: run.subject.workload)
            run.parameters.withUnsafeBufferPointer {
                shard.initialize(UnsafeBufferPointer(rebasing: $0[shard.range]))
            }
            return shard
        }
    }

    /// A shard as a new process builds it from its chain.
    func makeShard(
        _ range: Range<Int>, of workload: Workload, from chain: [[UInt8]], version: UInt64
    ) throws -> ShardState {
        let shard = makeShard(range, of: workload)
        for (place, frame) in chain.enumerated() {
            try frame.withUnsafeBytes { try shard.restoreFrame($0, isFirst: place == 0) }
        }
        _ = shard.adoptReconstruction(version: version)
        return shard
    }

    /// The one number by which the policy's bytes are set, in words.
    var parameter: String {
        switch kind {
        case .full(let every), .exact(let every): "every \(every) steps"
        case .partial(let selection): "fraction \(short(selection.fraction))"
        case .delta(let settings):
            switch settings.kind {
            case .lc(let bits): bits.map { "\($0) bits" } ?? "all buckets"
            case .auto(let error): "error \(short(error))"
            case .exact: "exact"
            }
        }
    }
}

extension ShardState {
    /// Takes a step with the shard's part of a whole gradient.
    func take(_ gradient: Payload, step: UInt64) {
        _ = apply(version: step, gradients: [gradient.slice(range.lowerBound * 4..<range.upperBound * 4)])
    }
}
