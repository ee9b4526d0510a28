import Testing

@testable import Simulation

/// Mistakes built in on purpose: a simulator that does not find them proves nothing.
@Suite struct MutantTests {
    @Test(
        arguments: [
            (.ackBeforeSync, [.killStore, .killAll]), (.applyTwice, []),
            (.ignoreLeader, [.replaceWhilePaused, .pause]),
            (.wrongRestore, [.killShard]),
        ] as [(Mutant, [FaultKind])])
    func isCaught(mutant: Mutant, faults: [FaultKind]) {
        let failed = SimulationRunner.run(seeds: 0..<60, onlyFaults: faults, mutant: mutant, maxFailures: 1)
        #expect(!failed.isEmpty, "no check saw \(mutant.rawValue)")
    }
}
