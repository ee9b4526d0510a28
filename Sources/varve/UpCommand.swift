import ArgumentParser
import Cluster
import Foundation
import Node
import Training

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Start a training cluster on this box and keep it alive.",
        discussion: """
            Starts every process of the cluster, restarts those that die, and ends when training has ended. Ctrl-C stops \
            cleanly, with a last checkpoint; --resume goes on from there.

            Examples:
              varve up configs/quickstart.yaml
              varve up configs/quickstart.yaml --run-dir run1 --set training.steps=1000 --detach
              varve up --resume --run-dir run1
            """)

    @Argument(help: "Configuration of the cluster; with --resume, the run directory's own by default.")
    var config: String?
    @Option(help: "Where the run keeps everything; varve-runs/NAME-TIME by default.")
    var runDir: String?
    @Option(help: "Train up to this step.")
    var steps: Int?
    @Option(name: .customLong("set"), help: ArgumentHelp("Override one value.", valueName: "key.path=value"))
    var overrides: [String] = []
    @Option(
        help: ArgumentHelp(
            "JSON with fixed addresses of nodes, and those that their peers dial.", valueName: "file"))
    var endpoints: String?
    @Flag(help: "Go on from the last committed checkpoint of a run directory.")
    var resume = false
    @Flag(help: "Return as soon as the cluster runs; it goes on in the background.")
    var detach = false
    @Flag(help: "Record what every node does, for 'varve history check'; --resume goes on with it.")
    var history = false
    @Flag(help: "One JSON object per line on stdout.")
    var json = false

    func validate() throws {
        if config == nil && !resume {
            throw ValidationError("give a configuration file, or --resume with --run-dir")
        }
        if resume && runDir == nil { throw ValidationError("--resume needs --run-dir") }
    }

    mutating func run() async throws {
        let configuration = try effectiveConfiguration()
        if detach {
            try detached(configuration)
            return
        }
        do {
            let session = try makeSession(configuration)
            let (code, message) = await withCheckedContinuation { done in
                let thread = Thread {
                    dieWithParent()
                    done.resume(returning: session.run())
                }
                thread.stackSize = 8 << 20
                thread.start()
            }
            if let message { throw CommandFailure(message, exitCode: code) }
        } catch {
            Detach.reportFailed("\(error)")
            throw error
        }
    }

    private func effectiveConfiguration() throws -> ClusterConfiguration {
        var overrides = overrides
        if let steps { overrides.append("training.steps=\(steps)") }
        if let config { return try readConfiguration(config, overrides: overrides) }
        return try readConfiguration(runDir! + "/config.yaml", overrides: overrides)
    }

    private func nodeEndpoints() throws -> NodeEndpoints {
        guard let path = endpoints else { return NodeEndpoints() }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw CommandFailure("can't read \(path)", exitCode: CommandFailure.missingInput)
        }
        do { return try NodeEndpoints(json: text) } catch {
            throw CommandFailure(
                "\(path) must be JSON such as {\"shard-0\": {\"bind\": \"tcp://10.0.0.1:7001\", \"advertise\": \"10.0.0.9:7001\"}}",
                exitCode: CommandFailure.malformed)
        }
    }

    private func makeSession(_ configuration: ClusterConfiguration) throws -> UpSession {
        let endpoints = try nodeEndpoints()
        // The data set is read before anything starts: it is needed for the last word anyway.
        let heldOut: Dataset
        let description: RunDescription
        do {
            heldOut = try loadDataset(kind: configuration.dataKind, path: configuration.data.path)
            description = try RunDescription(configuration: configuration)
        } catch { throw dataFailure(error) }
        let path = runDir ?? RunDirectory.defaultPath(name: configuration.cluster.name)
        do {
            let directory: RunDirectory
            if resume {
                directory = try RunDirectory.open(path: path)
                let lock = try directory.lock()
                let hasHistory = FileManager.default.fileExists(atPath: directory.historyPath)
                guard hasHistory || !history else {
                    throw CommandFailure(
                        "\(path) was begun without a history, and half of one can't be checked",
                        exitCode: CommandFailure.usage)
                }
                let before = try readConfiguration(directory.configurationPath)
                if let change = configuration.layoutChange(since: before) {
                    throw CommandFailure(
                        "\(path) can't go on: \(change), which its checkpoints don't fit; begin a new run for that",
                        exitCode: CommandFailure.configuration)
                }
                try writeByRename(configuration.yaml(), to: directory.configurationPath)
                return UpSession(
                    directory: directory, lock: lock, configuration: configuration,
                    plan: try description.plan(),
                    heldOut: heldOut, endpoints: endpoints, isNew: false, recordsHistory: hasHistory,
                    json: json)
            }
            directory = try RunDirectory.create(path: path, configuration: configuration)
            return UpSession(
                directory: directory, lock: try directory.lock(), configuration: configuration,
                plan: try description.plan(), heldOut: heldOut, endpoints: endpoints, isNew: true,
                recordsHistory: history, json: json)
        } catch let error as RunDirectoryError { throw CommandFailure("\(error)", exitCode: error.exitCode) }
    }

    private func detached(_ configuration: ClusterConfiguration) throws {
        let path = runDir ?? RunDirectory.defaultPath(name: configuration.cluster.name)
        var arguments = ["up"]
        if let config { arguments.append(config) }
        arguments += ["--run-dir", path, "--json"]
        if let steps { arguments += ["--steps", "\(steps)"] }
        for item in overrides { arguments += ["--set", item] }
        if let endpoints { arguments += ["--endpoints", endpoints] }
        if resume { arguments.append("--resume") }
        if history { arguments.append("--history") }
        let log = NSTemporaryDirectory() + "/varve-up-\(getpid()).log"
        switch Detach.spawn(
            executable: programPath(), arguments: arguments, environment: [:], log: log,
            readyTimeoutSeconds: 60)
        {
        case .ready(_, let line):
            rename(log, path + "/logs/up.log")
            print(
                json
                    ? #"{"event":"started","run_dir":\#(jsonText(path))}"#
                    : "\(line); follow it with 'varve top --run-dir \(path)'")
        case .failed(_, let reason), .ended(_, let reason), .notStarted(let reason):
            unlink(log)
            throw CommandFailure(reason, exitCode: CommandFailure.failed)
        case .timedOut:
            throw CommandFailure(
                "the cluster did not start within 60 s: see \(log)", exitCode: CommandFailure.failed)
        }
    }
}

/// Where this program is.
func programPath() -> String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
}
