import Testing

@testable import Simulation

/// Mistakes built in on purpose: checks that do not find them prove nothing.
@Suite struct MutantTests {
    /// The seed that found it, by `varve simulate --mutants`; a few more make up for changes of what a seed means.
    @Test(
        arguments: [
            (.ackBeforeSync, 0), (.epochUnchecked, 18), (.promiseNotSynced, 0), (.compactionDropsBases, 0),
            (.compactionDropsUncommitted, 0), (.damageForgotten, 4), (.quorumOneShort, 1),
            (.pushNotDeduplicated, 4), (.gradientsReversed, 2), (.lagIgnored, 0), (.manifestOfTwoSteps, 0),
            (.restoreOfTwoSteps, 0), (.leaseNeverExpires, 0), (.lostStepsMisreported, 1),
            (.commitGoesBack, 0), (.toldBeforeDurable, 0), (.syncDoesNothing, 0), (.ignoreLeader, 18),
            (.wrongRestore, 11), (.linkSkipped, 18), (.deltaTwice, 0), (.applyTwice, 9),
        ] as [(Mutant, UInt64)])
    func isCaught(mutant: Mutant, seed: UInt64) {
        let trial = MutantTrial.run(mutant, seeds: seed..<seed + 40)
        #expect(trial.caught != nil, "no check saw \(mutant.rawValue)")
        #expect(trial.isSound, "seed \(trial.caught?.seed ?? 0) fails without \(mutant.rawValue) too")
    }

    @Test func everyMistakeOfTheDecisionsIsTried() {
        #expect(Mutant.allCases.compactMap(\.mutation).count == Mutant.mutationCount)
    }
}
