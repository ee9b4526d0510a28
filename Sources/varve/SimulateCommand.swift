import ArgumentParser
import Foundation
import Node
import Simulation
import Tensors

extension ClusterSize: ExpressibleByArgument {}

/// `varve simulate`: whole clusters on a virtual clock, with faults, each from one number.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract:
            "Run whole clusters in one process with faults drawn from a seed, and check what the cluster promises.",
        discussion: """
            Exit code 2 when a check did not hold; the output then names the one command that replays it. A sweep that is \
            interrupted ends the seeds under way and reports what it has done.

            Examples:
              varve simulate --seeds 100000
              varve simulate --seed 186 --trace
              varve simulate --mutant epoch-unchecked --seeds 2000
              varve simulate --mutant epoch-unchecked --seed 194 --trace
            """
    )

    @Option(help: "The first seed.")
    var seed: UInt64 = 0

    @Option(help: "How many seeds to run.")
    var seeds: UInt64 = 1

    @Option(help: "Seeds that run at the same time; as many as there are processors if not given.")
    var jobs: Int?

    @Option(help: "Training steps of every run; drawn from the seed when it is not given.")
    var steps: UInt64?

    @Option(help: "small: at most 2 shards, 2 workers and 3 stores; any: up to 16, 8 and 7.")
    var size = ClusterSize.any

    @Option(help: "Failed seeds after which no further ones are begun.")
    var maxFailures = 1

    @Flag(help: "Print every message, decision and fault of the run.")
    var trace = false

    @Option(
        help: ArgumentHelp(
            "Build in a mistake, and say how many seeds it takes until a check finds it.", valueName: "name"))
    var mutant: Mutant?

    @Flag(help: "For every mistake, how many seeds it takes until a check finds it; --seeds at most.")
    var mutants = false

    @Flag(help: "Print a number that stands for every line of all traces: equal runs have equal ones.")
    var digest = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard !mutants || mutant == nil && !trace && !json && !digest else {
            throw ValidationError(
                "--mutants runs them all and prints a table: no --mutant, --trace, --json or --digest with it"
            )
        }
        guard seeds > 0, seeds <= 100_000_000, seed <= UInt64.max - seeds else {
            throw ValidationError("--seeds must be 1 to 100000000, and the last seed below 2^64")
        }
        guard steps.map({ $0 >= 1 && $0 <= 1_000_000 }) ?? true else {
            throw ValidationError("--steps must be 1 to 1000000")
        }
        guard jobs.map({ (1...1024).contains($0) }) ?? true, maxFailures >= 1 else {
            throw ValidationError("--jobs must be 1 to 1024, and --max-failures 1 or more")
        }
        guard !trace || !(json || digest) else {
            throw ValidationError("--trace goes with neither --json nor --digest")
        }
    }

    func run() throws {
        if mutants {
            return try SimulateMutants.run(
                Mutant.allCases, seeds: seed..<seed + seeds, steps: steps, size: size)
        }
        if let mutant, !trace, !json, !digest {
            return try SimulateMutants.run(
                [mutant], seeds: seed..<seed + seeds, steps: steps, size: size)
        }
        let wanted = jobs ?? ProcessInfo.processInfo.activeProcessorCount
        let threads = trace ? 1 : min(wanted, Int(min(seeds, 1024)))
        let progress = ProgressWriter()
        let shows = seeds > 1 && !json && !trace && Terminal(descriptor: STDERR_FILENO).isTerminal
        let sweep = SimulationSweep(
            seeds: seed..<seed + seeds, steps: steps, size: size, mutant: mutant, digests: digest,
            maxFailures: maxFailures)
        let began = ContinuousClock.now
        // A long sweep that is stopped tells what it has found so far.
        let stop = seeds > 1 ? StopSignal() : nil
        stop?.onStop { sweep.stop() }
        var told = 0
        sweep.run(threads: threads, trace: trace) { done in
            if seeds > 1 {
                let failures = sweep.totals.failures
                for outcome in failures[told...] {
                    progress.note("seed \(outcome.seed) failed: \(outcome.failure ?? "")")
                }
                told = failures.count
            }
            guard shows else { return }
            progress.update(
                ProgressBar(
                    step: Int(done), target: Int(seeds),
                    stepsPerSecond: Double(done) / ((ContinuousClock.now - began) / .seconds(1)),
                    unit: "seed"))
        }
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        if shows { progress.finish() }
        let totals = sweep.totals
        report(totals, seconds: seconds, threads: threads)
        if !totals.failures.isEmpty { throw ExitCode(CommandFailure.checkFailed) }
        if sweep.isStopped { throw ExitCode(CommandFailure.failed) }
    }

    private func report(_ totals: SimulationSweep.Totals, seconds: Double, threads: Int) {
        let rate = Double(totals.seeds) / max(seconds, 1e-9)
        let hours = Double(totals.virtualMilliseconds) / 3_600_000
        let failures = totals.failures.sorted { $0.seed < $1.seed }
        if json {
            let failed = failures.map {
                jsonObject([
                    ("seed", "\($0.seed)"), ("failure", jsonQuoted($0.failure ?? "")),
                    ("cluster", jsonQuoted($0.plan)), ("replay", jsonQuoted(replay($0.seed))),
                ])
            }
            let faults = totals.faults.keys.sorted { $0.rawValue < $1.rawValue }
            var fields: [(key: String, value: String)] = [
                ("first_seed", "\(seed)"), ("seeds", "\(totals.seeds)"), ("size", jsonQuoted(size.rawValue)),
                ("seconds", fixed(seconds, decimals: 3)), ("jobs", "\(threads)"),
                ("seeds_per_second", fixed(rate, decimals: 2)),
                ("simulated_hours", fixed(hours, decimals: 4)), ("events", "\(totals.events)"),
                ("commits", "\(totals.commits)"), ("recoveries", "\(totals.recoveries)"),
                ("faults", jsonObject(faults.map { (key: $0.rawValue, value: "\(totals.faults[$0]!)") })),
                ("failures", "[\(failed.joined(separator: ", "))]"),
            ]
            if digest { fields.append(("digest", jsonQuoted(hex(totals.digest)))) }
            print(jsonObject(fields))
            return
        }
        for outcome in failures {
            print("seed \(outcome.seed) failed: \(outcome.failure ?? "")")
            print("its cluster: \(outcome.plan)")
            print("replay: \(replay(outcome.seed))")
        }
        if digest { print("digest \(hex(totals.digest))") }
        let verdict =
            failures.isEmpty ? "every check held" : "\(failures.count) failed"
        print(
            "\(totals.seeds) seeds from \(seed): \(verdict) in \(totals.events) events, \(totals.commits) commits, "
                + "\(totals.recoveries) recoveries; \(fixed(hours, decimals: 2)) simulated hours in "
                + "\(fixed(seconds, decimals: 1)) s, \(fixed(rate, decimals: 1)) seeds/s, \(threads) at a time"
        )
    }

    private func replay(_ seed: UInt64) -> String {
        "varve simulate --seed \(seed)" + (steps.map { " --steps \($0)" } ?? "")
            + (size == .any ? "" : " --size \(size.rawValue)")
            + (mutant.map { " --mutant \($0.rawValue)" } ?? "") + " --trace"
    }

    private func hex(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
