import CSystem
import Foundation
import LCCheckpoint

/// The folder of one run: its configuration, logs, stores and the coordinator's database.
public struct RunDirectory: Sendable, Hashable {
    /// What `varve-run.json` says, so that the folder explains itself.
    public struct Identity: Sendable, Codable, Hashable {
        public var formatVersion = RunDirectory.formatVersion
        /// 32 hexadecimal digits, drawn at random.
        public var runID: String
        public var createdUnixMs: Int64
        /// XXH3-128 of the `config.yaml` that the run was created with.
        public var configurationDigest: String
        public var about = "A run of varve, a parameter server; config.yaml is what it runs with."

        enum CodingKeys: String, CodingKey {
            case about
            case formatVersion = "format_version"
            case runID = "run_id"
            case createdUnixMs = "created_unix_ms"
            case configurationDigest = "configuration_digest"
        }
    }

    static let formatVersion = 1

    public let path: String
    public let identity: Identity

    public var configurationPath: String { path + "/config.yaml" }
    public var lockPath: String { path + "/lock" }
    /// Names the present holder; after a kill it stays until the next one, so ask ``holder()``.
    public var pidPath: String { path + "/up.pid" }
    public var endpointPath: String { path + "/coordinator.endpoint" }
    public var databasePath: String { path + "/coordinator/coordinator.sqlite" }
    /// What the nodes did, where that is recorded.
    public var historyPath: String { path + "/history" }
    public func logPath(node: String) -> String { path + "/logs/\(node).log" }
    public func storePath(index: Int) -> String { path + "/stores/store-\(index)" }

    /// Where a run goes that wasn't given a place: `./varve-runs/<name>-<yyyyMMdd-HHmmss>`, in local time.
    public static func defaultPath(name: String, at time: Date = Date()) -> String {
        var seconds = time_t(time.timeIntervalSince1970)
        var parts = tm()
        localtime_r(&seconds, &parts)
        func digits(_ value: Int32, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let day = digits(parts.tm_year + 1900, 4) + digits(parts.tm_mon + 1, 2) + digits(parts.tm_mday, 2)
        let clock = digits(parts.tm_hour, 2) + digits(parts.tm_min, 2) + digits(parts.tm_sec, 2)
        let safe = String(name.map { $0 == "/" || $0.isWhitespace || $0 == "\0" ? "-" : $0 })
        return "./varve-runs/\(safe.isEmpty ? "run" : safe)-\(day)-\(clock)"
    }

    /// Makes the layout in an absent or empty folder; a folder with anything in it is refused.
    ///
    /// An absent folder appears whole, by rename; on any failure nothing is left behind.
    public static func create(
        path given: String, configuration: ClusterConfiguration
    ) throws(RunDirectoryError) -> RunDirectory {
        let path = try checkedPath(given)
        let yaml = configuration.yaml()
        let identity = Identity(
            runID: randomID(), createdUnixMs: Int64(Date().timeIntervalSince1970 * 1000),
            configurationDigest: digest(of: yaml))
        let exists = try checkThatVacant(path)
        var builder = RunDirectoryBuilder()
        // An empty folder that exists may be a mount, so it is filled in place.
        let place = exists ? path : "\(path).new-\(identity.runID.prefix(8))"
        if !exists {
            try builder.makeParents(parentPath(of: path))
            try builder.makeFolder(place)
        }
        for folder in ["logs", "coordinator", "stores"] { try builder.makeFolder("\(place)/\(folder)") }
        for index in 0..<configuration.cluster.stores {
            try builder.makeFolder("\(place)/stores/store-\(index)")
        }
        try builder.makeFile(place + "/config.yaml", yaml)
        // The identity comes last, so that it vouches for the rest.
        try builder.makeFile(place + "/varve-run.json", text(of: identity))
        _ = varve_sync_directory(place)
        if !exists, rename(place, path) != 0 {
            let code = errno
            // Someone else may have been faster.
            _ = try checkThatVacant(path)
            throw RunDirectoryError(errorNumber: code, doing: "create", path: path)
        }
        builder.keep()
        let parent = parentPath(of: path)
        _ = varve_sync_directory(parent.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : parent)
        return RunDirectory(path: path, identity: identity)
    }

    /// Opens what ``create(path:configuration:)`` made.
    public static func open(path given: String) throws(RunDirectoryError) -> RunDirectory {
        let path = try checkedPath(given)
        let file = path + "/varve-run.json"
        guard let data = FileManager.default.contents(atPath: file) else {
            var facts = stat()
            let why =
                if stat(path, &facts) != 0 {
                    "there is no run directory \(path)"
                } else if access(file, F_OK) == 0 {
                    "\(file) can't be read"
                } else {
                    "\(path) is not a run directory (it has no varve-run.json)"
                }
            throw RunDirectoryError(
                .notARunDirectory, why + "; name one that varve up has made with --run-dir", exitCode: 66)
        }
        struct Version: Codable {
            var formatVersion: Int
            enum CodingKeys: String, CodingKey { case formatVersion = "format_version" }
        }
        if let version = try? JSONDecoder().decode(Version.self, from: data).formatVersion,
            version != formatVersion
        {
            throw RunDirectoryError(
                .malformed,
                "\(path) has format version \(version), but this varve reads \(formatVersion) only; "
                    + "use the varve that made it",
                exitCode: 65)
        }
        guard let identity = try? JSONDecoder().decode(Identity.self, from: data) else {
            throw RunDirectoryError(
                .malformed, "\(file) is damaged; restore it from a copy of the run", exitCode: 65)
        }
        return RunDirectory(path: path, identity: identity)
    }
}

extension RunDirectory {
    /// Without slashes at its end, since siblings are named after it.
    private static func checkedPath(_ given: String) throws(RunDirectoryError) -> String {
        var path = given
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard !path.isEmpty, !path.contains("\0") else {
            throw RunDirectoryError(
                .notARunDirectory, "the path of the run directory is empty; name one with --run-dir",
                exitCode: 64)
        }
        return path
    }

