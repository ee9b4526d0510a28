import Wire

/// What one process did that the others, and people, can hold it to: the material of histories, and all that the
/// checkers of the promises look at.
///
/// A fact is taken down before anything leaves the process because of it. Facts of one process stand in their order;
/// between processes only what they name orders them (epochs, timelines, steps, digests), never a clock.
/// Digests are 32 hexadecimal digits.
public enum Observation: Sendable, Hashable, Codable {
    // MARK: Workers
    /// A gradient was computed; one digest for each shard's slice of it.
    case computed(line: UInt64, clock: UInt64, slices: [String])

    // MARK: Shards
    /// A state was taken: step −1 from the seed, else restored. `parameters` is the digest of the live values.
    case began(line: UInt64, step: Int64, version: UInt64, stateDigest: String, parameters: String)
    /// Gradients are applied, in the order of the worker slots.
    case applied(line: UInt64, version: UInt64, gradients: [String])
    /// A frame goes to the stores.
    indirect case appended(part: PartFact)
    /// A store's acknowledgement of a part came in.
    case heard(store: Int, step: UInt64, payload: String)

    // MARK: Stores
    /// What a process of a store found on its disk.
    case opened(promised: UInt64, held: [HeldFact], damaged: [HeldFact])
    /// A batch goes to the disk.
    case writing(records: [HeldFact], promise: UInt64)
    /// The batch before this is synced.
    case synced
    /// `epoch` is that of the append which is answered.
    case acknowledged(shard: UInt32, step: UInt64, payload: String, epoch: UInt64)
    case promised(epoch: UInt64)
    /// All other records may be freed.
    case compacting(kept: [KeyFact])

    // MARK: Coordinators
    /// What a coordinator found in its database, and the epoch that it will give out first.
    case led(epoch: UInt64, committedStep: Int64)
    /// A transaction is asked for; whether it happened says `persisted`, or what the next coordinator found.
    indirect case persisting(state: StateFact, commits: [ManifestFact])
    case persisted
    /// A view or a fence leaves with this epoch and committed step.
    case announced(epoch: UInt64, committedStep: Int64)
    /// The step that users are told of.
    case progress(line: UInt64, step: UInt64)
    /// A recovery begins; `committedStep` is the newest that is decided.
    case fencing(epoch: UInt64, committedStep: Int64)
    /// Shards are told to restore on a new timeline. `heard`: the stores whose promise came in; `lost`: the steps that
    /// are reported as lost, where a fault was noticed.
    indirect case restoring(
        line: UInt64, step: Int64, version: UInt64, shards: [UInt32], heard: [Int], lost: UInt64?)

    // MARK: Anyone
    /// An error that a process reports by the name of a promise.
    case alarm(kind: String, sentence: String)
    /// Something was done to the cluster on purpose: `disk-lost`, `disk-damaged`.
    case fault(kind: String, node: String)
}

/// A part as it is sent.
public struct PartFact: Sendable, Hashable, Codable {
    public var shard: UInt32
    public var step: UInt64
    public var line: UInt64
    public var epoch: UInt64
    /// Nil: a base.
    public var baseStep: UInt64?
    public var baseDigest: String
    public var stateDigest: String
    public var payload: String

    public init(_ part: Part) {
        shard = part.shard
        step = part.step
        line = part.line
        epoch = part.epoch
        baseStep = part.kind == .delta ? part.baseStep : nil
        baseDigest = part.baseDigest
        stateDigest = part.stateDigest
        payload = part.payloadDigest
    }
}

/// Names one record of a store.
public struct KeyFact: Sendable, Hashable, Codable, Comparable {
    public var shard: UInt32
    public var step: UInt64
    public init(shard: UInt32, step: UInt64) {
        self.shard = shard
        self.step = step
    }
    public static func < (a: KeyFact, b: KeyFact) -> Bool { (a.shard, a.step) < (b.shard, b.step) }
}

/// One record of a store, by its content.
public struct HeldFact: Sendable, Hashable, Codable {
    public var shard: UInt32
    public var step: UInt64
    public var payload: String
    public init(_ part: Part) {
        shard = part.shard
        step = part.step
        payload = part.payloadDigest
    }
    public init(shard: UInt32, step: UInt64, payload: String) {
        self.shard = shard
        self.step = step
        self.payload = payload
    }
    public var key: KeyFact { KeyFact(shard: shard, step: step) }
}

/// What a coordinator makes durable.
public struct StateFact: Sendable, Hashable, Codable {
    public var epoch: UInt64
    public var line: UInt64
    public var phase: String
    public var committedStep: Int64
    public init(_ state: CoordinatorState) {
        epoch = state.epoch
        line = state.line
        phase = "\(state.phase)"
        committedStep = state.committedStep
    }
}

public struct ManifestFact: Sendable, Hashable, Codable {
    public struct Part: Sendable, Hashable, Codable {
        public var shard: UInt32
        public var step: UInt64
        public var line: UInt64
        public var stateDigest: String
        public var payload: String
        /// Stores that are named as holders.
        public var stores: [Int]
    }
    public var step: UInt64
    public var line: UInt64
    public var digest: String
    public var parts: [Part]
    public init(_ manifest: Manifest) {
        step = manifest.step
        line = manifest.line
        digest = manifest.modelDigest
        parts = manifest.parts.map {
            Part(
                shard: $0.shard, step: $0.step, line: $0.line, stateDigest: $0.stateDigest,
                payload: $0.payloadDigest, stores: $0.stores.map { Int($0) })
        }
    }
}

/// Which process: its place, and which of those that held the place it was.
public struct ProcessFact: Sendable, Hashable, Codable {
    public var node: String
    /// Of a coordinator: the epoch that it gave out first.
    public var incarnation: UInt64
    public init(node: String, incarnation: UInt64) {
        self.node = node
        self.incarnation = incarnation
    }
    /// The number within the role.
    public var index: Int { NodeID(node)?.index ?? -1 }
}

extension Effect {
    /// Errors that a process reports by the name of a promise.
    public var alarm: Observation? {
        switch self {
        case .report(let decision):
            decision.level == .error && Self.alarming.contains(decision.kind)
                ? .alarm(kind: decision.kind, sentence: decision.sentence) : nil
        case .send, .perform, .exit: nil
        }
    }

    private static var alarming: [String] { ["single-writer", "proved", "unrecoverable", "monotonic"] }
}
