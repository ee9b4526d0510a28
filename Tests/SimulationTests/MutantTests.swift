import Testing

@testable import Simulation

/// Mistakes built in on purpose: checks that do not find them prove nothing.
@Suite struct MutantTests {
    /// The seed that found it, by `varve simulate --mutants`; a few more make up for changes of what a seed means.
    @Test(
        arguments: [
            (.ackBeforeSync, 0), (.epochUnchecked, 20), (.promiseNotSynced, 0), (.compactionDropsBases, 5),
            (.compactionDropsUncommitted, 0), (.damageForgotten, 33), (.quorumOneShort, 0),
            (.toldOutOfOrder, 46), (.pushNotDeduplicated, 3), (.gradientsReversed, 3), (.lagIgnored, 1),
            (.staleParameters, 54), (.manifestOfTwoSteps, 0), (.restoreOfTwoSteps, 2),
            (.leaseNeverExpires, 428), (.lostStepsMisreported, 23), (.commitGoesBack, 2),
            (.toldBeforeDurable, 1), (.syncDoesNothing, 0), (.tailCutAtDamage, 6), (.ignoreLeader, 84),
            (.wrongRestore, 16), (.linkSkipped, 2), (.deltaTwice, 2), (.applyTwice, 0),
            (.readerNotRestored, 16), (.repairOverwrites, 619), (.repairFromCorrupt, 92),
            (.oldLineAccepted, 105), (.fenceOneShort, 6), (.pruneDropsPinned, 22),
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
