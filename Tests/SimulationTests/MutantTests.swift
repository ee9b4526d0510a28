import Testing

@testable import Simulation

/// Mistakes built in on purpose: checks that do not find them prove nothing.
@Suite struct MutantTests {
    /// The seed that found it and the check, by `varve simulate --mutants`; a few more seeds make up for changes of what they mean.
    @Test(
        arguments: [
            (.ackBeforeSync, 0, "durable"), (.epochUnchecked, 194, "fenced"),
            (.promiseNotSynced, 0, "fenced"), (.compactionDropsBases, 4, "durable"),
            (.compactionDropsUncommitted, 0, "durable"), (.damageForgotten, 10, "live"),
            (.repairOverwrites, 619, "durable"), (.repairFromCorrupt, 470, "proved"),
            (.quorumOneShort, 1, "bounded-loss"), (.toldOutOfOrder, 46, "durable"),
            (.pushNotDeduplicated, 3, "at-most-once"), (.oldLineAccepted, 771, "atomic"),
            (.gradientsReversed, 3, "at-most-once"), (.lagIgnored, 1, "bounded-loss"),
            (.staleParameters, 3, "live"), (.manifestOfTwoSteps, 0, "atomic"),
            (.restoreOfTwoSteps, 2, "atomic"), (.leaseNeverExpires, 9, "live"),
            (.lostStepsMisreported, 20, "bounded-loss"), (.commitGoesBack, 2, "monotonic"),
            (.toldBeforeDurable, 1, "fenced"), (.fenceOneShort, 6, "fenced"),
            (.pruneDropsPinned, 277, "monotonic"), (.syncDoesNothing, 0, "durable"),
            (.tailCutAtDamage, 64, "tail"), (.ignoreLeader, 471, "fenced"),
            (.wrongRestore, 16, "deterministic"), (.linkSkipped, 2, "chained"),
            (.deltaTwice, 2, "chained"), (.applyTwice, 0, "deterministic"),
            (.readerNotRestored, 16, "deterministic"), (.repairsUnlimited, 293, "bounded-memory"),
            (.holdersInvented, 4, "honest"),
        ] as [(Mutant, UInt64, String)])
    func isCaught(mutant: Mutant, seed: UInt64, check: String) {
        let trial = MutantTrial.run(mutant, seeds: seed..<seed + 8)
        #expect(
            trial.caught?.check == check, "\(mutant.rawValue): \(trial.caught?.failure ?? "nothing seen")")
        #expect(trial.isSound, "seed \(trial.caught?.seed ?? 0) fails without \(mutant.rawValue) too")
    }

    @Test func everyMistakeIsInTheList() {
        #expect(Mutant.allCases.count == 33)
    }

    @Test func everyMistakeOfTheDecisionsIsTried() {
        #expect(Mutant.allCases.compactMap(\.mutation).count == Mutant.mutationCount)
    }
}
