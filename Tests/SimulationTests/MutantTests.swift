import Testing

@testable import Simulation

/// Mistakes built in on purpose: a simulator that does not find them proves nothing.
@Suite struct MutantTests {
    @Test(
        arguments: [(.ackBeforeSync, 0), (.applyTwice, 9), (.ignoreLeader, 32), (.wrongRestore, 11)]
            as [(Mutant, UInt64)])
    func isCaught(mutant: Mutant, seed: UInt64) {
        #expect(Simulation.run(seed: seed).failure == nil)
        #expect(Simulation.run(seed: seed, mutant: mutant).failure != nil, "no check saw \(mutant.rawValue)")
    }
}
