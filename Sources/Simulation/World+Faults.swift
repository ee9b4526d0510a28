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
        if strike(kind) { count(kind) }
    }

    /// A fault has struck: what is merely drawn, or waits for its moment, has not.
    func count(_ kind: FaultKind) { firedFaults[kind, default: 0] += 1 }

    /// Brings trouble; true when it has struck at once.
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
        case .killMidway:
            guard let process = anyOne() else { return false }
            process.effectsLeft = random.below(12)
            return false
        case .pause: return pauseOne(replaced: false)
        case .replaceWhilePaused: return pauseOne(replaced: true)
        case .loss, .duplicate, .slow, .fullLink, .halfOpen, .lazyCompaction, .clockSkew, .engineError:
            return false
        case .slowLink: return cut(isOneWay: random.chance(0.5), delay: random.span(2, 200))
        case .cut: return cut(isOneWay: false)
        case .oneWayCut: return cut(isOneWay: true)
        case .flap:
            let (a, b) = (random.pick(places), random.pick(places))
            guard a != b else { return false }
            flap(a, b, times: random.from(2...8))
            return true
        case .wipe: return loseDisks { self.disks[$0].wipe() }
        case .staleDisk: return goBackToCopies()
        case .flip: return flip()
        case .misdirect:
            disks[random.below(disks.count)].misdirects = true
            return false
        case .diskFull:
            let store = random.below(disks.count)
            disks[store].isFull = true
            queue.add(.roomAgain(store: store), at: now + random.span(50, 600))
            return false
        case .syncError:
            disks[random.below(disks.count)].failsSync = true
            return false
        case .slowSync:
            disks[random.below(disks.count)].slowUntil = now + random.span(100, 2000)
            return false
        case .clockJump:
            guard let process = anyOne() else { return false }
            let by = random.span(5, random.pick([50, 500, 5000]))
            say("the clock of \(process.label) jumps ahead by \(by / 1_000_000) ms")
            process.clock.offset += by
            scheduleTimer(process)
            return true
        }
    }

    private func anyOne() -> Process? {
        let candidates = processes.filter { $0.isAlive && !$0.isPaused && $0.isJoined }
        return candidates.isEmpty ? nil : random.pick(candidates)
    }

    private func killOne(_ role: Role) -> Bool {
        let candidates = processes.filter { $0.isAlive && $0.place.role == role }
        guard !candidates.isEmpty else { return false }
        kill(random.pick(candidates), cause: "killed")
        return true
    }

    private func pauseOne(replaced: Bool) -> Bool {
        guard let process = anyOne() else { return false }
        // A store's disk belongs to one process at a time.
        guard !replaced || process.place.role != .store else { return false }
        pause(process, milliseconds: replaced ? (300, 1500) : (20, 900))
        if replaced { queue.add(.start(process.place), at: now + random.span(50, 600)) }
        return true
    }

    func flap(_ a: NodeID, _ b: NodeID, times: Int) {
        guard !isCalm, times > 0 else { return }
        say("the way between \(a) and \(b) is cut for a moment")
        cuts[nextCut] = Cut(a: a, b: b, isOneWay: false)
        queue.add(.heal(cut: nextCut), at: now + random.span(5, 60))
        nextCut += 1
        queue.add(.flap(a, b, times: times - 1), at: now + random.span(60, 160))
    }

    private func cut(isOneWay: Bool, delay: UInt64? = nil) -> Bool {
        let a = random.pick(places)
        let b = random.pick(places)
        guard a != b else { return false }
        let what = delay.map { "slower by \($0 / 1_000_000) ms" } ?? "cut"
        say("the way from \(a) to \(b) is \(what)\(isOneWay ? " in one direction" : "")")
        cuts[nextCut] = Cut(a: a, b: b, isOneWay: isOneWay, delay: delay)
        queue.add(.heal(cut: nextCut), at: now + random.span(30, 900))
        nextCut += 1
        if delay == nil && random.chance(0.5) {
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

    private func endTrouble() {
        say("from here on nothing breaks any more")
        cuts = [:]
        for store in disks.indices {
            disks[store].isFull = false
            disks[store].failsSync = false
            disks[store].slowUntil = 0
            disks[store].misdirects = false
        }
        for process in processes where process.isAlive { process.effectsLeft = nil }
        for process in processes where process.isAlive && process.isPaused { resume(process) }
        queue.add(.askRepair(id: 1), at: now + 2_000_000_000)
        for place in places where live(place).isEmpty {
            queue.add(.start(place), at: now + random.span(1, 50))
        }
    }

    // MARK: The end

    func inspect() {
        if let problem = overdueSilence() ?? brokenLimit() ?? lostPin() { return fail(problem) }
        if now > liveBound {
            return fail("live: not done \(liveBound / 1_000_000) ms after the start\n" + dump())
        }
        queue.add(.inspect, at: now + 100_000_000)
        guard isCalm, let state = database.state, state.phase == .finished,
            state.committedStep >= Int64(state.targetStep),
            let last = database.manifests[UInt64(state.committedStep)]
        else { return }
        guard wasStopped || state.targetStep == plan.settings.steps else {
            return fail("live: the run ended at step \(state.targetStep), which nobody ordered")
        }
        // Whole again: every replica of every shard holds the last step, and some disk each step that is kept.
        guard last.parts.allSatisfy({ checkers.replicasHolding($0, disks) == plan.settings.replicas }),
            database.manifests.values.allSatisfy({ manifest in
                manifest.parts.allSatisfy { checkers.replicasHolding($0, disks) > 0 }
            })
        else { return }
        for part in last.parts {
            for store in Placement.stores(
                ofShard: Int(part.shard), stores: plan.settings.stores, replicas: plan.settings.replicas)
            {
                if let problem = checkers.restore(part, from: disks[store.index]) {
                    return fail("proved: shard-\(part.shard) from \(store): \(problem)")
                }
            }
            if plan.settings.staleness == 0 && plan.isExact && !plan.settings.partialRecovery {
                guard checkers.reference(Int(part.shard), steps: last.step) == part.stateDigest else {
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
        for step in database.manifests.keys.sorted() {
            for part in database.manifests[step]!.parts where checkers.replicasHolding(part, disks) == 0 {
                lines.append("no disk holds the chain of step \(step) of shard-\(part.shard)")
            }
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
