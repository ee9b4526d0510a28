import MachineCore
import StoreLogic
import Wire

/// Trouble, and the end of it.
extension World {
    func makeTrouble() {
        guard !isCalm else { return endTrouble() }
        let next = min(now + random.span(plan.faultInterval.low, plan.faultInterval.high), plan.faultsEnd)
        queue.add(.fault, at: next)
        let kind = random.pick(plan.faults)
        if strike(kind) { firedFaults[kind, default: 0] += 1 }
    }

    private func strike(_ kind: FaultKind) -> Bool {
        switch kind {
        case .killCoordinator: return killOne(.coordinator)
        case .killStore: return killOne(.store)
        case .killShard: return killOne(.shard)
        case .killWorker: return killOne(.worker)
        case .killAll:
            guard random.chance(0.3) else { return false }
            for process in processes where process.isAlive { kill(process, cause: "killed with all others") }
            return true
        case .pause: return pauseOne(replaced: false)
        case .replaceWhilePaused: return pauseOne(replaced: true)
        case .loss, .duplicate, .slow: return true
        case .cut: return cut(isOneWay: false)
        case .oneWayCut: return cut(isOneWay: true)
        case .wipe: return wipe()
        case .flip: return flip()
        case .diskFull:
            let store = random.below(disks.count)
            disks[store].isFull = true
            queue.add(.roomAgain(store: store), at: now + random.span(50, 600))
            return true
        case .syncError:
            disks[random.below(disks.count)].failsSync = true
            return true
        }
    }

    private func killOne(_ role: Role) -> Bool {
        let candidates = processes.filter { $0.isAlive && $0.place.role == role }
        guard !candidates.isEmpty else { return false }
        kill(random.pick(candidates), cause: "killed")
        return true
    }

    private func pauseOne(replaced: Bool) -> Bool {
        let candidates = processes.filter { $0.isAlive && !$0.isPaused && $0.isJoined }
        guard !candidates.isEmpty else { return false }
        let process = random.pick(candidates)
        // A store's disk belongs to one process at a time.
        guard !replaced || process.place.role != .store else { return false }
        pause(process, milliseconds: replaced ? (300, 1500) : (20, 900))
        if replaced { queue.add(.start(process.place), at: now + random.span(50, 600)) }
        return true
    }

    private func cut(isOneWay: Bool) -> Bool {
        let a = random.pick(places)
        let b = random.pick(places)
        guard a != b else { return false }
        say("the way from \(a) to \(b) is cut\(isOneWay ? " in one direction" : "")")
        cuts[nextCut] = Cut(a: a, b: b, isOneWay: isOneWay)
        queue.add(.heal(cut: nextCut), at: now + random.span(30, 900))
        nextCut += 1
        if random.chance(0.5) {
            for index in connections.indices where connections[index].isOpen {
                let ends = [
                    processes[connections[index].dialer].place, processes[connections[index].acceptor].place,
                ]
                if ends == [a, b] || ends == [b, a] {
                    queue.add(.closed(connection: index), at: now + random.span(1, 200))
                }
            }
        }
        return true
    }

    /// Every committed step stands whole on a write quorum: one more disk may be hurt.
    private var isHealthy: Bool {
        plan.settings.writeQuorum >= 2
            && database.manifests.values.allSatisfy { manifest in
                manifest.parts.allSatisfy { checkers.replicasHolding($0, disks) >= plan.settings.replicas }
            }
            && (database.state?.phase == .running || database.state?.phase == .finished)
            && disks.allSatisfy { disk in
                disk.records.values.allSatisfy { record in
                    !record.isDamaged
                        && (Int64(record.part.step) <= (database.state?.committedStep ?? -1)
                            || disks.filter {
                                $0.intact(
                                    record.part.shard, record.part.step,
                                    payloadDigest: record.part.payloadDigest) != nil
                            }.count == plan.settings.replicas)
                }
            }
            && (0..<disks.count).allSatisfy { store in
                live(.store(store)).contains { $0.isJoined && !$0.isPaused }
            }
    }