    /// Whether an empty folder is there; whatever else is there is refused.
    private static func checkThatVacant(_ path: String) throws(RunDirectoryError) -> Bool {
        var facts = stat()
        guard stat(path, &facts) == 0 else {
            if errno == ENOENT { return false }
            throw RunDirectoryError(errorNumber: errno, doing: "create", path: path)
        }
        guard facts.st_mode & S_IFMT == S_IFDIR else {
            throw RunDirectoryError(
                .notARunDirectory, "\(path) exists and is not a folder; name another --run-dir", exitCode: 64)
        }
        guard let folder = opendir(path) else {
            throw RunDirectoryError(errorNumber: errno, doing: "read", path: path)
        }
        closedir(folder)
        guard let found = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw RunDirectoryError(errorNumber: EIO, doing: "read", path: path)
        }
        if found.isEmpty { return true }
        guard found.contains("varve-run.json") else {
            throw RunDirectoryError(
                .notARunDirectory,
                "\(path) is not empty and not a run directory; name another --run-dir", exitCode: 64)
        }
        if let pid = holder(lockPath: path + "/lock") { throw inUse(path: path, pid: pid) }
        throw RunDirectoryError(
            .holdsARun, "\(path) holds a run already; continue it with --resume, or name another --run-dir",
            exitCode: 64)
    }

    private static func randomID() -> String {
        var generator = SystemRandomNumberGenerator()
        return hex(generator.next()) + hex(generator.next())
    }

    private static func digest(of text: String) -> String {
        Array(text.utf8).withUnsafeBytes { "\(Digest.of($0))" }
    }

    private static func hex(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func text(of identity: Identity) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // Strings and integers always encode.
        let data = (try? encoder.encode(identity)) ?? Data()
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}
