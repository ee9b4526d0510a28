import CoordinatorLogic
import LCCheckpoint
import MachineCore
import ParameterState
import ShardLogic
import StoreLogic
import Wire
import WorkerLogic

/// The fake engines: what a role asks for takes virtual time, and is done when that time is over.
extension World {
    func perform(_ job: Job, _ process: Process) {
        process.jobs.append(job)
        startJob(process)
    }

    private func startJob(_ process: Process) {
        guard process.isAlive, !process.isWorking, let job = process.jobs.first else { return }
        process.isWorking = true
        var takes = random.span(0.1, 1.5)
        if !isCalm && random.chance(0.01) { takes += random.span(5, 120) }
        if case .store(.write(let writes)) = job {
            let store = process.place.index
            if now < disks[store].slowUntil {
                takes += random.span(20, 400)
                count(.slowSync)
            }
            if let problem = checkers.writesAre(writes) {
                return fail("proved: store-\(store) is to write \(problem)")
            }
        }
        if case .worker = job { takes += random.span(0, plan.pace) }
        queue.add(.jobDone(process: process.id), at: now + takes)
    }

    /// True when the engine fails this time, and the world goes on as if nothing was done.
    private func fails() -> Bool {
        guard plan.faults.contains(.engineError), !isCalm, random.chance(0.01) else { return false }
        count(.engineError)
        return true
    }

    func finishJob(_ process: Process) {
        guard process.isWorking, !process.jobs.isEmpty else { return }
        let job = process.jobs.removeFirst()
        process.isWorking = false
        switch job {
        case .coordinator(let action):
            if let completion = persist(action, by: process) {
                drive(process, coordinator: .completed(completion))
            }
        case .shard(let action):
            let completion = compute(action, process)
            say("\(process.label) \(describe(action, completion))")
            if let completion { drive(process, shard: .completed(completion)) }
        case .store(let action):
            let completion = touchDisk(action, process)
            say("\(process.label) \(describe(action, completion))")
            drive(process, store: .completed(completion))
        case .worker(let action):
            let completion = compute(action, process)
            say("\(process.label) \(describe(action, completion))")
            drive(process, worker: .completed(completion))
        }
        startJob(process)
    }

    // MARK: Coordinator

    func persist(_ action: CoordinatorMachine.Action, by process: Process) -> CoordinatorMachine.Completion? {
        guard case .persist(let state, let commits, let deletes) = action else { return nil }
        if process.isAlive && fails() { return .persistFailed("the disk is gone") }
        guard database.leader == process.id || plan.mutant == .ignoreLeader else { return .notLeader }
        say(
            "\(process.label) persists epoch \(state.epoch) line \(state.line) \(state.phase) committed \(state.committedStep), commits \(commits.map(\.step))"
        )
        if let problem = checkers.persisted(commits, disks: disks, ailing: ailingStores()) { fail(problem) }
        database.persist(state, commits: commits, deletes: deletes)
        return .persisted
    }

    // MARK: Shard

    private func compute(_ action: ShardMachine.Action, _ process: Process) -> ShardMachine.Completion? {
        guard let state = process.state, process.shard != nil else { return nil }
        switch action {
        case .initialize(let line):
            plan.initialParameters(state.range).withUnsafeBufferPointer { state.initialize($0) }
            process.applied = (line, 0)
            return .initialized(line: line, parameters: state.parameters)
        case .apply(let version, let gradients):
            guard version == state.version + 1 else {
                fail("at-most-once: \(process.label) applies version \(version) on version \(state.version)")
                return nil
            }
            var parameters = state.apply(version: version, gradients: gradients)
            if plan.mutant == .applyTwice && version % 5 == 0 {
                parameters = appliedTwice(parameters, state, gradients)
            }
            return .applied(version: version, parameters: parameters)
        case .encode(let step, let asBase):
            guard step == state.version else {
                fail("chained: \(process.label) encodes step \(step) at version \(state.version)")
                return nil
            }
            do throws(CodecError) {
                let (frame, part) = try state.encode(step: step, asBase: asBase)
                return .encoded(part, frame: Payload(frame.bytes))
            } catch {
                fail("chained: \(process.label) can't encode step \(step): \(error)")
                return nil
            }
        case .restore(let link): return restore(link, state, process)
        }
    }

