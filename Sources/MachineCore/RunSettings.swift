/// What the decisions of all roles depend on, taken from the run's configuration.
public struct RunSettings: Sendable, Hashable {
    public var shards: Int
    public var workers: Int
    public var stores: Int
    /// Stores that hold each shard's part.
    public var replicas: Int
    /// Acknowledgements that make a part durable.
    public var writeQuorum: Int
    /// Clocks that a worker may be ahead of the oldest gradient in the parameters that it reads: 0 is `bsp`,
    /// a number is `ssp`, nil is `asp` (then only `maxWindow` bounds it).
    public var staleness: Int?
    public var steps: UInt64
    /// Steps from one checkpoint to the next; 0: only at the end.
    public var checkpointEvery: UInt64
    public var baseEvery: UInt64
    /// Checkpoints that may be under way while training goes on.
    public var maxLag: Int
    public var partialRecovery: Bool
    public var keepLast: Int
    public var keepEvery: UInt64
    public var heartbeat: Instant.Span
    public var lease: Instant.Span
    /// Shards tell of durable checkpoints at most this often: the coordinator commits what has come together in one
    /// transaction, and training does not wait for it.
    public var tellPause: Instant.Span
    /// After this time without an answer a question is put again.
    public var retry: Instant.Span

    /// A mistake that the simulator builds in; nil everywhere else.
    package var mutation: Mutation?

    /// Gradients that a shard holds per slot, at most: memory is bounded in every mode.
    public static let maxWindow = 64

    public init(shards: Int, workers: Int, stores: Int) {
        self.shards = shards
        self.workers = workers
        self.stores = stores
        replicas = min(stores, 3)
        writeQuorum = min(stores, 2)
        staleness = 0
        steps = 100
        checkpointEvery = 1
        baseEvery = 100
        maxLag = 1
        partialRecovery = false
        keepLast = 50
        keepEvery = 100
        heartbeat = .milliseconds(100)
        lease = .milliseconds(1000)
        tellPause = .milliseconds(40)
        retry = .milliseconds(250)
    }

    /// Clocks beyond its version for which a shard accepts gradients.
    public var window: UInt64 { UInt64(min(staleness.map { $0 + 1 } ?? Self.maxWindow, Self.maxWindow)) }

    /// The oldest version that may answer a worker which has finished `clock`.
    public func wantedVersion(afterClock clock: UInt64) -> UInt64 {
        guard let staleness else { return clock + 1 > window ? clock + 1 - window : 0 }
        return clock + 1 > UInt64(staleness) ? clock + 1 - UInt64(staleness) : 0
    }

    /// Acknowledgements that are counted as a write quorum.
    package var countedQuorum: Int { mutation == .quorumOneShort ? max(writeQuorum - 1, 1) : writeQuorum }

    public func isCheckpoint(_ version: UInt64, target: UInt64) -> Bool {
        version == target || (checkpointEvery > 0 && version % checkpointEvery == 0)
    }
}
