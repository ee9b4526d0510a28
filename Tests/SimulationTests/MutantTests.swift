import Testing

@testable import Simulation

/// Mistakes built in on purpose: checks that do not find them prove nothing.
@Suite struct MutantTests {
    /// The seed that found it, by `varve simulate --mutants`; a few more make up for changes of what a seed means.
    @Test(
        arguments: [
            (.ackBeforeSync, 0), (.epochUnchecked, 6), (.promiseNotSynced, 0), (.compactionDropsBases, 4),
            (.compactionDropsUncommitted, 0), (.damageForgotten, 33), (.quorumOneShort, 0),
            (.toldOutOfOrder, 81), (.pushNotDeduplicated, 3), (.gradientsReversed, 3), (.lagIgnored, 1),
            (.staleParameters, 54), (.manifestOfTwoSteps, 0), (.restoreOfTwoSteps, 9),
            (.leaseNeverExpires, 9), (.lostStepsMisreported, 57), (.commitGoesBack, 9),
            (.toldBeforeDurable, 1), (.syncDoesNothing, 0), (.tailCutAtDamage, 205), (.ignoreLeader, 265),
            (.wrongRestore, 4), (.linkSkipped, 4), (.deltaTwice, 4), (.applyTwice, 0),
            (.readerNotRestored, 374), (.repairOverwrites, 3792), (.repairFromCorrupt, 138),
            (.oldLineAccepted, 10015), (.fenceOneShort, 9), (.pruneDropsPinned, 22),
        ] as [(Mutant, UInt64)])
    func isCaught(mutant: Mutant, seed: UInt64) {
        let trial = MutantTrial.run(mutant, seeds: seed..<seed + 8)
        #expect(trial.caught != nil, "no check saw \(mutant.rawValue)")
        #expect(trial.isSound, "seed \(trial.caught?.seed ?? 0) fails without \(mutant.rawValue) too")
    }

    @Test func everyMistakeIsInTheList() {
        #expect(Mutant.allCases.count == 31)
    }

    @Test func everyMistakeOfTheDecisionsIsTried() {
        #expect(Mutant.allCases.compactMap(\.mutation).count == Mutant.mutationCount)
    }
}
