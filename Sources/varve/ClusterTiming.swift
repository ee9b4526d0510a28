import Foundation

/// Starts a cluster of LeNet-5 on this machine, and takes what a step of it costs.
struct ClusterTiming: Sendable {
    var shards = 4
    var steps: Int
    /// Samples per worker and step.
    var batch: Int
    /// Values for every run, as with `up --set`.
    var set: [String] = []

    /// What a step takes: of time, and of all cores together.
    struct StepCost: Sendable {
        var seconds: Double
        var processor: Double
    }

    /// - Parameter every: steps from one checkpoint to the next; 0 for none.
    func costPerStep(every: Int) throws -> StepCost {
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
