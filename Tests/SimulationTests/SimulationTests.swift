import Testing

@testable import Simulation

/// Whole clusters from seeds; each failure names the command that replays it.
@Suite struct SimulationTests {
    @Test(arguments: [0, 25, 50, 75, 100, 125] as [UInt64])
    func seedsHold(first: UInt64) {
        for outcome in SimulationRunner.run(seeds: first..<first + 25, maxFailures: 3) {
            Issue.record(
                "varve simulate --seed \(outcome.seed) --trace: \(outcome.failure ?? "")\n\(outcome.plan)")
        }
    }

    @Test func calmSeedsEndInTheBitsOfOneProcess() {
        for outcome in SimulationRunner.run(seeds: 0..<20, onlyFaults: []) {
            Issue.record("seed \(outcome.seed): \(outcome.failure ?? "")\n\(outcome.plan)")
        }
    }

    @Test func sameSeedGivesTheSameRun() {
        func lines() -> [String] {
            var lines: [String] = []
            _ = Simulation.run(seed: 45) { lines.append($0) }
            return lines
        }
        let first = lines()
        #expect(first.count > 500)
        #expect(first == lines())
    }

    /// A fault that was never drawn or never struck is not a pass.
    @Test func everyKindOfFaultHappens() {
        var struck: [FaultKind: Int] = [:]
        _ = SimulationRunner.run(seeds: 0..<60) { outcome in
            for (kind, count) in outcome.faults { struck[kind, default: 0] += count }
        }
        for kind in FaultKind.allCases { #expect(struck[kind, default: 0] > 0, "\(kind) never happened") }
    }
}