    private func restore(
        _ link: ShardMachine.ChainLink, _ state: ShardState, _ process: Process
    ) -> ShardMachine.Completion {
        let parts = plan.mutant == .linkSkipped ? withoutLastLink(link) : link.parts
        var offset = 0
        for (index, part) in parts.enumerated() {
            let bytes = link.frames.slice(offset..<offset + Int(part.encodedBytes))
            let before = plan.mutant == .deltaTwice ? reconstruction(of: state) : []
            offset += Int(part.encodedBytes)
            do throws(CodecError) {
                var problem: CodecError?
                bytes.withBytes { raw in
                    do throws(CodecError) {
                        try state.restoreFrame(raw, isFirst: link.isFirst && index == 0)
                    } catch { problem = error }
                }
                if let problem { throw problem }
                if plan.mutant == .deltaTwice, link.isLast, index == parts.count - 1 {
                    try addDeltaAgain(to: state, before: before)
                }
            } catch {
                return .restoreFailed(
                    line: link.line, reason: "step \(part.step): \(error)",
                    isLoss: error.kind != .layoutMismatch)
            }
        }
        let last = link.parts.last?.step ?? 0
        guard link.isLast else { return .linkRestored(line: link.line, step: last) }
        let digest = state.reconstructionDigest?.description ?? ""
        guard digest == link.stateDigest || plan.mutant == .linkSkipped || plan.mutant == .deltaTwice else {
            return .restoreFailed(
                line: link.line, reason: "the chain leads to \(digest), not to \(link.stateDigest)",
                isLoss: true)
        }
        var parameters = state.adoptReconstruction(version: link.resumeVersion)
        if plan.mutant == .wrongRestore { parameters = withWrongValue(parameters) }
        process.applied = (link.line, link.resumeVersion)
        return .restored(line: link.line, step: last, stateDigest: link.stateDigest, parameters: parameters)
    }

    // MARK: Store

    private func touchDisk(_ action: StoreMachine.Action, _ process: Process) -> StoreMachine.Completion {
        let store = process.place.index
        switch action {
        case .write(let writes):
            if disks[store].isFull {
                count(.diskFull)
                return .writeFailed(reason: "no space is left on the disk", fatal: false)
            }
            if disks[store].failsSync {
                disks[store].failsSync = false
                count(.syncError)
                // What could not be synced may be there all the same, all of it or a part: its process ends.
                if now % 2 == 0 { disks[store].write(writes) }
                return .writeFailed(reason: "fsync failed", fatal: true)
            }
            disks[store].write(writes)
            if plan.mutant == .syncDoesNothing {
                queue.add(.lateSync(store: store), at: now + random.span(20, 200))
            } else {
                disks[store].sync()
            }
            if disks[store].misdirects { misdirect(writes, store) }
            return .written
        case .read(let parts, let purpose):
            var bytes: [UInt8] = []
            for part in parts {
                guard let payload = readable(part, onDisk: store, for: purpose) else {
                    return .readFailed(part, why: "is damaged", purpose)
                }
                payload.withBytes { bytes.append(contentsOf: $0) }
            }
            return .read(parts, Payload(bytes), purpose)
        case .compact(let keep, _):
            if fails() { return .compactionFailed("the disk is gone") }
            if let problem = checkers.compacts(store, keep: keep, disks[store], database) { fail(problem) }
            let isLazy = plan.faults.contains(.lazyCompaction)
            let freed = disks[store].keep(keep, isLazy: isLazy)
            if isLazy && freed > 0 { count(.lazyCompaction) }
            return .compacted(freedBytes: freed)
        case .verify(let asked, let repair):
            let damages = disks[store].records.keys.sorted().filter { disks[store].records[$0]!.isDamaged }
                .map { StoreMachine.Damage(key: $0, what: "step \($0.step) is damaged") }
            return .verified(
                asked: asked, checked: disks[store].records.count, damages: damages, repair: repair)
        }
    }

    // MARK: Worker

    private func compute(_ action: WorkerMachine.Action, _ process: Process) -> WorkerMachine.Completion {
        guard case .compute(let line, let clock, let slices) = action else { preconditionFailure("one case") }
        if fails() { return .computeFailed(line: line, clock: clock, reason: "the data is gone") }
        let slot = process.name.index
        var parameters: [Float] = []
        for slice in slices { slice.withFloats { parameters.append(contentsOf: $0) } }
        let read = position(of: process, clock: clock)
        let gradient = plan.gradient(slot: slot, clock: read, parameters: parameters)
        let loss = gradient.reduce(Float(0)) { $0 + $1 * $1 } / Float(max(gradient.count, 1))
        let payload = Payload(count: gradient.count * 4) { raw in
            gradient.withUnsafeBytes { raw.copyMemory(from: $0) }
        }
        return .computed(line: line, clock: clock, loss: loss, gradient: payload)
    }
}
