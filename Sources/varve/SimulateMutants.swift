import ArgumentParser
import Foundation
import Simulation

extension Mutant: ExpressibleByArgument {}

/// `varve simulate --mutants`: whether the checkers find the mistakes that are built in on purpose.
enum SimulateMutants {
    /// Prints how each mistake was found.
    ///
    /// - Throws: exit code 2 when one was not found within the seeds, or was found by a seed that fails without it too.
    static func run(
        _ mutants: [Mutant], seeds: Range<UInt64>, steps: UInt64?, size: ClusterSize
    ) throws {
        var table = TextTable([
            .init("MUTANT"), .init("FOUND BY"), .init("SEEDS", .right), .init("SEED", .right),
            .init("EVIDENCE"),
        ])
        var missed: [String] = []
        for mutant in mutants {
            let trial = MutantTrial.run(mutant, seeds: seeds, steps: steps, size: size)
            if trial.caught == nil || !trial.isSound { missed.append(mutant.rawValue) }
            let check = trial.isSound ? trial.caught?.check ?? "nothing" : "a seed that fails without it"
            let evidence = trial.caught?.failure.map {
                $0.split(separator: "\n").first.map(String.init) ?? ""
            }
            table.add([
                mutant.rawValue, check, "\(trial.seeds)", trial.caught.map { "\($0.seed)" } ?? "-",
                String((evidence ?? "").prefix(120)),
            ])
        }
        print(table.render(colours: Terminal(descriptor: STDOUT_FILENO).colours))
        guard missed.isEmpty else {
            print("not found: \(missed.joined(separator: ", "))")
            throw ExitCode(CommandFailure.checkFailed)
        }
        print("\(mutants.count) mutants, all found")
    }
}