    private func wipe() -> Bool {
        guard isHealthy else { return false }
        let store = random.below(disks.count)
        say("the disk of store-\(store) is wiped")
        diskFault("disk-lost", store)
        for process in live(.store(store)) { kill(process, cause: "its disk was replaced") }
        disks[store].wipe()
        return true
    }

    private func flip() -> Bool {
        guard isHealthy else { return false }
        let store = random.below(disks.count)
        let keys = disks[store].records.keys.sorted()
        guard !keys.isEmpty else { return false }
        let key = random.pick(keys)
        let digest = disks[store].records[key]!.part.payloadDigest
        let copies = disks.filter { $0.intact(key.shard, key.step, payloadDigest: digest) != nil }.count
        guard copies >= 2 else { return false }
        say("a bit of step \(key.step) of shard-\(key.shard) flips on the disk of store-\(store)")
        diskFault("disk-damaged", store)
        disks[store].damage(key)
        return true
    }

    private func endTrouble() {
        say("from here on nothing breaks any more")
        cuts = [:]
        for store in disks.indices {
            disks[store].isFull = false
            disks[store].failsSync = false
        }
        for process in processes where process.isAlive && process.isPaused { resume(process) }
        queue.add(.askRepair(id: 1), at: now + 2_000_000_000)
        for place in places where live(place).isEmpty {
            queue.add(.start(place), at: now + random.span(1, 50))
        }
    }

    // MARK: The end

    func inspect() {
        if let problem = overdueSilence() ?? brokenLimit() { return fail(problem) }
        if now > liveBound {
            return fail("live: not done \(liveBound / 1_000_000) ms after the start\n" + dump())
        }
        queue.add(.inspect, at: now + 100_000_000)
        guard isCalm, let state = database.state, state.phase == .finished,
            state.committedStep >= Int64(plan.settings.steps),
            let last = database.manifests[plan.settings.steps]
        else { return }
        // Whole again: every replica of every shard holds the last step.
        guard last.parts.allSatisfy({ checkers.replicasHolding($0, disks) == plan.settings.replicas }) else {
            return
        }
        for part in last.parts {
            for store in Placement.stores(
                ofShard: Int(part.shard), stores: plan.settings.stores, replicas: plan.settings.replicas)
            {
                if let problem = checkers.restore(part, from: disks[store.index]) {
                    return fail("proved: shard-\(part.shard) from \(store): \(problem)")
                }
            }
            if plan.settings.staleness == 0 && plan.codec.kind == .exact && !plan.settings.partialRecovery {
                guard checkers.reference(Int(part.shard)) == part.stateDigest else {
                    return fail(
                        "deterministic: shard-\(part.shard) ends in other bits than a run without faults")
                }
            }
        }
        isDone = true
    }

    /// Who is where, and waits for what.
    func dump() -> String {
        var lines: [String] = []
        if let state = database.state {
            lines.append(
                "database: epoch \(state.epoch) line \(state.line) \(state.phase) committed \(state.committedStep) "
                    + "target \(state.targetStep) lost \(state.lostShards) manifests \(database.manifests.keys.sorted().suffix(5))"
            )
        }
        for process in processes where process.isAlive {
            let own = process.identity
            var line =
                "\(process.label) incarnation \(own.incarnation) epoch \(own.epoch) jobs \(process.jobs.count) "
            line +=
                "dials \(process.dials.keys.sorted().map { "\($0):\(process.dials[$0]!.connection.map(String.init) ?? "-")" }) "
            line += process.isPaused ? "paused " : ""
            line += process.isJoined ? "" : "not joined "
            line += process.coordinator.map { $0.stateSentence } ?? ""
            line += process.shard.map { $0.stateSentence } ?? ""
            line += process.worker.map { $0.stateSentence } ?? ""
            line += process.store.map { $0.stateSentence } ?? ""
            lines.append(line)
        }
        for part in database.manifests[UInt64(max(database.state?.committedStep ?? 0, 0))]?.parts ?? [] {
            for store in Placement.stores(
                ofShard: Int(part.shard), stores: plan.settings.stores, replicas: plan.settings.replicas)
            where checkers.chain(part, on: disks[store.index]) == nil {
                lines.append("\(store) lacks \(checkers.firstGap(part, on: disks[store.index]))")
            }
        }
        return lines.joined(separator: "\n")
    }
}
