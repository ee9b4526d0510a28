import LCCheckpoint
import StoreLogic
import Wire

/// A store's disk: what is synced survives a crash; of the rest, a part at the beginning may.
struct FakeDisk {
    struct Record {
        var part: Part
        var payload: Payload
        var isDamaged = false
    }

    enum Entry {
        case promise(UInt64)
        case record(Record)
        case manifest(Manifest)
        case drop(StoreMachine.Key)
    }

    private(set) var promisedEpoch: UInt64 = 0
    private(set) var records: [StoreMachine.Key: Record] = [:]
    private(set) var manifests: [UInt64: Manifest] = [:]
    private(set) var unsynced: [Entry] = []
    /// What was freed and is still there: a log that is opened again finds it.
    private var freed: [StoreMachine.Key: Record] = [:]
    var isFull = false
    var failsSync = false
    /// Until then every write takes long.
    var slowUntil: UInt64 = 0
    /// The next record that is written lands on another one.
    var misdirects = false

    /// Puts writes where a crash may lose them.
    mutating func write(_ writes: [StoreMachine.Write]) {
        for write in writes {
            switch write {
            case .promise(let epoch): unsynced.append(.promise(epoch))
            case .record(let part, let payload):
                unsynced.append(.record(Record(part: part, payload: payload)))
            case .manifest(let manifest): unsynced.append(.manifest(manifest))
            case .drop(let key): unsynced.append(.drop(key))
            }
        }
    }

    mutating func sync() {
        for entry in unsynced { settle(entry) }
        unsynced = []
    }

    private mutating func settle(_ entry: Entry) {
        switch entry {
        case .promise(let epoch): promisedEpoch = max(promisedEpoch, epoch)
        case .record(let record):
            records[StoreMachine.Key(shard: record.part.shard, step: record.part.step)] = record
        case .manifest(let manifest): manifests[manifest.step] = manifest
        case .drop(let key): records[key] = nil
        }
    }

    /// The process or the power is gone: a torn end is cut off.
    mutating func crash(_ random: inout SimulationRandom) {
        let kept = unsynced.prefix(random.below(unsynced.count + 1))
        for entry in kept { settle(entry) }
        unsynced = []
    }

    mutating func wipe() {
        promisedEpoch = 0
        records = [:]
        manifests = [:]
        unsynced = []
        freed = [:]
        misdirects = false
    }

    /// What a copy made earlier held takes the place of everything.
    mutating func goBack(to old: FakeDisk) {
        promisedEpoch = old.promisedEpoch
        records = old.records
        manifests = old.manifests
        unsynced = []
        freed = [:]
        misdirects = false
    }

    mutating func damage(_ key: StoreMachine.Key) { records[key]?.isDamaged = true }

    /// Records disappear, as with a file that is gone.
    mutating func lose(_ keys: some Sequence<StoreMachine.Key>) { for key in keys { records[key] = nil } }

    /// - Parameter isLazy: nothing is read for it, until the log is opened again.
    mutating func keep(_ keys: Set<StoreMachine.Key>, isLazy: Bool) -> UInt64 {
        let before = records.count
        if isLazy { for (key, record) in records where !keys.contains(key) { freed[key] = record } }
        records = records.filter { keys.contains($0.key) }
        return UInt64(before - records.count)
    }

    /// A log is opened: what was only forgotten is found again.
    mutating func open() {
        for (key, record) in freed where records[key] == nil { records[key] = record }
        freed = [:]
    }

    func found(seesDamage: Bool) -> StoreMachine.Found {
        var damages: [StoreMachine.Damage] = []
        if seesDamage {
            for key in records.keys.sorted() where records[key]!.isDamaged {
                damages.append(StoreMachine.Damage(key: key, what: "step \(key.step) has a wrong checksum"))
            }
        }
        return StoreMachine.Found(
            promisedEpoch: promisedEpoch, parts: records.keys.sorted().map { records[$0]!.part },
            manifests: manifests.keys.sorted().map { manifests[$0]! }, damages: damages)
    }

    /// The record of a part, if it is here and whole.
    func intact(_ shard: UInt32, _ step: UInt64, payloadDigest: String? = nil) -> Record? {
        guard let record = records[StoreMachine.Key(shard: shard, step: step)], !record.isDamaged,
            payloadDigest == nil || record.part.payloadDigest == payloadDigest
        else { return nil }
        return record
    }
}

/// The coordinator's database: one row of state, the manifests, and who leads.
struct FakeDatabase {
    private(set) var state: CoordinatorState?
    private(set) var manifests: [UInt64: Manifest] = [:]
    var leader = 0

    mutating func persist(_ new: CoordinatorState, commits: [Manifest], deletes: [UInt64]) {
        state = new
        for step in deletes { manifests[step] = nil }
        for manifest in commits { manifests[manifest.step] = manifest }
    }
}
