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
        for seed in 0..<30 as Range<UInt64> where struck.count < FaultKind.allCases.count {
            struck.formUnion(Simulation.run(seed: seed, steps: 8).faults.keys)
        }
        #expect(Set(FaultKind.allCases).subtracting(struck).isEmpty)
    }
}
