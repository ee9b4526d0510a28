import MachineCore
import Testing
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
        var random = SeededGenerator(seed: seed)
        var queue = RepairQueue()
        var plain = Plain()
        var now = Instant(nanoseconds: 1_000_000_000)
        var asked: UInt64 = 0
        var seen: Set<Key> = []
        // A key that was done with and came back stands at its first place among the expected ones: a little too late.
        var cameBack = false
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
            case 0, 1:
                if plain.all[key] == nil { set(key, Repair(part: Part(), deadline: now, request: 0)) }
            case 2:
                if plain.all[key] == nil {
                    set(
                        key,
                        Repair(part: Part(), deadline: now + .milliseconds(10), request: 0, isExpected: true))
                }
            case 3 where Bool.random(using: &random):
                // Another payload of the same step is expected now, whatever was under way.
                set(
                    key, Repair(part: Part(), deadline: now + .milliseconds(10), request: 0, isExpected: true)
                )
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
            let expected = plain.nextDeadline(limit: 4)
            if let found = queue.nextDeadline(limit: 4), let expected {
                #expect(found >= expected && found <= max(expected, now) + .milliseconds(10))
            } else {
                #expect(expected == nil && queue.nextDeadline(limit: 4) == nil)
            }
            guard Int.random(in: 0..<3, using: &random) == 0 else { continue }
            let wanted = plain.due(at: now, limit: 4)
            let due = queue.takeDue(at: now, limit: 4)
            if !cameBack { #expect(due == wanted) }
            for key in due {
                asked += 1
                var repair = plain.all[key]!
                #expect(repair.deadline <= now)
                repair.request = asked
                repair.isExpected = false
                repair.deadline = now + .milliseconds(5)
                set(key, repair)
            }
            // The oldest first, as many as there is room for.
            let missed = plain.all.filter { $0.value.request == 0 && !$0.value.isExpected }.keys
            #expect(missed.isEmpty || plain.all.values.count { $0.request != 0 } >= 4)
        }
    }
}

/// SplitMix64.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
