import Foundation
import Logging

/// What `varve up` prints: JSON lines for programs, a bar and sentences for people.
struct RunOutput {
    let json: Bool
    let target: UInt64
    private let writer = ProgressWriter()
    private var step: UInt64 = 0
    private var loss = 0.0
    private var rate = 0.0
    private var committed: Int64 = -1
    private var ratio = 0.0

    init(json: Bool, target: UInt64) {
        self.json = json
        self.target = target
    }

    mutating func started(runDirectory: String, nodes: Int) {
        if json {
            emit("{\"event\":\"started\",\"run_dir\":\(jsonText(runDirectory)),\"nodes\":\(nodes)}")
        } else {
            say("\(nodes) processes started; everything is kept in \(runDirectory)")
        }
    }

    mutating func event(
        _ event: String, json line: String, numbers: [String: Double], object: [String: String]
    ) {
        if json {
            emit(line)
            return
        }
        switch event {
        case "step":
            loss = numbers["loss"] ?? loss
            rate = numbers["steps_per_second"] ?? rate
            step = UInt64(numbers["step"] ?? 0)
            writer.update(
                ProgressBar(
                    step: Int(step), target: Int(target), loss: loss, stepsPerSecond: rate,
                    checkpointLagSteps: max(0, Int(step) - Int(max(committed, 0))), compressionRatio: ratio))
        case "checkpoint":
            committed = Int64(numbers["step"] ?? -1)
            ratio = numbers["ratio"] ?? ratio
        case "fault": say("fault: \(object["node"] ?? "?"): \(object["cause"] ?? "?")")
        case "recovered":
            say(
                "recovered: \(object["node"] ?? "?") after \(Int(numbers["recovered_ms"] ?? 0)) ms "
                    + "(\(object["mode"] ?? "?"), \(Int(numbers["lost_steps"] ?? 0)) steps done again)")
        default: break
        }
    }

    mutating func summary(_ fields: [(String, String)], json line: String) {
        if json {
            emit(line)
            return
        }
        writer.finish()
        for (name, value) in fields where name != "event" { say("  \(name): \(value)") }
    }

    mutating func close() { if !json { writer.finish() } }

    /// Unbuffered: a program that reads along sees every line at once.
    private func emit(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }
    private func say(_ line: String) { writer.note(line) }
}

/// For tools whose own words are their output.
func quietLog() -> Logger {
    var logger = Logger(label: "varve") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = .error
    return logger
}
