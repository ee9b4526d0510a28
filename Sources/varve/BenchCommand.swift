import ArgumentParser
import Foundation
import Training

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure what checkpoints and distribution cost, as ratios within one run.",
        subcommands: [DataPlane.self, CodecBench.self, Sequences.self, Ratios.self, Restore.self])

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
        @Flag(help: "Machine output.") var json = false

        mutating func run() async throws {
            let local = try localSecondsPerSample()
            var off: [Double] = []
            var on: [Double] = []
            for pair in 0..<pairs {
                note("pair \(pair + 1) of \(pairs)")
                off.append(try clusterSecondsPerStep(every: 0))
                on.append(try clusterSecondsPerStep(every: 1))
            }
            let overheads = zip(on, off).map { ($0 / $1 - 1) * 100 }
            let perSample = off.map { $0 / Double(2 * batch) }
            // Two workers use two cores: the time of one sample on one core is twice the cluster's time per sample.
            let efficiency = local / (median(perSample) * 2)
            let fields: [(String, String)] = [
                ("model", "\"lenet5\""), ("shards", "\(shards)"), ("workers", "2"), ("batch", "\(batch)"),
                ("steps", "\(steps)"), ("pairs", "\(pairs)"),
                ("local_microseconds_per_sample", text(local * 1e6)),
                ("step_ms_without_checkpoints", text(median(off) * 1e3)),
                ("step_ms_with_checkpoints", text(median(on) * 1e3)),
                ("checkpoint_overhead_percent", text(median(overheads))),
                ("efficiency_per_core", text(efficiency)),
            ]
            if json {
                print("{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}")
            } else {
                for (name, value) in fields { print("\(name): \(value)") }
            }
        }

        private func note(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }
        private func text(_ value: Double) -> String { String(format: "%.3f", value) }
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

        private func clusterSecondsPerStep(every: Int) throws -> Double {
            let folder =
                NSTemporaryDirectory() + "/varve-bench-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
            defer { try? FileManager.default.removeItem(atPath: folder) }
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let config = folder + "/bench.yaml"
            try """
            cluster: {name: bench, shards: \(shards), workers: 2, stores: 3}
            model: {kind: lenet5}
            data: {kind: fashion-mnist}
            training: {steps: \(steps), batch: \(batch), optimizer: {kind: sgd, learning_rate: 0.05}}
            checkpoint: {every: \(every), replicas: 3, write_quorum: 2, codec: {kind: lc, bits: 3}}
            """.write(toFile: config, atomically: true, encoding: .utf8)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: programPath())
            process.arguments =
                ["up", config, "--run-dir", folder + "/run", "--json"] + set.flatMap { ["--set", $0] }
            let pipe = Pipe()
            process.standardOutput = pipe
            try process.run()
            var buffer = Data()
            var times: [(step: Int, at: ContinuousClock.Instant)] = []
            while true {
                let chunk = pipe.fileHandleForReading.availableData
                if chunk.isEmpty { break }
                let now = ContinuousClock.now
                buffer.append(chunk)
                while let end = buffer.firstIndex(of: 10) {
                    let line = buffer[buffer.startIndex..<end]
                    buffer = buffer[(end + 1)...]
                    guard let object = try? JSONSerialization.jsonObject(with: line) as? [String: Any],
                        object["event"] as? String == "step",
                        let step = (object["step"] as? NSNumber)?.intValue
                    else { continue }
                    times.append((step, now))
                }
            }
            process.waitUntilExit()
            // The first steps fill caches and page in code.
            guard process.terminationStatus == 0, let first = times.first(where: { $0.step >= steps / 10 }),
                let last = times.last, last.step > first.step
            else { throw CommandFailure("a run of the benchmark failed", exitCode: CommandFailure.failed) }
            return (last.at - first.at) / .seconds(1) / Double(last.step - first.step)
        }
    }
}
