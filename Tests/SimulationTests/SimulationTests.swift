import ParameterState
import Testing

@testable import Simulation

/// Whole clusters from seeds; each failure names the command that replays it. `varve simulate` runs many more.
@Suite struct SimulationTests {
    @Test(arguments: [0, 12, 24, 36] as [UInt64])
    func seedsHold(first: UInt64) {
        for outcome in SimulationRunner.run(seeds: first..<first + 12, steps: 16, maxFailures: 3) {
            Issue.record(
                "varve simulate --seed \(outcome.seed) --steps 16 --trace: \(outcome.failure ?? "")\n\(outcome.plan)"
            )
        }
    }

    @Test func calmSeedsEndInTheBitsOfOneProcess() {
        for outcome in SimulationRunner.run(seeds: 0..<8, steps: 12, onlyFaults: []) {
            Issue.record("seed \(outcome.seed): \(outcome.failure ?? "")\n\(outcome.plan)")
        }
    }

    @Test func sameSeedGivesTheSameRun() {
        func lines() -> [String] {
            var lines: [String] = []
            _ = Simulation.run(seed: 45, steps: 10) { lines.append($0) }
            return lines
        }
        let first = lines()
        #expect(first.count > 200)
        #expect(first == lines())
    }

    /// A fault that was never drawn or never struck is not a pass.
    @Test func everyKindOfFaultStrikes() {
        var struck: Set<FaultKind> = []
        for seed in 0..<300 as Range<UInt64> where struck.count < FaultKind.allCases.count {
            struck.formUnion(Simulation.run(seed: seed, steps: 8, size: .small).faults.keys)
        }
        #expect(Set(FaultKind.allCases).subtracting(struck).isEmpty)
    }

    /// What a run that does not end says of everyone.
    @Test func aDumpTellsOfEveryPlace() {
        let plan = Plan(seed: 3, steps: 6, onlyFaults: [], mutant: nil, size: .small)
        let world = World(plan: plan, trace: nil)
        world.run()
        let dump = world.dump()
        for place in world.places { #expect(dump.contains("\(place)#"), "nothing of \(place)") }
    }

    @Test func seedsDrawEveryShapeAndSetting() {
        let plans = (0..<4000 as Range<UInt64>).map {
            Plan(seed: $0, steps: nil, onlyFaults: nil, mutant: nil)
        }
        #expect(Set(plans.map(\.settings.shards)) == Set(1...16))
        #expect(Set(plans.map(\.settings.workers)) == Set(1...8))
        #expect(Set(plans.map(\.settings.stores)) == Set(1...7))
        #expect(Set(plans.map(\.settings.staleness)) == [0, 1, 3, nil])
        #expect(Set(plans.map(\.settings.partialRecovery)) == [false, true])
        #expect(Set(plans.map(\.codec.entropy)) == [.huffman, .quick, .best])
        #expect(plans.contains { $0.selection?.rule == .topN })
        for order: PartialSelection.Order in [.priority, .roundRobin] {
            #expect(plans.contains { $0.selection?.rule == .blocks(size: 4, order) })
        }
        let autoSlots = plans.filter {
            guard case .auto = $0.slotCodec.kind else { return false }
            return $0.slotCodec != $0.codec
        }
        #expect(!autoSlots.isEmpty)
        #expect(
            plans.contains { $0.codec.kind == .exact && $0.settings.baseEvery == 1 }, "no full checkpoints")
        #expect(Set(plans.flatMap(\.orders)) == Set(OrderKind.allCases))
        #expect(Set(plans.flatMap(\.faults)) == Set(FaultKind.allCases))
        #expect(plans.allSatisfy { $0.settings.writeQuorum <= $0.settings.replicas })
        let small = plans.filter {
            $0.settings.shards <= 2 && $0.settings.workers <= 2 && $0.settings.stores <= 3
        }
        #expect(small.count > plans.count / 2)
    }

    @Test func clocksShowEachMomentAndAreNeverAheadOfTheirAlarms() {
        for skew in [-51, 0, 51] {
            let clock = NodeClock(offset: 12_345, skew: skew)
            for time in [0, 1, 999, 1_000_000, 3_600_000_000_000] as [UInt64] {
                let shown = clock.local(time)
                #expect(clock.world(shown) <= time)
                #expect(clock.local(clock.world(shown)) >= shown)
            }
        }
    }

    @Test func whatIsDueAtTheSameTimeHappensInOrder() {
        var queue = EventQueue<Int>()
        var random = SimulationRandom(seed: 3)
        var expected: [(at: UInt64, item: Int)] = []
        for item in 0..<500 {
            let at = UInt64(random.below(20))
            queue.add(item, at: at)
            expected.append((at, item))
        }
        expected.sort { ($0.at, $0.item) < ($1.at, $1.item) }
        var seen: [Int] = []
        while let next = queue.next() { seen.append(next) }
        #expect(seen == expected.map(\.item))
    }
}
