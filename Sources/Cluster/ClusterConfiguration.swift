/// A whole cluster's configuration, typed, with every default filled in.
///
/// Read with ``parse(yaml:file:overrides:)``; ``yaml()`` writes the effective form that a run keeps.
/// Times are milliseconds, `every` is training steps, `maxLag` checkpoints.
public struct ClusterConfiguration: Sendable, Codable, Hashable {
    public enum Transport: String, Sendable, Codable, CaseIterable { case tcp }
    public enum ModelKind: String, Sendable, Codable, CaseIterable { case mlr, lenet5, alexnet, mf }
    public enum DataKind: String, Sendable, Codable, CaseIterable {
        case mnist, movielens, synthetic
        case fashionMNIST = "fashion-mnist"
    }
    public enum Consistency: String, Sendable, Codable, CaseIterable { case bsp, ssp, asp }
    public enum OptimizerKind: String, Sendable, Codable, CaseIterable { case sgd, adagrad, adam }
    public enum CodecKind: String, Sendable, Codable, CaseIterable { case lc, auto, exact, full, topn, scar }
    public enum BlockOrder: String, Sendable, Codable, CaseIterable {
        case priority, random
        case roundRobin = "round-robin"
    }
    public enum Entropy: String, Sendable, Codable, CaseIterable { case quick, best, huffman }
    public enum RecoveryMode: String, Sendable, Codable, CaseIterable { case rollback, partial }

    /// How many nodes of each role, and what they talk over.
    public struct Cluster: Sendable, Codable, Hashable {
        public var name = "varve"
        public var shards = 1
        public var workers = 1
        public var stores = 1
        public var transport = Transport.tcp
    }
    /// What is trained; `rank` belongs to mf alone.
    public struct Model: Sendable, Codable, Hashable {
        public var kind = ModelKind.lenet5
        public var rank: Int?
    }
    /// What it is trained on; without `path`, where the system's package puts it.
    public struct DataSource: Sendable, Codable, Hashable {
        public var kind = DataKind.fashionMNIST
        public var path: String?
    }
    /// The update rule and its hyper-parameters.
    public struct Optimizer: Sendable, Codable, Hashable {
        public var kind = OptimizerKind.sgd
        public var learningRate = 0.05
        public var momentum = 0.0
        public var beta1 = 0.9
        public var beta2 = 0.999
        public var epsilon = 1e-8
    }
    /// How long and how consistently to train; `staleness` belongs to ssp alone.
    public struct Training: Sendable, Codable, Hashable {
        public var steps = 500
        public var batch = 64
        public var consistency = Consistency.bsp
        public var staleness: Int?
        public var seed: UInt64 = 1
        public var optimizer = Optimizer()
    }
    /// How a delta is coded; `bits` nil stands for `all`.
    public struct Codec: Sendable, Codable, Hashable {
        public var kind = CodecKind.lc
        public var bits: Int? = 3
        public var entropy = Entropy.quick
        /// ‖u − ũ‖ / ‖u‖ that each shard's slice keeps to; for `auto` alone, and then always given.
        public var error: Double?
        /// The share of the elements (`topn`) or blocks (`scar`) that a checkpoint brings up to date; for these alone.
        public var fraction: Double?
        /// Elements of a block, and which blocks come first; for `scar` alone.
        public var block: Int?
        public var select: BlockOrder?
        static let exact = Codec(kind: .exact, bits: nil, entropy: .quick)
    }
    /// Which checkpoints outlive pruning: the newest `last`, and each `every`-th step.
    public struct Keep: Sendable, Codable, Hashable {
        public var last = 50
        public var every = 100
    }
    /// When and where checkpoints go; `every` 0 switches them off.
    public struct Checkpoint: Sendable, Codable, Hashable {
        public var every = 1
        public var codec = Codec()
        public var slotsCodec = Codec.exact
        public var writeQuorum = 1
        public var replicas = 1
        public var baseEvery = 100
        public var keep = Keep()
        /// How many checkpoints may be under way while training goes on; at least 1.
        public var maxLag = 1
    }
    /// What returns to a committed step after a loss.
    public struct Recovery: Sendable, Codable, Hashable {
        public var mode = RecoveryMode.rollback
    }
    /// Failure detection.
    public struct Timing: Sendable, Codable, Hashable {
        public var heartbeatMs = 100
        public var leaseMs = 1500
    }
    /// Addresses; coordinator port 0 takes a free one.
    public struct Network: Sendable, Codable, Hashable {
        public var bind = "127.0.0.1"
        public var advertise: String?
        public var coordinatorPort = 0
    }

    public var cluster = Cluster()
    public var model = Model()
    public var data = DataSource()
    public var training = Training()
    public var checkpoint = Checkpoint()
    public var recovery = Recovery()
    public var timing = Timing()
    public var network = Network()

    /// The defaults.
    public init() {}
}
