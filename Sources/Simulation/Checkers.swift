import LCCheckpoint
import MachineCore
import ParameterState
import StoreLogic
import Wire

/// What must hold, whatever happens: looked at from outside, apart from the roles' own logic.
struct Checkers {
    struct Gradient: Hashable {
        var slot: Int
        var line: UInt64
        var clock: UInt64
        var shard: Int
    }

    struct Place: Hashable {
        var shard: UInt32
        var line: UInt64
        var step: UInt64
    }

    let plan: Plan
    /// The newest promise that each disk holds.
    var promises: [UInt64]
    /// True once a disk was wiped or damaged: fewer copies than the quorum are then no mistake.
    var diskWasHurt = false
    private var gradients: [Digest: Set<Gradient>] = [:]
    private var payloads: [Place: String] = [:]
    private var committed: [UInt64: String] = [:]
    private var committedStep: Int64 = -1
    private var epoch: UInt64 = 0
    private var restores: [UInt64: [Int: UInt64]] = [:]
    private(set) var commits = 0
    private(set) var appliedSteps = 0

    init(plan: Plan) {
        self.plan = plan
        promises = Array(repeating: 0, count: plan.settings.stores)
    }

    // MARK: at-most-once

    mutating func computed(slot: Int, line: UInt64, clock: UInt64, _ gradient: Payload) {
        for shard in 0..<plan.settings.shards {
            let range = plan.range(ofShard: shard)
            let digest = gradient.slice(range.lowerBound * 4..<range.upperBound * 4).withBytes {
                Digest.of($0)
            }
            gradients[digest, default: []].insert(
                Gradient(slot: slot, line: line, clock: clock, shard: shard))
        }
    }

    /// Step `version` applies clock `version − 1` of every slot, in order of the slots, computed on this timeline.
    mutating func applied(_ shard: Int, line: UInt64, version: UInt64, _ inputs: [Payload]) -> String? {
        appliedSteps += 1
        guard inputs.count == plan.settings.workers else {
            return "at-most-once: shard-\(shard) applies \(inputs.count) gradients in step \(version)"
        }
        for (slot, input) in inputs.enumerated() {
            let known = gradients[input.withBytes { Digest.of($0) }] ?? []
            let wanted = Gradient(slot: slot, line: line, clock: version - 1, shard: shard)
            // In partial mode a shard that survived goes on with the gradients that it holds.
            let isOlder = known.contains {
                $0.slot == slot && $0.clock == version - 1 && $0.shard == shard && $0.line <= line
            }
            guard known.contains(wanted) || (plan.settings.partialRecovery && isOlder) else {
                return
                    "at-most-once: shard-\(shard) applies in step \(version) on timeline \(line) for slot \(slot) a gradient of \(known.map { "slot \($0.slot) line \($0.line) clock \($0.clock)" }.sorted())"
            }
        }
        return nil
    }

    // MARK: single-writer

    mutating func appendSent(_ part: Part) -> String? {
        let place = Place(shard: part.shard, line: part.line, step: part.step)
        if let known = payloads[place], known != part.payloadDigest {
            return
                "single-writer: shard-\(part.shard) has two payloads for step \(part.step) on timeline \(part.line)"
        }
        payloads[place] = part.payloadDigest
        return nil
    }

    func writesAre(_ writes: [StoreMachine.Write]) -> String? {
        for case .record(let part, let payload) in writes
        where payload.withBytes({ Digest.of($0).description }) != part.payloadDigest {
            return "another payload for step \(part.step) of shard-\(part.shard) than its digest names"
        }
        return nil
    }

    // MARK: durable, atomic, monotonic

    mutating func persisted(
        _ state: CoordinatorState, _ commits: [Manifest], before: FakeDatabase, disks: [FakeDisk]
    ) -> String? {
        if state.epoch < epoch {
            return "fenced: the coordinator's epoch went back from \(epoch) to \(state.epoch)"
        }
        epoch = state.epoch
        if state.committedStep < committedStep {
            return "monotonic: the committed step went back from \(committedStep) to \(state.committedStep)"
        }
        committedStep = state.committedStep
        for manifest in commits {
            if let problem = check(manifest, disks) { return problem }
        }
        return nil
    }

    private mutating func check(_ manifest: Manifest, _ disks: [FakeDisk]) -> String? {
        commits += 1
        if let known = committed[manifest.step], known != manifest.modelDigest {
            return "monotonic: step \(manifest.step) was committed before with another digest"
        }
        committed[manifest.step] = manifest.modelDigest
        guard manifest.parts.count == plan.settings.shards else {
            return "atomic: step \(manifest.step) has \(manifest.parts.count) parts"
        }
        let needed = diskWasHurt ? 1 : plan.settings.writeQuorum
        for (shard, part) in manifest.parts.enumerated() {
            guard part.shard == UInt32(shard), part.step == manifest.step else {
                return "atomic: step \(manifest.step) names step \(part.step) of shard-\(part.shard)"
            }
            guard manifest.parts.allSatisfy({ $0.line == part.line }) else {
                return "atomic: step \(manifest.step) mixes timelines"
            }
            if let problem = links(part, disks, needed: needed) {
                return "durable: commit of step \(manifest.step): \(problem)"
            }
        }
        return nil
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

    mutating func restored(_ shard: Int, line: UInt64, step: UInt64) {
        restores[line, default: [:]][shard] = step
    }

    /// All shards that were restored on one timeline stand at one step.
    func restoresAgree() -> String? {
        for line in restores.keys.sorted() where Set(restores[line]!.values).count > 1 {
            return "atomic: on timeline \(line) the shards were restored to \(restores[line]!)"
        }
        return nil
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

    /// A restore of a part from one disk yields the manifest's digest.
    func restore(_ part: Part, from disk: FakeDisk) -> String? {
        guard let records = chain(part, on: disk) else { return "the chain is not whole" }
        let state = ShardState(
            range: plan.range(ofShard: Int(part.shard)), optimizer: plan.optimizer, codec: plan.codec,
            slotCodec: plan.codec)
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
        return digest == part.stateDigest
            ? nil : "the chain leads to \(digest), the manifest names \(part.stateDigest)"
    }

    /// `deterministic`: what one process without any network, store or fault comes to.
    func reference(_ shard: Int) -> String? {
        let range = plan.range(ofShard: shard)
        let state = ShardState(
            range: range, optimizer: plan.optimizer, codec: plan.codec, slotCodec: plan.codec)
        plan.initialParameters(range).withUnsafeBufferPointer { state.initialize($0) }
        for version in 1...max(plan.settings.steps, 1) {
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
            return try state.encode(step: plan.settings.steps, asBase: true).part.stateDigest
        } catch { return nil }
    }
}
