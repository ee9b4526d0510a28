import ArgumentParser
import Foundation
import PaperBench
import Training

extension BenchCommand {
    /// Training with a parameter server, with and without checkpoints, against training in one process.
    struct DataPlane: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "data-plane",
            abstract:
                "Time training in one process, on a cluster, and on a cluster with a checkpoint every step.",
            discussion: """
                Runs pairs of clusters in turn, without and with checkpoints, and takes medians, because machines are noisy.

                Example:
                  varve bench data-plane --pairs 5 --json
                """)
        @Option(help: "Pairs of runs.") var pairs = 5
        @Option(help: "Steps of each run.") var steps = 300
        @Option(help: "Samples per worker and step.") var batch = 64
        @Option(help: "Shards.") var shards = 4
        @Option(help: "Values for every run, as with 'up --set'.") var set: [String] = []
        @Option(help: ArgumentHelp("Write a report there (HTML, JSON, CSV).", valueName: "dir")) var report:
            String?
        @Flag(help: "Machine output.") var json = false

        mutating func run() async throws {
            if let report { try makeFolder(report) }
            let local = try localSecondsPerSample()
            let timing = ClusterTiming(shards: shards, steps: steps, batch: batch, set: set)
            var off: [ClusterTiming.StepCost] = []
            var on: [ClusterTiming.StepCost] = []
            for pair in 0..<pairs {
                note("pair \(pair + 1) of \(pairs)")
                off.append(try timing.costPerStep(every: 0))
                on.append(try timing.costPerStep(every: 1))
            }
            func overhead(_ part: (ClusterTiming.StepCost) -> Double) -> Double {
                median(zip(on, off).map { (part($0) / part($1) - 1) * 100 })
            }
            let perSample = off.map { $0.seconds / Double(2 * batch) }
            // Two workers use two cores: the time of one sample on one core is twice the cluster's time per sample.
            let efficiency = local / (median(perSample) * 2)
            let fields: [(String, String)] = [
                ("model", "\"lenet5\""), ("shards", "\(shards)"), ("workers", "2"), ("batch", "\(batch)"),
                ("steps", "\(steps)"), ("pairs", "\(pairs)"),
                ("local_microseconds_per_sample", text(local * 1e6)),
                ("step_ms_without_checkpoints", text(median(off.map(\.seconds)) * 1e3)),
                ("step_ms_with_checkpoints", text(median(on.map(\.seconds)) * 1e3)),
                ("checkpoint_overhead_percent", text(overhead(\.seconds))),
                ("processor_ms_a_step_without_checkpoints", text(median(off.map(\.processor)) * 1e3)),
                ("processor_ms_a_step_with_checkpoints", text(median(on.map(\.processor)) * 1e3)),
                ("processor_overhead_percent", text(overhead(\.processor))),
                ("efficiency_per_core", text(efficiency)),
            ]
            if let report { try self.report(fields).write(to: report) }
            if json {
                print("{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}")
            } else {
                for (name, value) in fields { print("\(name): \(value)") }
            }
        }

        private func report(_ fields: [(String, String)]) -> Report {
            var command = "varve bench data-plane --pairs \(pairs) --steps \(steps) --batch \(batch)"
            command += " --shards \(shards)" + set.map { " --set \($0)" }.joined()
            let table = Table(
                id: "data-plane", title: "Medians of \(pairs) pairs of runs",
                columns: [.init("figure"), .init("value", isTiming: true)],
                rows: fields.map { name, text in
                    [.text(name), Double(text).map { .number($0) } ?? .text(text.replacing("\"", with: ""))]
                })
            return Report(
                ReportSubject(
                    name: "data-plane", title: "What checkpoints and distribution cost",
                    about:
                        "Training in one process, on a cluster, and on a cluster with a checkpoint every step."
                ),
                seed: 1, machine: machineName(), command: command, headline: table, sections: [])
        }

        private func note(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }
        private func text(_ value: Double) -> String {
            value.isFinite ? String(format: "%.3f", value) : "null"
        }
        private func median(_ values: [Double]) -> Double {
            let sorted = values.sorted()
            return sorted.isEmpty ? .nan : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        }

        private func localSecondsPerSample() throws -> Double {
            do {
                let dataset = try loadDataset(kind: .fashionMNIST)
                var trainer = try LocalTrainer(
                    model: Model(.lenet5), dataset: dataset, optimizer: .sgd(learningRate: 0.05, momentum: 0),
                    workers: 1, batch: batch, seed: 1)
                _ = trainer.run(steps: 20)
                return trainer.run(steps: UInt64(max(50, steps / 3))).secondsPerSample
            } catch { throw dataFailure(error) }
        }
    }
}
