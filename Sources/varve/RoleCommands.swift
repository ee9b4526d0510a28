import ArgumentParser
import Cluster
import Foundation
import Logging
import Node
import Storage
import Training
import Wire

/// How a role finds its coordinator and where it listens.
struct JoinOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Address of the coordinator, such as tcp://10.0.0.1:7000.", valueName: "url"))
    var join: String?
    @Option(help: "Run directory on this box, whose coordinator is joined.")
    var runDir: String?
    @Option(help: "The place to take; any free one by default.")
    var index: Int?
    @Option(help: "Address to listen on; port 0 takes a free one.")
    var bind = "tcp://127.0.0.1:0"
    @Option(help: "Host, or HOST:PORT, at which peers reach this node, where it differs from --bind's.")
    var advertise: String?
    @Option(help: ArgumentHelp("Record what this node does, for 'varve history check'.", valueName: "dir"))
    var history: String?
    @Option(help: "Seconds to wait for the coordinator.")
    var joinTimeout = 60.0

    func validate() throws {
        guard (join == nil) != (runDir == nil) else {
            throw ValidationError("give either --join URL or --run-dir DIR")
        }
    }

    func place(_ role: Role, listens: Bool, log: Logger) throws -> Place {
        let coordinator = try join ?? coordinatorEndpoint(runDir: runDir ?? "")
        do {
            var place = try Place.join(
                coordinator: coordinator, role: role, index: index, bind: listens ? bind : nil,
                advertise: advertise,
                log: log, timeoutSeconds: joinTimeout)
            place.historyDirectory = history
            return place
        } catch { throw CommandFailure("\(error)", exitCode: CommandFailure.failed) }
    }
}

/// The address of a run's coordinator, as it wrote it down.
func coordinatorEndpoint(runDir: String) throws -> String {
    let directory: RunDirectory
    do { directory = try RunDirectory.open(path: runDir) } catch {
        throw CommandFailure("\(error)", exitCode: error.exitCode)
    }
    guard let text = try? String(contentsOfFile: directory.endpointPath, encoding: .utf8) else {
        throw CommandFailure(
            "the run in \(runDir) has no coordinator: start it with 'varve up --resume --run-dir \(runDir)'",
            exitCode: CommandFailure.failed)
    }
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
}

/// The log of a process, on stderr.
func processLog(_ label: String) -> Logger {
    var logger = Logger(label: label) { StreamLogHandler.standardError(label: $0) }
    let wanted = ProcessInfo.processInfo.environment["VARVE_LOG"].flatMap { Logger.Level(rawValue: $0) }
    logger.logLevel = wanted ?? .info
    return logger
}

private func end(_ end: RoleEnd) throws {
    switch end {
    case .stopped: return
    case .exited(let reason, let failed):
        if failed { throw CommandFailure(reason, exitCode: CommandFailure.failed) }
    }
}

/// Blocking work belongs on a thread of its own, not on the pool of the concurrency runtime, whose threads come and go:
/// the tie to the parent would end with them.
private func onOwnThread(_ body: @escaping @Sendable () throws -> Void) async throws {
    TimeSlices.preferShort()
    try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
        let thread = Thread {
            dieWithParent()
            do {
                try body()
                done.resume()
            } catch { done.resume(throwing: error) }
        }
        thread.stackSize = 8 << 20
        thread.start()
    }
}

struct CoordinatorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator", abstract: "Run the coordinator of a cluster in the foreground.",
        discussion: """
            Example:
              varve coordinator --config cluster.yaml --run-dir /var/lib/varve/run --bind tcp://10.0.0.1:7000
            """)

    @Option(help: "Configuration of the run; not needed for a run directory that exists.")
    var config: String?
    @Option(help: "Directory of the run; made when it does not exist.")
    var runDir: String
    @Option(help: "Address to listen on; port 0 takes a free one.")
    var bind: String?
    @Option(help: ArgumentHelp("Record what this node does, for 'varve history check'.", valueName: "dir"))
    var history: String?

    mutating func run() async throws {
        let log = processLog("coordinator")
        let directory = try openDirectory()
        let configuration = try readConfiguration(directory.configurationPath)
        let endpointPath = directory.endpointPath
        let pidPath = directory.path + "/coordinator.pid"
        let known = try? String(contentsOfFile: endpointPath, encoding: .utf8)
        let address =
            known ?? bind ?? "tcp://\(configuration.network.bind):\(configuration.network.coordinatorPort)"
        let description: RunDescription
        do { description = try RunDescription(configuration: configuration) } catch {
            throw dataFailure(error)
        }
        let plan = try description.plan()
        let json = try description.json
        let options = CoordinatorOptions(
            run: directory.identity.runID, databasePath: directory.databasePath, bind: address,
            historyDirectory: history,
            onListening: { url in
                try? writeByRename("\(getpid())", to: pidPath)
                try? writeByRename(url, to: endpointPath)
                log.info("listening on \(url)")
            })
        let stop = StopSignal()
        try await onOwnThread {
            do {
                try end(runCoordinator(options, plan: plan, description: json, log: log, stop: stop))
            } catch let error as CommandFailure { throw error } catch {
                throw CommandFailure("\(error)", exitCode: CommandFailure.failed)
            }
        }
    }

    private func openDirectory() throws -> RunDirectory {
        do {
            if FileManager.default.fileExists(atPath: runDir + "/varve-run.json") {
                return try RunDirectory.open(path: runDir)
            }
            guard let config else {
                throw CommandFailure(
                    "\(runDir) is not a run directory yet: give --config FILE to make one",
                    exitCode: CommandFailure.usage)
            }
            return try RunDirectory.create(path: runDir, configuration: try readConfiguration(config))
        } catch let error as RunDirectoryError { throw CommandFailure("\(error)", exitCode: error.exitCode) }
    }
}

