import MachineCore
import Testing
import Training
import Wire

@testable import StoreLogic

/// The queue against a plain dictionary that is looked through from the front each time.
@Suite struct RepairQueueTests {
    private typealias Key = StoreMachine.Key
    private typealias Repair = RepairQueue.Repair

    private struct Plain {
        var all: [Key: Repair] = [:]

        func due(at now: Instant, limit: Int) -> [Key] {
            var active = all.values.count { $0.request != 0 }
            return all.keys.sorted().filter { key in
                guard let repair = all[key], repair.deadline <= now else { return false }
                guard repair.request == 0 else { return true }
                guard active < limit else { return false }
                active += 1
                return true
            }
        }

        func nextDeadline(limit: Int) -> Instant? {
            let active = all.values.filter { $0.request != 0 }
            let open = active.count < limit ? Array(all.values) : active
            return open.map(\.deadline).min()
        }
    }

    /// Missed and expected ones come, are asked for, refused, answered and given up, in a different order for each seed.
    @Test(arguments: 0..<40) func doesWhatAPlainDictionaryDoes(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var queue = RepairQueue()
        var plain = Plain()
        var now = Instant(nanoseconds: 1_000_000_000)
        var asked: UInt64 = 0
        var seen: Set<Key> = []
        // A key that was done with and came back stands at its first place among the expected ones: a little too late.
        var cameBack = false
        func missed() -> Repair { Repair(part: Part(), deadline: now, request: 0) }
        func expected() -> Repair {
            Repair(part: Part(), deadline: now + .milliseconds(10), request: 0, isExpected: true)
        }
        func set(_ key: Key, _ repair: Repair?) {
            if repair?.isExpected == true { cameBack = cameBack || !seen.insert(key).inserted }
            queue[key] = repair
            plain.all[key] = repair
        }
        for _ in 0..<400 {
            now = now + .milliseconds(Int.random(in: 0...3, using: &random))
            let key = Key(
                shard: UInt32.random(in: 0..<3, using: &random),
                step: UInt64.random(in: 0..<12, using: &random))
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1: if plain.all[key] == nil { set(key, missed()) }
            case 2: if plain.all[key] == nil { set(key, expected()) }
            // Another payload of the same step is expected now, whatever was under way.
            case 3 where Bool.random(using: &random): set(key, expected())
            case 3: set(key, nil)
            case 4:
                if var known = plain.all[key], known.isExpected {
                    known.isExpected = false
                    known.deadline = min(known.deadline, now)
                    set(key, known)
                }
            default: break
            }
            #expect(queue.missed == plain.all.values.count { !$0.isExpected })
            #expect(queue.count == plain.all.count)
            let due = plain.nextDeadline(limit: 4)
            if let found = queue.nextDeadline(limit: 4), let due {
                #expect(found >= due && found <= max(due, now) + .milliseconds(10))
            } else {
                #expect(due == nil && queue.nextDeadline(limit: 4) == nil)
            }
            guard Int.random(in: 0..<3, using: &random) == 0 else { continue }
            let wanted = plain.due(at: now, limit: 4)
            let taken = queue.takeDue(at: now, limit: 4)
            if !cameBack { #expect(taken == wanted) }
            for key in taken {
                asked += 1
                var repair = plain.all[key]!
                #expect(repair.deadline <= now)
                repair.request = asked
                repair.isExpected = false
                repair.deadline = now + .milliseconds(5)
                set(key, repair)
            }
            // The oldest first, as many as there is room for.
            let waiting = plain.all.filter { $0.value.request == 0 && !$0.value.isExpected }.keys
            #expect(waiting.isEmpty || plain.all.values.count { $0.request != 0 } >= 4)
        }
    }
}
