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
    }

    private var stores: [String: Store] = [:]
    /// Which stores have ever had a record on their disk.
    private(set) var holders: [HeldFact: Set<Int>] = [:]
    /// Whether a disk has lost anything that was on it.
    private(set) var diskWasHurt = false

    mutating func observe(_ what: Observation, of process: ProcessFact, _ findings: inout Findings) {
        if case .fault(let kind, let node) = what {
            if kind.hasPrefix("disk-") { diskWasHurt = true }
            if kind == "disk-lost" { stores[node] = Store() }
            return
        }
        var store = stores[process.node] ?? Store()
        let name = process.node
        switch what {
        case .opened(let promised, let held, let damaged):
            opened(name, &store, promised, held, damaged, &findings)
            for record in held { holders[record, default: []].insert(process.index) }
        case .writing(let records, let promise):
            store.batch = (records, promise)
            for record in records where store.content[record.key] != nil {
                store.content[record.key]!.insert(record.payload)
            }
        case .synced:
            // Of two records of one step the later one stays; both were synced.
            for record in store.batch.records { store.content[record.key] = [] }
            for record in store.batch.records {
                store.content[record.key]!.insert(record.payload)
                holders[record, default: []].insert(process.index)
            }
            store.durablePromise = max(store.durablePromise, store.batch.promise)
            store.batch = ([], 0)
        case .acknowledged(let shard, let step, let payload, let epoch):
            findings.count(.durable)
            findings.count(.fenced)
            if epoch < store.givenPromise {
                findings.fail(
                    .fenced,
                    "\(name) acknowledged step \(step) of shard-\(shard) to a writer of epoch \(epoch) after it had promised \(store.givenPromise)"
                )
            }
            if store.content[KeyFact(shard: shard, step: step)]?.contains(payload) != true {
                findings.fail(
                    .durable, "\(name) acknowledged step \(step) of shard-\(shard) before it had synced it")
            }
        case .promised(let epoch):
            findings.count(.fenced)
            if store.durablePromise < epoch {
                findings.fail(.fenced, "\(name) promised epoch \(epoch) before that was on its disk")
            }
            store.givenPromise = max(store.givenPromise, epoch)
        case .compacting(let kept):
            let kept = Set(kept)
            store.content = store.content.filter { kept.contains($0.key) }
        case .computed, .began, .applied, .appended, .heard, .led, .persisting, .persisted, .announced,
            .progress, .fencing, .restoring, .alarm, .fault:
            break
        }
        stores[process.node] = store
    }

    private mutating func opened(
        _ name: String, _ store: inout Store, _ promised: UInt64, _ held: [HeldFact], _ damaged: [HeldFact],
        _ findings: inout Findings
    ) {
        let found = held + damaged
        // A disk with nothing on it is another disk: the others still hold what was acknowledged here.
        let isAnother = found.isEmpty && promised == 0
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
    }
}
