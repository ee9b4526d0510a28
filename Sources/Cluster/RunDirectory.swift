import CSystem
import Foundation

/// Why a run directory can't be used: one sentence and the exit code of the command.
public struct RunDirectoryError: Error, Sendable, CustomStringConvertible {
    public let description: String
    public let exitCode: Int32
}

/// The folder of one run: its configuration, logs, stores and the coordinator's database.
public struct RunDirectory: Sendable, Hashable {
    /// What `varve-run.json` says, so that the folder explains itself.
    public struct Identity: Sendable, Codable, Hashable {
        public var formatVersion = 1
        public var runID: String
        public var createdUnixMs: Int64
        public var about = "A run of varve, a parameter server; config.yaml is what it runs with."
    }

    public let path: String
    public let identity: Identity

    public var configurationPath: String { path + "/config.yaml" }
    public var lockPath: String { path + "/lock" }
    public var pidPath: String { path + "/up.pid" }
    public var endpointPath: String { path + "/coordinator.endpoint" }
    public var databasePath: String { path + "/coordinator/coordinator.sqlite" }
    public func logPath(node: String) -> String { path + "/logs/\(node).log" }
    public func storePath(index: Int) -> String { path + "/stores/store-\(index)" }

    /// Makes the layout in an absent or empty folder; a folder with anything in it is refused.
    public static func create(
        path: String, configuration: ClusterConfiguration
    ) throws(RunDirectoryError) -> RunDirectory {
        let files = FileManager.default
        if let found = try? files.contentsOfDirectory(atPath: path), !found.isEmpty {
            throw RunDirectoryError(
                description:
                    "\(path) is not empty: continue that run with --resume, or name another --run-dir",
                exitCode: 64)
        }
        var generator = SystemRandomNumberGenerator()
        let id = (0..<4).map { _ in
            let word = String(UInt32.random(in: 0...UInt32.max, using: &generator), radix: 16)
            return String(repeating: "0", count: 8 - word.count) + word
        }.joined()
        let identity = Identity(runID: id, createdUnixMs: Int64(Date().timeIntervalSince1970 * 1000))
        do {
            let stores = (0..<configuration.cluster.stores).map { "stores/store-\($0)" }
            for folder in ["logs", "coordinator"] + stores {
                try files.createDirectory(atPath: "\(path)/\(folder)", withIntermediateDirectories: true)
            }
            // Atomic writes appear by rename; the identity comes last, so that it vouches for the rest.
            try Data(configuration.yaml().utf8).write(
                to: URL(fileURLWithPath: path + "/config.yaml"), options: .atomic)
            try JSONEncoder().encode(identity).write(
                to: URL(fileURLWithPath: path + "/varve-run.json"), options: .atomic)
        } catch {
            throw RunDirectoryError(
                description: "can't create the run directory \(path): \(error.localizedDescription)",
                exitCode: 1)
        }
        return RunDirectory(path: path, identity: identity)
    }

    /// Opens what ``create(path:configuration:)`` made.
    public static func open(path: String) throws(RunDirectoryError) -> RunDirectory {
        guard let data = FileManager.default.contents(atPath: path + "/varve-run.json") else {
            throw RunDirectoryError(
                description: "\(path) is not a run directory (no readable varve-run.json)", exitCode: 66)
        }
        guard let identity = try? JSONDecoder().decode(Identity.self, from: data), identity.formatVersion == 1
        else {
            throw RunDirectoryError(
                description: "\(path)/varve-run.json is damaged or of another version", exitCode: 65)
        }
        return RunDirectory(path: path, identity: identity)
    }

    /// Takes the exclusive lock for as long as the result lives, and writes `up.pid`.
    public func lock() throws(RunDirectoryError) -> RunLock {
        let descriptor = Foundation.open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw RunDirectoryError(
                description: "can't open \(lockPath): \(String(cString: strerror(errno)))", exitCode: 1)
        }
        let lock = RunLock(descriptor: descriptor)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let holder = (try? String(contentsOfFile: pidPath, encoding: .utf8)) ?? "unknown"
            throw RunDirectoryError(
                description: "\(path) is in use by varve up with pid \(holder); stop it with varve down",
                exitCode: 1)
        }
        do {
            try "\(getpid())".write(toFile: pidPath, atomically: true, encoding: .utf8)
        } catch {
            throw RunDirectoryError(
                description: "can't write \(pidPath): \(error.localizedDescription)", exitCode: 1)
        }
        return lock
    }
}

/// Holds a run directory's lock until it is released; the kernel releases it with the process too.
public final class RunLock: Sendable {
    private let descriptor: Int32
    init(descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }
}
