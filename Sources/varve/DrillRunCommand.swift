import ArgumentParser
import Cluster
import Drill
import Foundation
import Node
import Synchronization

struct DrillRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run drills on real processes.",
        discussion: """
            Exit code 0: every fault struck and everything held; 2: something did not hold, or a fault could not be \
            injected ("not run"); 1: the drill itself could not go on. Ctrl-C ends it and leaves nothing behind.

            With --simulate the same drill runs on the simulator: the same decisions on a virtual clock. A step or fault that \
            it does not know makes the drill "not run"; 'varve drill list' shows which drills it knows.

            Examples:
              varve drill run configs/drills/shard-kill.yaml --seed 7 --report report
              varve drill run --all --report reports
              varve drill run configs/drills/shard-kill.yaml --simulate
            """)

    @Argument(help: "The drill files (YAML).") var files: [String] = []
    @Flag(help: "Run every drill of --directory.") var all = false
    @Option(help: "Folder with drill files, for --all.") var directory = "configs/drills"
    @Option(help: "Draw nodes, places and times from this seed instead of the file's own.") var seed: UInt64?
    @Flag(help: "Run on the simulator instead of real processes.") var simulate = false
    @Option(help: ArgumentHelp("Write a report there (HTML, JUnit XML, JSON).", valueName: "dir")) var report:
        String?
    @Flag(help: "Print one JSON object for each drill, and nothing else.") var json = false

    func validate() throws {
        if files.isEmpty != all { throw ValidationError("name drill files, or give --all") }
    }

    mutating func run() async throws {
        var drills: [DrillFile] = []
        do {
            for file in all ? try DrillCommand.files(in: directory) : files {
                drills.append(try DrillCommand.load(file))
            }
        } catch let error as ConfigurationError {
            for problem in error.problems { printError(problem.description) }
            throw ExitCode(CommandFailure.configuration)
        }
        if all, simulate { drills.removeAll { !$0.engines.contains(.simulation) } }
        let session = DrillSession(json: json, engine: simulate ? .simulation : .processes)
        var results: [DrillResult] = []
        for drill in drills where !session.isStopped {
            let result = await session.run(drill, seed: seed)
            results.append(result)
            try session.tell(result, folder: folder(of: result, among: drills.count))
        }
        if drills.count > 1, !json { session.table(results) }
        try session.leave(results, expected: drills.count)
    }

    private func folder(of result: DrillResult, among count: Int) -> String? {
        guard let report else { return nil }
        return count > 1 ? "\(report)/\(result.name)" : report
    }
}

/// Runs drills one after another, and says how they went.
final class DrillSession: Sendable {
    private let json: Bool
    private let engine: EngineKind
    private let stopped = Mutex(false)
    private let signals = StopSignal()

    init(json: Bool, engine: EngineKind) {
        self.json = json
        self.engine = engine
        signals.onStop { [weak self] in self?.stopped.withLock { $0 = true } }
    }

    var isStopped: Bool { stopped.withLock { $0 } }

    func run(_ drill: DrillFile, seed: UInt64?) async -> DrillResult {
        let quiet = json
        if !quiet { Self.write("\(drill.name): \(drill.about)") }
        let settings = DrillSettings(
            executable: programPath(), seed: seed, engine: engine,
            onEntry: { if !quiet { Self.say($0) } },
            isCancelled: { [weak self] in self?.isStopped ?? true })
        return await withCheckedContinuation { done in
            // A thread that lives as long as the drill: the cluster's supervisor ends with the thread that started it.
            let thread = Thread { done.resume(returning: DrillRun(drill, settings: settings).run()) }
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    private static func say(_ entry: HistoryEntry) {
        let seconds = (entry.atMilliseconds / 100).rounded() / 10
        let time = String(repeating: " ", count: max(0, 7 - "\(seconds)".count)) + "\(seconds) s"
        let step = entry.step.isEmpty ? "" : "\(entry.step): "
        let mark =
            switch entry.kind {
            case .fault: "! "
            case .failure, .notInjected: "x "
            case .healed: "+ "
            case .step, .note: "  "
            }
        write("\(time)  \(mark)\(step)\(entry.sentence)")
    }

    /// Unbuffered: whoever reads along sees every line at once, in its order.
    private static func write(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

    func tell(_ result: DrillResult, folder: String?) throws {
        if let folder {
            do { try DrillReport(result).write(to: folder) } catch {
                throw CommandFailure(
                    "can't write the report to \(folder): \(error)", exitCode: CommandFailure.failed)
            }
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            encoder.nonConformingFloatEncodingStrategy = .convertToString(
                positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
            Self.write(String(decoding: try encoder.encode(result), as: UTF8.self))
            return
        }
        for check in result.checks {
            Self.write("           \(check.outcome.rawValue): \(check.name): \(check.evidence)")
        }
        Self.write("\(result.name): \(result.verdict.rawValue): \(result.reason)")
        if !result.recoveryTimes.isEmpty, result.recoveries.count >= 5 { times(result.recoveryTimes) }
        if result.verdict != .passed { Self.write("again: \(result.command)") }
        if let folder { Self.write("report: \(folder)/index.html") }
    }

    /// How long recoveries took, by role.
    private func times(_ rows: [RecoveryTimes]) {
        var table = TextTable([
            .init("ROLE"), .init("RECOVERIES", .right), .init("DETECTED", .right), .init("RESTORED", .right),
            .init("RESUMED", .right), .init("TOTAL", .right),
        ])
        for row in rows {
            table.add([
                row.role, "\(row.count)", row.detected.text, row.restored.text, row.resumed.text,
                row.total.text,
            ])
        }
        Self.write("median / 99th percentile of the milliseconds that recoveries took:")
        Self.write(table.render(colours: Terminal(descriptor: STDOUT_FILENO).colours))
    }

    func table(_ results: [DrillResult]) {
        var table = TextTable([
            .init("DRILL"), .init("VERDICT"), .init("SECONDS", .right), .init("FAULTS", .right),
            .init("SLOWEST RECOVERY", .right), .init("LOST", .right), .init("WHY"),
        ])
        for result in results {
            let faults = result.history.filter { $0.kind == .fault }.count
            let slowest = result.recoveries.map(\.recoveredMilliseconds).max()
            let lost = result.recoveries.map(\.lostSteps).max()
            table.add([
                result.name, result.verdict.rawValue, "\((result.wallMilliseconds / 100).rounded() / 10)",
                "\(faults)", slowest.map { "\(Int($0.rounded())) ms" } ?? "–",
                lost.map { "\(Int($0))" } ?? "–",
                result.verdict == .passed ? "" : result.reason,
            ])
        }
        Self.write("\n" + table.render(colours: Terminal(descriptor: STDOUT_FILENO).colours))
    }

    /// Leaves with the code of the worst.
    func leave(_ results: [DrillResult], expected: Int) throws {
        let codes = results.map(\.verdict.exitCode)
        if results.count < expected || codes.contains(1) { throw ExitCode(CommandFailure.failed) }
        if codes.contains(2) { throw ExitCode(CommandFailure.checkFailed) }
    }
}
