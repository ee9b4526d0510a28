import MachineCore

/// Stores: `tail` (what was synced is found again), `durable` and `honest` (an acknowledgement follows the sync),
/// `fenced` (a promise is durable before it is given, outlives the process, and is kept).
struct StoreChecker: Sendable {
    private struct Store {
        /// What its disk must hold. A record that is being replaced may be found as it was or as it will be.
        var content: [KeyFact: Set<String>] = [:]
        var batch: (records: [HeldFact], promise: UInt64) = ([], 0)
        var durablePromise: UInt64 = 0
        var givenPromise: UInt64 = 0
        var hasOpened = false

        mutating func writes(_ records: [HeldFact], _ promise: UInt64) {
            batch = (records, promise)
            for record in records { content[record.key]?.insert(record.payload) }
        }

        /// - Returns: the batch that is on the disk now, and what had stood in its places.
        mutating func synced() -> (records: [HeldFact], replaced: [HeldFact]) {
            let records = batch.records
            var replaced: [HeldFact] = []
            // Of two records of one step the later one stays; both were synced.
            for record in records {
                for other in content[record.key] ?? [] where other != record.payload {
                    replaced.append(HeldFact(shard: record.shard, step: record.step, payload: other))
                }
                content[record.key] = [record.payload]
            }
            durablePromise = max(durablePromise, batch.promise)
            batch = ([], 0)
            return (records, replaced)
        }
    }

    private var stores: [String: Store] = [:]
    /// Which stores have ever had a record on their disk.
    private(set) var holders: [HeldFact: Set<Int>] = [:]
    /// Whether a disk has lost anything that was on it.
    private(set) var diskWasHurt = false
    /// Records in whose place another one of the same step was written, and by which store.
    private var replaced: [(store: String, record: HeldFact)] = []
    /// Whether whoever takes a disk away says so: an empty one is then no other disk, but one that lost everything.
    private let hearsOfFaults: Bool

    init(hearsOfFaults: Bool) { self.hearsOfFaults = hearsOfFaults }

    mutating func observe(_ what: Observation, of process: ProcessFact, _ findings: inout Findings) {
        let name = process.node
        switch what {
        case .fault(let kind, let node):
            if kind.hasPrefix("disk-") { diskWasHurt = true }
            if kind == "disk-lost" { stores[node] = Store() }
        case .opened(let promised, let held, let damaged):
            opened(name, promised, held, damaged, &findings)
            for record in held { holders[record, default: []].insert(process.index) }
        case .writing(let records, let promise): stores[name, default: Store()].writes(records, promise)
        case .synced:
            let batch = stores[name, default: Store()].synced()
            for record in batch.records { holders[record, default: []].insert(process.index) }
            for record in batch.replaced { replaced.append((name, record)) }
        case .acknowledged(let shard, let step, let payload, let epoch):
            findings.count(.durable)
            findings.count(.fenced)
            let given = stores[name]?.givenPromise ?? 0
            if epoch < given {
                findings.fail(
                    .fenced,
                    "\(name) acknowledged step \(step) of shard-\(shard) to a writer of epoch \(epoch) after it had promised \(given)"
                )
            }
            if stores[name]?.content[KeyFact(shard: shard, step: step)]?.contains(payload) != true {
                findings.fail(
                    .durable, "\(name) acknowledged step \(step) of shard-\(shard) before it had synced it")
            }
        case .promised(let epoch):
            findings.count(.fenced)
            if stores[name]?.durablePromise ?? 0 < epoch {
                findings.fail(.fenced, "\(name) promised epoch \(epoch) before that was on its disk")
            }
            let given = stores[name]?.givenPromise ?? 0
            stores[name, default: Store()].givenPromise = max(given, epoch)
        case .compacting(let kept):
            let kept = Set(kept)
            let dead = (stores[name]?.content ?? [:]).keys.filter { !kept.contains($0) }
            for key in dead { stores[name]!.content[key] = nil }
        case .computed, .began, .applied, .appended, .heard, .led, .persisting, .persisted, .announced,
            .progress, .fencing, .restoring, .alarm:
            break
        }
    }

    /// `durable`: what a commit names gives way to nothing.
    ///
    /// - Parameter committed: the payloads of commits that are in the database.
    mutating func settle(committed: [KeyFact: String], _ findings: inout Findings) {
        for (store, record) in replaced where committed[record.key] == record.payload {
            findings.fail(
                .durable,
                "\(store) wrote another record in the place of step \(record.step) of shard-\(record.shard), which is committed"
            )
        }
        replaced = []
    }

    private mutating func opened(
        _ name: String, _ promised: UInt64, _ held: [HeldFact], _ damaged: [HeldFact],
        _ findings: inout Findings
    ) {
        var store = stores[name] ?? Store()
        let found = held + damaged
        // A disk with nothing on it is another disk: the others still hold what was acknowledged here.
        let isAnother = found.isEmpty && promised == 0 && !hearsOfFaults
        if !damaged.isEmpty || isAnother && store.hasOpened { diskWasHurt = true }
        if store.hasOpened && !isAnother {
            findings.count(.tail)
            findings.count(.fenced)
            if promised < store.givenPromise {
                findings.fail(
                    .fenced,
                    "\(name) came back with a promise of epoch \(promised), and had given one of \(store.givenPromise)"
                )
            }
            let present = Dictionary(grouping: found, by: \.key).mapValues { Set($0.map(\.payload)) }
            for key in store.content.keys.sorted()
            where present[key]?.isDisjoint(with: store.content[key]!) ?? true {
                findings.fail(
                    .tail,
                    "\(name) came back without step \(key.step) of shard-\(key.shard), which it had synced")
            }
        }
        store = Store(
            durablePromise: promised, givenPromise: isAnother ? 0 : store.givenPromise, hasOpened: true)
        for record in found { store.content[record.key, default: []].insert(record.payload) }
        stores[name] = store
    }
}
