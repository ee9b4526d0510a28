import ArgumentParser
import Simulation

/// `varve simulate`: whole clusters on a virtual clock, with faults, each from one number.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract:
            "Run whole clusters in one process with faults drawn from a seed, and check what the cluster promises.",
        discussion:
            "Exit code 2 when a check did not hold; the output then names the one command that replays it."
    )

    @Option(help: "The first seed.")
    var seed: UInt64 = 0

    @Option(help: "How many seeds to run, one after another.")
    var seeds: UInt64 = 1

    @Option(help: "Training steps of every run; drawn from the seed when it is not given.")
    var steps: UInt64?

    @Flag(help: "Print every message, decision and fault of the run.")
    var trace = false

    @Option(help: ArgumentHelp("Build in a mistake: a check must find it.", valueName: "name"))
    var mutant: Mutant?

    @Flag(help: "For every mistake, how many seeds it takes until a check finds it; --seeds at most.")
    var mutants = false

    func validate() throws {
        guard !mutants || mutant == nil && !trace else {
            throw ValidationError("--mutants runs them all, without a trace")
        }
        guard seeds > 0, seeds <= 100_000_000, seed <= UInt64.max - seeds else {
            throw ValidationError("--seeds must be 1 to 100000000, and the last seed below 2^64")
        }
        guard steps.map({ $0 >= 1 && $0 <= 1_000_000 }) ?? true else {
            throw ValidationError("--steps must be 1 to 1000000")
        }
    }

    func run() throws {
        if mutants {
            return try SimulateMutants.run(Mutant.allCases, seeds: seed..<seed + seeds, steps: steps)
        }
        if let mutant, !trace {
            return try SimulateMutants.run([mutant], seeds: seed..<seed + seeds, steps: steps)
        }
        var events = 0
        var commits = 0
        var recoveries: UInt64 = 0
        for number in seed..<seed + seeds {
            let outcome =
                trace
                ? Simulation.run(seed: number, steps: steps, mutant: mutant) { print($0) }
                : Simulation.run(seed: number, steps: steps)
            events += outcome.events
            commits += outcome.commits
            recoveries += outcome.recoveries
            if let failure = outcome.failure {
                print("seed \(number) failed: \(failure)")
                print("its cluster: \(outcome.plan)")
                print(
                    "replay: varve simulate --seed \(number)\(steps.map { " --steps \($0)" } ?? "") --trace")
                throw ExitCode(CommandFailure.checkFailed)
            }
        }
        print(
            "\(seeds) seeds from \(seed): every check held in \(events) events, \(commits) commits, \(recoveries) recoveries"
        )
    }
}
