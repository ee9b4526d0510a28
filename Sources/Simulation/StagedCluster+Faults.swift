import MachineCore
import StoreLogic
import Wire

/// What can be done to a staged cluster. Each tells whether it struck, or what it hurt; nil: there was nothing to hurt.
extension StagedCluster {
    /// The process that is in this place.
    public func process(of node: String) -> Int? { process(node)?.id }

    private func process(_ node: String) -> Process? {
        guard let place = NodeID(node) else { return nil }
        return world.live(place).last { !$0.isPaused }
    }

    private func store(_ node: String) -> Int? {
        guard let place = NodeID(node), place.role == .store else { return nil }
        return world.disks.indices.contains(place.index) ? place.index : nil
    }

    // MARK: Processes

    /// Ends the node's process; a supervisor starts another one.
    public func kill(_ node: String, cause: String) -> Bool {
        guard let process = process(node) else { return false }
        world.kill(process, cause: cause)
        return true
    }

    /// Ends it within its next event, after so many effects. Tells of it through `hasDied`.
    public func killMidway(_ node: String, afterEffects count: Int) -> Int? {
        guard let process = process(node), process.isJoined else { return nil }
        process.effectsLeft = count
        return process.id
    }

    public func hasDied(_ process: Int) -> Bool { !world.processes[process].isAlive }

    /// Ends a store's process if it is in the middle of a write: what is not synced is lost or torn.
    public func killWhileWriting(_ node: String) -> Bool {
        guard let process = process(node), process.isWorking, case .store(.write)? = process.jobs.first else {
            return false
        }
        world.kill(process, cause: "killed within a write")
        return true
    }

    public func pause(_ node: String) -> Bool {
        guard let process = process(node) else { return false }
        process.isPaused = true
        world.say("\(process.label) is paused")
        return true
    }

    /// Wakes what is paused in this place; true if anything was.
    public func resume(_ node: String) -> Bool {
        guard let place = NodeID(node) else { return false }
        let paused = world.live(place).filter(\.isPaused)
        for process in paused { world.resume(process) }
        return !paused.isEmpty
    }

    /// Pauses the node and starts its successor beside it.
    public func replace(_ node: String) -> Bool {
        guard let place = NodeID(node), place.role != .store, pause(node) else { return false }
        world.queue.add(.start(place), at: world.now + 20_000_000)
        return true
    }

    /// The node's clock jumps ahead.
    public func jumpClock(_ node: String, milliseconds: Int) -> Bool {
        guard let process = process(node) else { return false }
        process.clock.offset += UInt64(milliseconds) * 1_000_000
        world.scheduleTimer(process)
        return true
    }

    // MARK: Links

    /// Nothing passes between these pairs, in this direction; with a delay it takes that much longer.
    public func hinder(_ pairs: [(from: String, to: String)], delayMilliseconds: Int?) -> [Int] {
        pairs.compactMap { pair in
            guard let a = NodeID(pair.from), let b = NodeID(pair.to) else { return nil }
            let delay = delayMilliseconds.map { UInt64($0) * 1_000_000 }
            world.cuts[world.nextCut] = World.Cut(a: a, b: b, isOneWay: true, delay: delay)
            world.nextCut += 1
            return world.nextCut - 1
        }
    }

    public func free(_ hindrances: [Int]) { for id in hindrances { world.cuts[id] = nil } }

    /// Closes the connections between these pairs; tells how many there were.
    public func reset(_ pairs: [(from: String, to: String)]) -> Int {
        var count = 0
        for index in world.connections.indices where world.connections[index].isOpen {
            let a = world.processes[world.connections[index].dialer].place.description
            let b = world.processes[world.connections[index].acceptor].place.description
            guard pairs.contains(where: { ($0.from, $0.to) == (a, b) || ($0.from, $0.to) == (b, a) }) else {
                continue
            }
            world.close(index)
            count += 1
        }
        return count
    }

    // MARK: Disks

    /// What a record is, for people.
    private func name(_ key: StoreMachine.Key) -> String { "step \(key.step) of shard-\(key.shard)" }

    /// Damages one record, the same on each of these stores; `draw` picks one of so many.
    public func flipBit(_ nodes: [String], base: Bool, draw: (Int) -> Int) -> String? {
        let stores = nodes.compactMap(store)
        guard stores.count == nodes.count, let first = stores.first else { return nil }
        let common = world.disks[first].records.keys.sorted().filter { key in
            stores.allSatisfy { store in
                world.disks[store].intact(key.shard, key.step).map { ($0.part.kind == .base) == base }
                    ?? false
            }
        }
        guard !common.isEmpty else { return nil }
        let key = common[draw(common.count)]
        for store in stores {
            world.diskFault("disk-damaged", store)
            world.disks[store].damage(key)
        }
        return name(key)
    }

    /// The next record that the store writes lands on another one. Struck once ``hasMisdirected(_:)``.
    public func misdirect(_ node: String) -> Bool {
        guard let store = store(node) else { return false }
        world.disks[store].misdirects = true
        return true
    }

    public func hasMisdirected(_ node: String) -> Bool {
        store(node).map { !world.disks[$0].misdirects } ?? false
    }

    private func changeWhileDead(_ node: String, _ cause: String, _ change: (Int) -> Void) -> Bool {
        guard let store = store(node), let place = NodeID(node) else { return false }
        // Before its process ends: what it has not acknowledged is nobody's loss.
        world.diskFault("disk-lost", store)
        for process in world.live(place) { world.kill(process, cause: cause) }
        change(store)
        return true
    }

    public func wipe(_ node: String) -> Bool {
        changeWhileDead(node, "its disk was replaced") { world.disks[$0].wipe() }
    }

    /// What a store's disk holds now.
    public struct DiskCopy { let disk: FakeDisk }

    public func copy(of node: String) -> DiskCopy? { store(node).map { DiskCopy(disk: world.disks[$0]) } }

    public func goBack(_ node: String, to copy: DiskCopy) -> Bool {
        changeWhileDead(node, "an old copy of its disk took the place of it") {
            world.disks[$0].goBack(to: copy.disk)
        }
    }

    /// A third of its records, from the middle, is gone; tells how many, nil if there are too few.
    public func loseRecords(_ node: String) -> Int? {
        guard let store = store(node), world.disks[store].records.count >= 3 else { return nil }
        let keys = world.disks[store].records.keys.sorted { ($0.step, $0.shard) < ($1.step, $1.shard) }
        let lost = keys[keys.count / 3..<2 * keys.count / 3]
        return changeWhileDead(node, "a part of its disk is gone") { world.disks[$0].lose(lost) }
            ? lost.count : nil
    }

    public func setFull(_ node: String, _ isFull: Bool) -> Bool {
        guard let store = store(node) else { return false }
        world.disks[store].isFull = isFull
        return true
    }

    /// Every sync of the store fails until it is told otherwise.
    public func setFailing(_ node: String, _ fails: Bool) -> Bool {
        guard let store = store(node) else { return false }
        if fails { failing.insert(store) } else { failing.remove(store) }
        world.disks[store].failsSync = fails
        return true
    }

    /// Every write of the store takes 20 to 400 ms longer until it is told otherwise.
    public func setSlow(_ node: String, _ isSlow: Bool) -> Bool {
        guard let store = store(node) else { return false }
        world.disks[store].slowUntil = isSlow ? .max : 0
        return true
    }
}
