import Testing

@testable import Simulation

/// Mistakes built in on purpose: checks that do not find them prove nothing.
@Suite struct MutantTests {
    /// The seed that found it, by `varve simulate --mutants`; a few more make up for changes of what a seed means.
    @Test(
        arguments: [
            (.ackBeforeSync, 0), (.epochUnchecked, 194), (.promiseNotSynced, 0), (.compactionDropsBases, 4),
            (.compactionDropsUncommitted, 0), (.damageForgotten, 10), (.quorumOneShort, 0),
            (.toldOutOfOrder, 46), (.pushNotDeduplicated, 3), (.gradientsReversed, 3), (.lagIgnored, 1),
            (.staleParameters, 3), (.manifestOfTwoSteps, 0), (.restoreOfTwoSteps, 2),
            (.leaseNeverExpires, 9), (.lostStepsMisreported, 20), (.commitGoesBack, 2),
            (.toldBeforeDurable, 1), (.syncDoesNothing, 0), (.tailCutAtDamage, 6), (.ignoreLeader, 471),
            (.wrongRestore, 16), (.linkSkipped, 2), (.deltaTwice, 2), (.applyTwice, 0),
            (.readerNotRestored, 16), (.repairOverwrites, 619), (.repairFromCorrupt, 470),
            (.oldLineAccepted, 771), (.fenceOneShort, 25), (.pruneDropsPinned, 277),
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