struct ShardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shard", abstract: "Run one parameter-server shard in the foreground.",
        discussion: """
            Example:
              varve shard --join tcp://10.0.0.1:7000 --bind tcp://10.0.0.2:0
            """)
    @OptionGroup var options: JoinOptions

    mutating func run() async throws {
        let log = processLog("shard")
        let options = options
        let stop = StopSignal()
        try await onOwnThread {
            let place = try options.place(.shard, listens: true, log: log)
            let plan = try RunDescription(json: place.description).plan()
            try end(runShard(place, plan: plan, log: log, stop: stop))
        }
    }
}

struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Run one training worker in the foreground.",
        discussion: """
            Example:
              varve worker --join tcp://10.0.0.1:7000 --data /data/fashion-mnist
            """)
    @OptionGroup var options: JoinOptions
    @Option(help: "Where the data set is on this box, if not where the configuration says.")
    var data: String?

    mutating func run() async throws {
        let log = processLog("worker")
        let (options, data) = (options, data)
        let stop = StopSignal()
        try await onOwnThread {
            let place = try options.place(.worker, listens: false, log: log)
            var plan = try RunDescription(json: place.description).plan()
            if let data { plan.dataPath = data }
            do { try end(runWorker(place, plan: plan, log: log, stop: stop)) } catch {
                throw dataFailure(error)
            }
        }
    }
}

struct StoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "store", abstract: "Run one checkpoint store in the foreground.",
        discussion: """
            Example:
              varve store --join tcp://10.0.0.1:7000 --bind tcp://10.0.0.3:0 --directory /var/lib/varve/store
            """)
    @OptionGroup var options: JoinOptions
    @Option(help: "Where the checkpoints are kept; within the run directory by default.")
    var directory: String?

    mutating func run() async throws {
        let log = processLog("store")
        let (options, directory) = (options, directory)
        let stop = StopSignal()
        guard directory != nil || options.runDir != nil else {
            throw ValidationError("give --directory DIR with --join")
        }
        try await onOwnThread {
            let place = try options.place(.store, listens: true, log: log)
            let plan = try RunDescription(json: place.description).plan()
            let path = directory ?? "\(options.runDir ?? ".")/stores/\(place.identity.node)"
            do { try end(runStore(place, plan: plan, directory: path, log: log, stop: stop)) } catch let error
                as StorageError
            { throw CommandFailure("\(error)", exitCode: CommandFailure.failed) }
        }
    }
}

/// A failure to read data, with the exit code that the contract gives it.
func dataFailure(_ error: any Error) -> any Error {
    guard let error = error as? DataError else { return error }
    switch error {
    case .missing: return CommandFailure("\(error)", exitCode: CommandFailure.missingInput)
    case .malformed: return CommandFailure("\(error)", exitCode: CommandFailure.malformed)
    case .unsuitable: return CommandFailure("\(error)", exitCode: CommandFailure.configuration)
    }
}

/// Reads and checks a configuration file, with `--set` overrides.
func readConfiguration(_ path: String, overrides: [String] = []) throws -> ClusterConfiguration {
    guard let data = FileManager.default.contents(atPath: path) else {
        throw CommandFailure(
            "\(path): no such configuration file, or it can't be read", exitCode: CommandFailure.missingInput)
    }
    guard let text = String(data: data, encoding: .utf8) else {
        throw CommandFailure(
            "\(path): the configuration is not UTF-8 text", exitCode: CommandFailure.configuration)
    }
    do { return try ClusterConfiguration.parse(yaml: text, file: path, overrides: overrides) } catch {
        throw CommandFailure("\(error)", exitCode: CommandFailure.configuration)
    }
}

/// A file appears whole or not at all.
func writeByRename(_ text: String, to path: String) throws {
    let temporary = "\(path).\(getpid()).tmp"
    try text.write(toFile: temporary, atomically: false, encoding: .utf8)
    guard rename(temporary, path) == 0 else {
        unlink(temporary)
        throw CommandFailure(
            "can't write \(path): \(String(cString: strerror(errno)))", exitCode: CommandFailure.failed)
    }
}
