import ArgumentParser
import Cluster
import Foundation
import Node
import Storage
import Wire

/// Which run a command speaks of.
struct RunOptions: ParsableArguments {
    @Option(help: "Directory of the run; the newest in varve-runs by default.")
    var runDir: String?
    @Option(help: ArgumentHelp("Address of the coordinator, for a run on several boxes.", valueName: "url"))
    var coordinator: String?

    var directoryPath: String {
        get throws {
            if let runDir { return runDir }
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "varve-runs")) ?? []
            let runs = names.map { "varve-runs/\($0)" }.filter {
                FileManager.default.fileExists(atPath: $0 + "/varve-run.json")
            }
            let newest = runs.max { modified($0) < modified($1) }
            guard let newest else {
                throw CommandFailure(
                    "no run is named and varve-runs holds none: give --run-dir DIR or --coordinator URL",
                    exitCode: CommandFailure.usage)
            }
            return newest
        }
    }

    private func modified(_ path: String) -> Date {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        return attributes?[.modificationDate] as? Date ?? .distantPast
    }

    func directory() throws -> RunDirectory {
        do { return try RunDirectory.open(path: try directoryPath) } catch let error as RunDirectoryError {
            throw CommandFailure("\(error)", exitCode: error.exitCode)
        }
    }

    func client() throws -> ToolClient {
        let url = try coordinator ?? coordinatorEndpoint(runDir: try directoryPath)
        return ToolClient(coordinator: url, log: quietLog())
    }

    /// One question to the coordinator of the run.
    func ask(_ what: String, step: Int64 = 0, timeoutSeconds: Double = 5) throws -> String {
        let client = try client()
        defer { client.close() }
        do { return try client.ask(what, step: step, timeoutSeconds: timeoutSeconds) } catch {
            throw CommandFailure("\(error)", exitCode: CommandFailure.failed)
        }
    }

    /// True when a supervisor holds the run directory.
    func isUp() -> Bool {
        guard coordinator == nil else { return true }
        return (try? directory())?.holder() != nil
    }

    func plan(_ directory: RunDirectory) throws -> RunPlan {
        let configuration = try readConfiguration(directory.configurationPath)
        do { return try RunDescription(configuration: configuration).plan() } catch {
            throw dataFailure(error)
        }
    }

    func reader() throws -> (reader: ModelReader, plan: RunPlan, directory: RunDirectory) {
        let directory = try directory()
        let plan = try plan(directory)
        do {
            let reader = try ModelReader(
                plan: plan, databasePath: directory.databasePath,
                storeDirectories: Dictionary(
                    uniqueKeysWithValues: (0..<plan.settings.stores).map {
                        ($0, directory.storePath(index: $0))
                    }))
            return (reader, plan, directory)
        } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.failed) }
    }
}

private func object(_ json: String) -> [String: Any] {
    (try? JSONSerialization.jsonObject(with: Data(json.utf8))) as? [String: Any] ?? [:]
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show where a run stands and how its nodes are.",
        discussion: "Example:\n  varve status --run-dir run1 --json")
    @OptionGroup var options: RunOptions
    @Flag(help: "Machine output.") var json = false

    func run() throws {
        let answer = try options.ask("status")
        if json {
            print(answer)
            return
        }
        print(Self.text(object(answer)))
    }

    static func text(_ status: [String: Any]) -> String {
        var lines = [
            "\(status["state"] ?? "?")  step \(status["step"] ?? "?")/\(status["target_step"] ?? "?")  committed "
                + "\(status["last_committed_step"] ?? "?")  epoch \(status["epoch"] ?? "?")  recoveries \(status["recoveries"] ?? "?")",
            "", pad(["NODE", "STATE", "STEP", "PID", "ENDPOINT"]),
        ]
        for node in status["nodes"] as? [[String: Any]] ?? [] {
            lines.append(pad(["id", "state", "step", "pid", "endpoint"].map { "\(node[$0] ?? "")" }))
        }
        return lines.joined(separator: "\n")
    }

    private static func pad(_ cells: [String]) -> String {
        zip(cells, [14, 14, 8, 9, 0]).map {
            $0.0.padding(toLength: max($0.1, $0.0.count), withPad: " ", startingAt: 0)
        }
        .joined()
    }
}

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Watch a run; Ctrl-C ends the watching, not the run.",
        discussion: "Example:\n  varve top --run-dir run1")
    @OptionGroup var options: RunOptions
    @Option(help: "Seconds between two looks.") var interval = 1.0
    @Option(help: "Looks to take; without end by default.") var count: Int?

    func run() throws {
        let client = try options.client()
        defer { client.close() }
        var looks = 0
        while count.map({ looks < $0 }) ?? true {
            let answer: String
            do { answer = try client.ask("status") } catch {
                throw CommandFailure("\(error)", exitCode: CommandFailure.failed)
            }
            let clear = isatty(STDOUT_FILENO) == 1 ? "\u{1b}[H\u{1b}[2J" : ""
            print(clear + StatusCommand.text(object(answer)))
            looks += 1
            if object(answer)["state"] as? String == "finished" { return }
            Thread.sleep(forTimeInterval: interval)
        }
    }
}

