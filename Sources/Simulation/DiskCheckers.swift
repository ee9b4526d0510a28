import LCCheckpoint
import MachineCore
import ParameterState
import StoreLogic
import Wire

/// What only the simulator can look at: the disks themselves, and what one process without faults comes to. Whatever
/// can be seen from outside a process is checked by `InvariantSuite`, which real histories go through too.
struct DiskCheckers {
    let plan: Plan
    private(set) var commits = 0
    private var restored: Set<[String]> = []

    init(plan: Plan) { self.plan = plan }

    // MARK: While it runs

    /// `proved`: a payload has the digest by which it is called.
    func writesAre(_ writes: [StoreMachine.Write]) -> String? {
        for case .record(let part, let payload) in writes
        where payload.withBytes({ Digest.of($0).description }) != part.payloadDigest {
            return "another payload for step \(part.step) of shard-\(part.shard) than its digest names"
        }
        return nil
    }

    /// `durable`: every link of every part's chain is on enough disks when a commit is made.
    ///
    /// - Parameter ailing: stores that were hurt and do not hold again what they held: so many copies may be missing.
    mutating func persisted(_ manifests: [Manifest], disks: [FakeDisk], ailing: Int) -> String? {
        let needed = max(1, plan.settings.writeQuorum - ailing)
        for manifest in manifests {
            commits += 1
            for part in manifest.parts {
                if let problem = links(part, disks, needed: needed) {
                    return "durable: commit of step \(manifest.step): \(problem)"
                }
            }
        }
        return nil
    }

    /// `durable`: a compaction frees nothing that a committed step needs, and nothing newer than the last commit.
    func compacts(
        _ store: Int, keep: Set<StoreMachine.Key>, _ disk: FakeDisk, _ database: FakeDatabase
    ) -> String? {
        var after = disk
        _ = after.keep(keep, isLazy: false)
        for manifest in database.manifests.values {
            for part in manifest.parts where chain(part, on: disk) != nil && chain(part, on: after) == nil {
                return
                    "durable: a compaction of store-\(store) frees what step \(part.step) of shard-\(part.shard) needs: \(firstGap(part, on: after))"
            }
        }
        let committed = database.state?.committedStep ?? -1
        let newer = disk.records.keys.sorted().first {
            Int64($0.step) > committed && !keep.contains($0) && !disk.records[$0]!.isDamaged
        }
        return newer.map {
            "durable: a compaction of store-\(store) frees step \($0.step) of shard-\($0.shard), newer than the last commit"
        }
    }

    /// Every link of a part's chain stands on enough disks.
    private func links(_ part: Part, _ disks: [FakeDisk], needed: Int) -> String? {
        var part = part
        while true {
            let replicas = Placement.stores(
                ofShard: Int(part.shard), stores: plan.settings.stores, replicas: plan.settings.replicas)
            let holders = replicas.filter {
                disks[$0.index].intact(part.shard, part.step, payloadDigest: part.payloadDigest) != nil
            }
            guard holders.count >= needed else {
                return
                    "step \(part.step) of shard-\(part.shard) is on \(holders.count) disks, \(needed) were promised"
            }
            guard part.kind == .delta else { return nil }
            let bases = replicas.compactMap { disks[$0.index].intact(part.shard, part.baseStep)?.part }
            guard let base = bases.first(where: { $0.stateDigest == part.baseDigest }) else {
                return
                    "no disk holds step \(part.baseStep) of shard-\(part.shard), on which step \(part.step) builds"
            }
            part = base
        }
    }

    // MARK: The end

    /// The chain of a part as one disk holds it, base first; nil when a link is missing or damaged.
    func chain(_ part: Part, on disk: FakeDisk) -> [FakeDisk.Record]? {
        var reversed: [FakeDisk.Record] = []
        var wanted = (step: part.step, digest: part.stateDigest)
        while true {
            guard let record = disk.intact(part.shard, wanted.step), record.part.stateDigest == wanted.digest
            else { return nil }
            reversed.append(record)
            guard record.part.kind == .delta else { return reversed.reversed() }
            guard record.part.baseStep < record.part.step else { return nil }
            wanted = (record.part.baseStep, record.part.baseDigest)
        }
    }

    /// What breaks a chain on one disk, in words.
    func firstGap(_ part: Part, on disk: FakeDisk) -> String {
        var wanted = (step: part.step, digest: part.stateDigest)
        while true {
            let name = "step \(wanted.step) of shard-\(part.shard)"
            guard let record = disk.records[StoreMachine.Key(shard: part.shard, step: wanted.step)] else {
                return name
            }
            if record.isDamaged { return "\(name) (damaged)" }
            guard record.part.stateDigest == wanted.digest else {
                return "\(name) (has timeline \(record.part.line))"
            }
            guard record.part.kind == .delta else { return "nothing" }
            wanted = (record.part.baseStep, record.part.baseDigest)
        }
    }

    func replicasHolding(_ part: Part, _ disks: [FakeDisk]) -> Int {
        Placement.stores(
            ofShard: Int(part.shard), stores: plan.settings.stores, replicas: plan.settings.replicas
        )
        .filter { chain(part, on: disks[$0.index]) != nil }.count
    }

    /// A restore of a part from one disk yields the manifest's digest. What has the digests of a chain that was restored
    /// is that chain: see `writesAre`.
    mutating func restore(_ part: Part, from disk: FakeDisk) -> String? {
        guard let records = chain(part, on: disk) else { return "the chain is not whole" }
        let name = ["\(part.shard)", part.stateDigest] + records.map(\.part.payloadDigest)
        guard !restored.contains(name) else { return nil }
        let state = plan.state(ofShard: Int(part.shard))
        for (index, record) in records.enumerated() {
            var problem: CodecError?
            record.payload.withBytes { raw in
                do throws(CodecError) { try state.restoreFrame(raw, isFirst: index == 0) } catch {
                    problem = error
                }
            }
            if let problem { return "step \(record.part.step): \(problem)" }
        }
        let digest = state.reconstructionDigest?.description ?? "nothing"
        guard digest == part.stateDigest else {
            return "the chain leads to \(digest), the manifest names \(part.stateDigest)"
        }
        restored.insert(name)
        return nil
    }

    /// `deterministic`: what one process without any network, store or fault comes to.
    func reference(_ shard: Int, steps: UInt64) -> String? {
        let range = plan.range(ofShard: shard)
        let state = plan.state(ofShard: shard)
        plan.initialParameters(range).withUnsafeBufferPointer { state.initialize($0) }
        for version in 1...max(steps, 1) {
            let now = state.parameters.withFloats { Array($0) } ?? []
            let gradients = (0..<plan.settings.workers).map { slot in
                let values = plan.gradient(
                    slot: slot, clock: version - 1, parameters: now, from: range.lowerBound)
                return Payload(count: values.count * 4) { raw in
                    values.withUnsafeBytes { raw.copyMemory(from: $0) }
                }
            }
            _ = state.apply(version: version, gradients: gradients)
        }
        do throws(CodecError) {
            return try state.encode(step: steps, asBase: true).part.stateDigest
        } catch { return nil }
    }
}
