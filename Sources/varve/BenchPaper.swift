import ArgumentParser
import Foundation
import PaperBench
import Training

extension BenchCommand {
    /// The paper's experiments on the code of this server.
    struct PaperCommand: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "paper",
            abstract:
                "Reproduce the LC-Checkpoint paper: compression, rework after failures, accuracy, restores.",
            discussion: """
                Writes paper.html, paper.json and tables/*.csv into the report's folder. Each part that has ended is kept there
                (cells/), and is not computed again unless its settings differ. The same seed gives the same tables on one
                machine; columns that are timings are marked.

                EXAMPLE: varve bench paper --quick
                EXAMPLE: varve bench paper --movielens ml-100k/u.data --report paper
                EXAMPLE: varve bench paper --only rework --only compression --json
                """)

        @Flag(help: "A smaller version, in minutes.") var quick = false
        @Option(help: "The folder of the report; it is made when it isn't there.")
        var report = "varve-paper"
        @Option(
            help:
                "Ratings for matrix factorization: u.data, ratings.dat or ratings.csv; made up if not given.")
        var movielens: String?
        @Option(
            help:
                "compression, rework, accuracy, sensitivity, chain or interval; may be repeated. All by default."
        )
        var only: [String] = []
        @Option(help: "Seed of parameters, samples and failures.") var seed: UInt64 = 1
        @Option(help: "Parts that are computed at once; by default as many as there are cores.")
        var jobs: Int?
        @Flag(help: "Compute everything again.") var fresh = false
        @Flag(help: "Print the tables as one JSON object.") var json = false

        func run() throws {
            let settings = PaperSettings(
                scale: quick ? .quick(ratings: movielens) : .whole(ratings: movielens), seed: seed,
                experiments: try experiments(),
                threads: try threads(), command: command, machine: machineName())
            let paper = Paper(settings) { every, steps, batch in
                let cost = try ClusterTiming(steps: steps, batch: batch).costPerStep(every: every)
                return (cost.seconds, cost.processor)
            }
            let cells = report + "/cells"
            do {
                if fresh, FileManager.default.fileExists(atPath: cells) {
                    try FileManager.default.removeItem(atPath: cells)
                }
                let result = try compute(paper, cells)
                try result.write(to: report)
                try show(result)
            } catch let error as DataError {
                throw dataFailure(error)
            } catch let error as CocoaError {
                throw CommandFailure(
                    "can't write to \(report): \(error.localizedDescription)", exitCode: CommandFailure.failed
                )
            }
        }

        private func experiments() throws -> Set<Experiment> {
            let names = Experiment.allCases.map(\.rawValue).joined(separator: ", ")
            let found = try only.map { name in
                guard let experiment = Experiment(rawValue: name) else {
                    throw usage("--only is one of \(names), not \(name)")
                }
                return experiment
            }
            return found.isEmpty ? Set(Experiment.allCases) : Set(found)
        }

        private func threads() throws -> Int {
            guard let jobs else { return ProcessInfo.processInfo.activeProcessorCount }
            guard (1...256).contains(jobs) else { throw usage("--jobs is 1 to 256, not \(jobs)") }
            return jobs
        }

        private func compute(_ paper: Paper, _ cells: String) throws -> Report {
            let progress = ProgressWriter()
            let start = ContinuousClock.now
            defer { progress.finish() }
            return try paper.run(cellsIn: cells) { state in
                let seconds = (ContinuousClock.now - start) / .seconds(1)
                // Those that were kept took no time: the rate is of those that were computed.
                let rate = Double(state.done - state.kept) / max(seconds, 1e-3)
                progress.update(
                    ProgressBar(
                        step: state.done, target: state.total, stepsPerSecond: rate > 0 ? rate : nil,
                        unit: "part"))
            }
        }

        private func show(_ result: Report) throws {
            if json { return print(String(decoding: try result.json(), as: UTF8.self)) }
            var table = TextTable([
                .init("FIGURE"), .init("PAPER"), .init("WANTED"), .init("HERE"), .init(""),
            ])
            for row in result.headline.rows { table.add(row.map(\.shown)) }
            if !result.headline.rows.isEmpty { print(table.render(colours: Terminal(descriptor: 1).colours)) }
            print("\(report)/paper.html")
        }

        /// What computes the same again, without a choice of experiments.
        private var command: String {
            var words = ["varve bench paper"]
            if quick { words.append("--quick") }
            if let movielens { words.append("--movielens \(movielens)") }
            words.append("--seed \(seed)")
            return words.joined(separator: " ")
        }
    }
}