struct KillCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "Send a signal to one node, to watch what happens.",
        discussion: """
            Examples:
              varve kill shard-1
              varve kill worker-0 --signal STOP
            """)
    @Argument(help: "shard-0, store-2, worker-1, coordinator.") var node: String
    @OptionGroup var options: RunOptions
    @Option(help: "KILL, TERM, STOP or CONT.") var signal = "KILL"

    func run() throws {
        let numbers: [String: Int32] = ["KILL": SIGKILL, "TERM": SIGTERM, "STOP": SIGSTOP, "CONT": SIGCONT]
        guard let number = numbers[signal.uppercased()] else {
            throw CommandFailure(
                "--signal is KILL, TERM, STOP or CONT, not '\(signal)'", exitCode: CommandFailure.usage)
        }
        guard let wanted = NodeID(node), wanted.role != .tool else {
            throw CommandFailure(
                "'\(node)' is not a node: name shard-0, store-2, worker-1 or coordinator",
                exitCode: CommandFailure.usage)
        }
        let pid = try pid(of: wanted)
        guard Foundation.kill(pid, number) == 0 else {
            throw CommandFailure(
                "can't signal \(node) (process \(pid)): \(String(cString: strerror(errno)))",
                exitCode: CommandFailure.failed)
        }
        print("\(node): SIG\(signal.uppercased()) sent to process \(pid)")
    }

    private func pid(of node: NodeID) throws -> pid_t {
        if node == .coordinator {
            let path = try options.directory().path + "/coordinator.pid"
            guard let text = try? String(contentsOfFile: path, encoding: .utf8), let pid = pid_t(text) else {
                throw CommandFailure("the coordinator does not run", exitCode: CommandFailure.failed)
            }
            return pid
        }
        let nodes = object(try options.ask("status"))["nodes"] as? [[String: Any]] ?? []
        guard let entry = nodes.first(where: { $0["id"] as? String == node.description }),
            let pid = (entry["pid"] as? NSNumber)?.int32Value, pid > 1
        else { throw CommandFailure("the run has no \(node)", exitCode: CommandFailure.failed) }
        guard entry["state"] as? String != "dead" else {
            throw CommandFailure("\(node) is dead already", exitCode: CommandFailure.failed)
        }
        return pid
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Stop a run cleanly, with a last checkpoint.",
        discussion: "Example:\n  varve down --run-dir run1")
    @OptionGroup var options: RunOptions
    @Option(help: "Seconds to wait for the end.") var timeout = 30.0

    func run() throws {
        let directory = try options.directory()
        guard options.isUp() else {
            print("the run in \(directory.path) is down already")
            return
        }
        guard let pid = directory.holder() else { return }
        Foundation.kill(pid, SIGTERM)
        let deadline = Date() + timeout
        while Date() < deadline {
            if !options.isUp() {
                print("stopped; 'varve up --resume --run-dir \(directory.path)' goes on")
                return
            }
            usleep(20_000)
        }
        throw CommandFailure("the run did not end within \(Int(timeout)) s", exitCode: CommandFailure.failed)
    }
}

struct LogsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs", abstract: "Print the logs of a run's nodes.",
        discussion: "Examples:\n  varve logs shard-1\n  varve logs --run-dir run1 --lines 20")
    @Argument(help: "A node; all by default.") var node: String?
    @OptionGroup var options: RunOptions
    @Option(help: "Lines of each log, from its end.") var lines = 50

    func run() throws {
        let folder = try options.directory().path + "/logs"
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        let wanted = names.filter { node == nil || $0 == "\(node!).log" }
        guard !wanted.isEmpty else {
            throw CommandFailure(
                "no log of \(node ?? "any node") in \(folder)", exitCode: CommandFailure.missingInput)
        }
        for name in wanted {
            let text = (try? String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)) ?? ""
            for line in text.split(separator: "\n").suffix(lines) { print("\(name.dropLast(4)): \(line)") }
        }
    }
}
