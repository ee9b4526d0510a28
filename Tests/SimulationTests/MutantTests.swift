import Testing

@testable import Simulation

/// Mistakes built in on purpose: checks that do not find them prove nothing.
@Suite struct MutantTests {
    /// The seed that found it, by `varve simulate --mutants --steps 20`; a few more make up for changes of what a seed
    /// means.
    @Test(
        arguments: [
            (.ackBeforeSync, 0), (.epochUnchecked, 22), (.promiseNotSynced, 0), (.compactionDropsBases, 0),
            (.compactionDropsUncommitted, 0), (.damageForgotten, 26), (.quorumOneShort, 2),
            (.pushNotDeduplicated, 5), (.gradientsReversed, 2), (.lagIgnored, 0), (.manifestOfTwoSteps, 0),
            (.restoreOfTwoSteps, 0), (.leaseNeverExpires, 16), (.lostStepsMisreported, 13),
            (.commitGoesBack, 0), (.toldBeforeDurable, 0), (.syncDoesNothing, 0), (.ignoreLeader, 20),
            (.wrongRestore, 9), (.linkSkipped, 9), (.deltaTwice, 8), (.applyTwice, 1),
            (.readerNotRestored, 71), (.staleParameters, 5), (.tailCutAtDamage, 61),
        ] as [(Mutant, UInt64)])
    func isCaught(mutant: Mutant, seed: UInt64) {
        let trial = MutantTrial.run(mutant, seeds: seed..<seed + 40, steps: 20)
        #expect(trial.caught != nil, "no check saw \(mutant.rawValue)")
        #expect(trial.isSound, "seed \(trial.caught?.seed ?? 0) fails without \(mutant.rawValue) too")
    }

    /// Needs more checkpoints than the others until one is committed before what it builds on.
    @Test func aPartToldOfTooEarlyIsCaught() {
        let trial = MutantTrial.run(.toldOutOfOrder, seeds: 115..<135)
        #expect(trial.caught?.check == "durable")
        #expect(trial.isSound)
    }

    @Test func everyMistakeOfTheDecisionsIsTried() {
        #expect(Mutant.allCases.compactMap(\.mutation).count == Mutant.mutationCount)
    }
}
