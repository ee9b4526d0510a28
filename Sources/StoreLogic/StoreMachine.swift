import MachineCore
import Wire

/// The decisions of a checkpoint store.
///
/// Invariants:
/// - `fenced`: nothing older than the promised epoch is written; the promise is in the same synced batch as the first
///   record that relies on it, or in an earlier one.
/// - `durable`: `Appended` and `Promised` leave only after the batch that holds them is synced.
/// - `single-writer`: at one (shard, step) at most one payload is current; another payload of the same epoch is refused,
///   and one that a manifest names is never replaced.
/// - `tail`: a record found damaged is never served; it is fetched from a peer and checked against its digest.
public struct StoreMachine: Machine {
    /// Names one record in the index.
    public struct Key: Sendable, Hashable, Comparable {
        public var shard: UInt32
        public var step: UInt64
        public init(shard: UInt32, step: UInt64) {
            self.shard = shard
            self.step = step
        }
        public static func < (a: Key, b: Key) -> Bool { (a.shard, a.step) < (b.shard, b.step) }
    }

    /// One thing to write; a batch of them is synced together.
    public enum Write: Sendable {
        case promise(epoch: UInt64)
        case record(Part, payload: Payload)
        case manifest(Manifest)
        /// Records of a step after a rollback: they are history, no restore may use them.
        case drop(Key)
    }

    public enum Action: Sendable {
        /// Write all, sync once.
        case write([Write])
        /// Read the frames of these parts, in order.
        case read([Part], ReadPurpose)
        /// Free what `keep` does not name, and with `discardDamaged` the places that hold damage.
        case compact(keep: Set<Key>, discardDamaged: Bool)
        /// Read everything and compare with the checksums.
        case verify(asked: UInt64, repair: Bool)
    }

    public enum ReadPurpose: Sendable {
        case chain(request: UInt64, to: NodeID, last: Bool)
        case record(request: UInt64, to: NodeID)
    }

    /// A record that can't be read as it was written.
    public struct Damage: Sendable, Hashable {
        public var key: Key?
        public var what: String
        public init(key: Key?, what: String) {
            self.key = key
            self.what = what
        }
    }

    public enum Completion: Sendable {
        case written
        case writeFailed(reason: String, fatal: Bool)
        case read([Part], Payload, ReadPurpose)
        /// What was asked for could not be read as it was written: it is damaged, or made way for another record meanwhile.
        case readFailed(Part, why: String, ReadPurpose)
        case compacted(freedBytes: UInt64)
        case compactionFailed(String)
        case verified(asked: UInt64, checked: Int, damages: [Damage], repair: Bool)
    }

    /// What a store finds on its disk when it starts.
    public struct Found: Sendable {
        public var promisedEpoch: UInt64
        public var parts: [Part]
        public var manifests: [Manifest]
        public var damages: [Damage]
        public init(
            promisedEpoch: UInt64 = 0, parts: [Part] = [], manifests: [Manifest] = [], damages: [Damage] = []
        ) {
            self.promisedEpoch = promisedEpoch
            self.parts = parts
            self.manifests = manifests
            self.damages = damages
        }
    }

    struct Pending: Sendable {
        var write: Write
        /// To whom the write is acknowledged, if to anyone.
        var asker: NodeID?
        /// In which epoch it asked: a record that came from a peer may be older than the append that it answers.
        var askedEpoch: UInt64 = 0

        var record: Part? {
            if case .record(let part, _) = write { part } else { nil }
        }
    }

    typealias Repair = RepairQueue.Repair

    /// Repairs that are asked for at a time: more would only queue up at the peers' disks, and be asked for again.
    static let maxActiveRepairs = 8

    public internal(set) var membership: Membership
    let settings: Settings
    var promisedEpoch: UInt64
    /// The promise that the disk held when this process began.
    let foundPromise: UInt64
    var index: [Key: Part] = [:]
    var manifests: [UInt64: Manifest] = [:]
    var damaged: [Key: Part] = [:]
    var committedStep: Int64 = -1
    var writing: [Pending] = []
    /// A delta came whose base was not here: the peers are asked again until the chains of committed steps are whole.
    var lacksLinks = false
    /// Epochs of the appends that the last batch answered, for the history.
    var answeredEpochs: [Key: UInt64] = [:]
    var queue: [Pending] = []
    /// Promises and manifests that the disk refused.
    var refusedWrites: [Pending] = []
    var queuedBytes = 0
    /// Until when the queue waits for records of more shards.
    var gatherUntil: Instant?
    /// Shards that append here, by the newest view.
    var appenders = 0
    /// The newest step that was written, and the shards of which it was.
    var gathered: (step: UInt64, shards: Set<UInt32>) = (0, [])
    var retain = Retain()
    var compacting = false
    var compactedRetain: UInt64 = 0
    var askedInventories = false
    /// Why the disk took no more at the last attempt; every append tries again.
    var diskRefusal: String?
    var fenceStep: Int64 = -1
    var repairs = RepairQueue()
    /// More is missing than repairs may wait: peers are asked again when there is room.
    var lacksRoom = false
    var nextRequest: UInt64 = 1
    var inventoryDue: Instant?
    var inventoriesMissing: Set<NodeID> = []
    /// Answers to earlier questions than this one don't count.
    var inventoryRound: UInt64 = 0
    var caughtUp = false
    var manifestStep: Int64 = -1
    /// Verifications that wait for what they found to be mended.
    var verifications: [Verification] = []

