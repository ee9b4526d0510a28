import MachineCore
import StoreLogic
import Wire

/// How disks are hurt, within what the cluster promises: at most W − 1 stores are lost or corrupt at a time.
///
/// A store that was hurt counts until it holds again whatever it held before. What no disk holds any more is forgiven
/// once it is at or below the committed step: retention freed it, or it was given up. Above it may still be counted: a
/// shard that heard an acknowledgement goes on to gather the others.
extension World {
    /// True when the store may be hurt now, besides those that are not whole yet.
    func mayHurt(_ store: Int) -> Bool {
        let others = ailingStores() - (debts[store] == nil ? 0 : 1)
        return others + 1 <= plan.settings.writeQuorum - 1
    }

    /// Stores that were hurt and are not whole yet.
    func ailingStores() -> Int {
        for ailing in debts.keys.sorted() where isWhole(ailing) { debts[ailing] = nil }
        return debts.count
    }

    private func isWhole(_ store: Int) -> Bool {
        let committed = database.state?.committedStep ?? -1
        return debts[store]!.allSatisfy { key, part in
            if let there = disks[store].records[key], !there.isDamaged,
                there.part.payloadDigest == part.payloadDigest || there.part.line > part.line
            {
                return true
            }
            return Int64(key.step) <= committed
                && !disks.indices.contains {
                    $0 != store
                        && disks[$0].intact(key.shard, key.step, payloadDigest: part.payloadDigest) != nil
                }
        }
    }

    private func owe(_ store: Int, _ records: some Sequence<FakeDisk.Record>, _ fault: String) {
        diskFault(fault, store)
        var debt = debts[store] ?? [:]
        for record in records where !record.isDamaged {
            debt[StoreMachine.Key(shard: record.part.shard, step: record.part.step)] = record.part
        }
        debts[store] = debt
    }

    /// The disks of one store, or of as many as the promise allows, lose what they hold.
    func loseDisks(_ lose: (Int) -> Void) -> Bool {
        var isStruck = false
        let first = random.below(disks.count)
        for store in disks.indices.map({ ($0 + first) % disks.count }) {
            guard mayHurt(store), !isStruck || random.chance(0.3) else { continue }
            isStruck = true
            say("the disk of store-\(store) is lost")
            // Before its process ends: what it has not acknowledged is nobody's loss.
            owe(store, disks[store].records.values, "disk-lost")
            for process in live(.store(store)) { kill(process, cause: "its disk was replaced") }
            lose(store)
        }
        return isStruck
    }

    /// Copies are made now and then; later they come back in place of the disks.
    func goBackToCopies() -> Bool {
        guard random.chance(0.6), !oldCopies.isEmpty else {
            let store = random.below(disks.count)
            oldCopies[store] = disks[store]
            return false
        }
        return loseDisks { store in
            if let copy = oldCopies[store] {
                say("an old copy of it takes its place")
                disks[store].goBack(to: copy)
            } else {
                disks[store].wipe()
            }
        }
    }

    func flip() -> Bool {
        let store = random.below(disks.count)
        guard mayHurt(store) else { return false }
        var keys = disks[store].records.keys.sorted().filter { !disks[store].records[$0]!.isDamaged }
        var isStruck = false
        while !keys.isEmpty, !isStruck || random.chance(0.3) {
            isStruck = true
            damage(keys.remove(at: random.below(keys.count)), store, "a bit flips")
        }
        return isStruck
    }

    private func damage(_ key: StoreMachine.Key, _ store: Int, _ what: String) {
        say("\(what) in step \(key.step) of shard-\(key.shard) on the disk of store-\(store)")
        owe(store, [disks[store].records[key]!], "disk-damaged")
        disks[store].damage(key)
    }

    /// A record was written in the place of another one: neither can be read.
    func misdirect(_ writes: [StoreMachine.Write], _ store: Int) {
        for case .record(let part, _) in writes {
            let written = StoreMachine.Key(shard: part.shard, step: part.step)
            let others = disks[store].records.keys.sorted().filter { $0 != written }
            guard let other = others.isEmpty ? nil : random.pick(others), mayHurt(store) else { continue }
            disks[store].misdirects = false
            damage(written, store, "a write is misdirected: damage")
            damage(other, store, "it hit another record: damage")
            count(.misdirect)
            return
        }
    }

    /// The process of a store is gone, or its power: a job that was under way has reached its disk, or a part of it.
    func crashDisk(of process: Process) {
        let store = process.place.index
        if process.isWorking, let job = process.jobs.first, case .store(let action) = job {
            switch action {
            case .write(let writes): if !disks[store].isFull { disks[store].write(writes) }
            case .compact(let keep, _): if random.chance(0.5) { _ = disks[store].keep(keep, isLazy: false) }
            case .read, .verify: break
            }
        }
        disks[store].crash(&random)
    }
}
