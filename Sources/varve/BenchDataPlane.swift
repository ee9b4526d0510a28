import ArgumentParser
import Foundation
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
        @Flag(help: "Machine output.") var json = false

        mutating func run() async throws {
            let local = try localSecondsPerSample()
            var off: [StepCost] = []
            var on: [StepCost] = []
            for pair in 0..<pairs {
                note("pair \(pair + 1) of \(pairs)")
                off.append(try costPerStep(every: 0))
                on.append(try costPerStep(every: 1))
            }
            func overhead(_ part: (StepCost) -> Double) -> Double {
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

        /// What a step takes: of time, and of all cores together.
        private struct StepCost {
            var seconds: Double
            var processor: Double
        }

        private func costPerStep(every: Int) throws -> StepCost {
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
            var first: (step: Int, at: ContinuousClock.Instant, processor: Double)?
            var last: (step: Int, at: ContinuousClock.Instant, processor: Double)?
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
                    // The first steps fill caches and page in code. Processor time is read at both ends alone.
                    guard step >= steps / 10 else { continue }
                    if first == nil || step >= steps {
                        let cost = processorSeconds(ofChildrenOf: process.processIdentifier)
                        if first == nil { first = (step, now, cost) } else { last = (step, now, cost) }
                    }
                }
            }
            process.waitUntilExit()
            guard process.terminationStatus == 0, let first, let last, last.step > first.step
            else { throw CommandFailure("a run of the benchmark failed", exitCode: CommandFailure.failed) }
            let counted = Double(last.step - first.step)
            return StepCost(
                seconds: (last.at - first.at) / .seconds(1) / counted,
                processor: (last.processor - first.processor) / counted)
        }

        /// The processor time that the nodes of a cluster have used, which its supervisor started.
        private func processorSeconds(ofChildrenOf parent: Int32) -> Double {
            let entries = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
            var ticks = 0
            for entry in entries where Int32(entry) != nil {
                guard let text = try? String(contentsOfFile: "/proc/\(entry)/stat", encoding: .utf8),
                    let end = text.lastIndex(of: ")")
                else { continue }
                // Behind the name: state, parent, …; the 12th and 13th are user and system time (proc_pid_stat(5)).
                let fields = text[text.index(after: end)...].split(separator: " ")
                guard fields.count > 12, Int32(fields[1]) == parent else { continue }
                ticks += (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)
            }
            return Double(ticks) / Double(sysconf(Int32(_SC_CLK_TCK)))
        }
    }
}