    public struct Settings: Sendable, Hashable {
        public var stores: Int
        public var replicas: Int
        /// Bytes of appends that may wait for the disk; more are refused, and the shard tries again.
        public var maxQueuedBytes: Int
        /// Frames of one chain answer, together.
        public var maxAnswerBytes: Int
        /// Records that are fetched from peers at a time; for what is missing beyond, peers are asked again after them.
        public var maxRepairs: Int
        /// Records in one answer to a peer that asks what is held here.
        public var maxInventory: Int
        public var retry: Instant.Span
        /// How long the first record of a batch waits for those of the other shards, at most: they come at almost the
        /// same time, and one sync for all of them costs as much as one for the first.
        public var gather: Instant.Span
        /// A mistake that the simulator builds in; nil everywhere else.
        package var mutation: Mutation?
        public init(
            stores: Int, replicas: Int, maxQueuedBytes: Int = 1 << 28, maxAnswerBytes: Int = 8 << 20,
            maxRepairs: Int = 4096, maxInventory: Int = 8192, retry: Instant.Span = .milliseconds(500),
            gather: Instant.Span = .milliseconds(3)
        ) {
            self.stores = stores
            self.replicas = replicas
            self.maxQueuedBytes = maxQueuedBytes
            self.maxAnswerBytes = maxAnswerBytes
            self.maxRepairs = maxRepairs
            self.maxInventory = maxInventory
            self.retry = retry
            self.gather = gather
        }
    }

    public init(membership: Membership, settings: Settings, found: Found) {
        self.membership = membership
        self.settings = settings
        promisedEpoch = found.promisedEpoch
        foundPromise = found.promisedEpoch
        for part in found.parts { index[Key(shard: part.shard, step: part.step)] = part }
        for manifest in found.manifests {
            manifests[manifest.step] = manifest
            manifestStep = max(manifestStep, Int64(manifest.step))
        }
        for damage in found.damages {
            guard let key = damage.key, let part = index.removeValue(forKey: key) else { continue }
            damaged[key] = part
        }
        committedStep = manifestStep
        // Committed parts that did not come here before the last process ended.
        for manifest in found.manifests {
            for part in manifest.parts where holds(part.shard) {
                let key = Key(shard: part.shard, step: part.step)
                guard index[key]?.payloadDigest != part.payloadDigest else { continue }
                startRepair(part, at: Instant(nanoseconds: 0))
            }
        }
        // A disk that was wiped has forgotten its promises: the epoch of the view that it joined with is promised anew
        // before anything is taken.
        if membership.view.epoch > promisedEpoch { queuePromise(membership.view.epoch) }
    }

    public var identity: Identity { membership.identity }
    public var dialable: [NodeID: String] { membership.endpoints(of: [.store]) }
    public var dialableRevision: UInt64 { membership.revision }
    public var newestStep: UInt64 { index.keys.map(\.step).max() ?? 0 }
    /// The records that a restore may use, for tests and checkers.
    public var records: [Key: Part] { index }

    public var nextDeadline: Instant? {
        var next = membership.nextDeadline
        func consider(_ candidate: Instant?) {
            if let candidate, next.map({ candidate < $0 }) ?? true { next = candidate }
        }
        consider(inventoryDue)
        consider(gatherUntil)
        for verification in verifications { consider(end(of: verification)) }
        consider(repairs.nextDeadline(limit: Self.maxActiveRepairs))
        return next
    }

    /// Which stores hold a shard's part: `replicas` neighbours, beginning with the shard's own number.
    public static func replicas(ofShard shard: UInt32, settings: Settings) -> [NodeID] {
        Placement.stores(ofShard: Int(shard), stores: settings.stores, replicas: settings.replicas)
    }

    func holds(_ shard: UInt32) -> Bool {
        Self.replicas(ofShard: shard, settings: settings).contains(identity.node)
    }
}
