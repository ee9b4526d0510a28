import Foundation
import GRDB

/// A manifest as the coordinator keeps it; the bytes are encoded by the caller.
public struct ManifestRow: Sendable, Hashable {
    public var step: UInt64
    public var line: UInt64
    public var epoch: UInt64
    public var manifest: [UInt8]
    public var committed: Bool
    public var pinned: Bool

    public init(
        step: UInt64, line: UInt64, epoch: UInt64, manifest: [UInt8], committed: Bool, pinned: Bool = false
    ) {
        self.step = step
        self.line = line
        self.epoch = epoch
        self.manifest = manifest
        self.committed = committed
        self.pinned = pinned
    }
}

/// A line of the history that operators see.
public struct HistoryEvent: Sendable, Hashable {
    public var timeMilliseconds: Int64
    public var node: String
    public var kind: String
    public var sentence: String

    public init(timeMilliseconds: Int64, node: String, kind: String, sentence: String) {
        self.timeMilliseconds = timeMilliseconds
        self.node = node
        self.kind = kind
        self.sentence = sentence
    }
}

/// The coordinator's durable state: keys and values, manifests, the leader, and the history of events.
///
/// Every commit is one transaction with one fsync, and holds only while the caller is still the leader: a
/// coordinator that was paused and replaced changes nothing when it wakes. The schema is in
/// `docs/formats/index.md`.
public final class CoordinatorDatabase {
    private static let schemaVersion = 1
    private let queue: DatabaseQueue
    private let path: String
    private var poisonCause: String?

    private init(queue: DatabaseQueue, path: String) {
        self.queue = queue
        self.path = path
    }

    /// Opens or creates the database. A damaged one is an error: it can't be rebuilt from elsewhere here.
    public static func open(path: String) throws(StorageError) -> CoordinatorDatabase {
        do {
            let queue = try Database.open(path, full: true)
            try queue.writeWithoutTransaction { database in
                try database.inTransaction(.immediate) {
                    let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
                    guard version == 0 || version == schemaVersion else {
                        throw StorageError.unsupportedVersion(path: path, version: UInt32(clamping: version))
                    }
                    try database.execute(sql: schema)
                    return .commit
                }
            }
            let directory = (path as NSString).deletingLastPathComponent
            do throws(SystemCallFailure) {
                try POSIXFileSystem().syncDirectory(directory.isEmpty ? "." : directory)
            } catch {
                throw StorageError(path: directory, call: error.call, code: error.code)
            }
            return CoordinatorDatabase(queue: queue, path: path)
        } catch {
            throw Database.error(error, path: path)
        }
    }

    private static let schema = """
        CREATE TABLE IF NOT EXISTS state(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS leader(id INTEGER PRIMARY KEY CHECK(id = 1), leader TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS manifests(
            step INTEGER PRIMARY KEY, line INTEGER NOT NULL, epoch INTEGER NOT NULL, manifest BLOB NOT NULL,
            committed INTEGER NOT NULL, pinned INTEGER NOT NULL);
        CREATE TABLE IF NOT EXISTS events(
            id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, node TEXT NOT NULL,
            kind TEXT NOT NULL, sentence TEXT NOT NULL);
        PRAGMA user_version = \(schemaVersion);
        """

    /// The key-value part.
    public func load() throws(StorageError) -> [String: [UInt8]] {
        try read { database in
            try Row.fetchAll(database, sql: "SELECT key, value FROM state")
                .reduce(into: [:]) { $0[$1["key"] as String] = [UInt8]($1["value"] as Data) }
        }
    }

    /// All manifests in order of their steps.
    public func manifests() throws(StorageError) -> [ManifestRow] {
        try read { database in
            try Row.fetchAll(database, sql: "SELECT * FROM manifests ORDER BY step").map { row in
                ManifestRow(
                    step: Database.unsigned(row["step"]), line: Database.unsigned(row["line"]),
                    epoch: Database.unsigned(row["epoch"]), manifest: [UInt8](row["manifest"] as Data),
                    committed: row["committed"], pinned: row["pinned"])
            }
        }
    }

    /// Who leads, or nil before the first `takeLeadership`.
    public func leader() throws(StorageError) -> String? {
        try read { try String.fetchOne($0, sql: "SELECT leader FROM leader WHERE id = 1") }
    }

    /// Makes this incarnation the leader; the next commit of any other one fails with `notLeader`.
    ///
    /// A former leader that was stopped in the middle of a transaction holds the database: `inUse` after 5 s.
    public func takeLeadership(leader: String) throws(StorageError) {
        try transaction { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO leader(id, leader) VALUES(1, ?)", arguments: [leader])
        }
    }

    /// Writes all of it or nothing, durably, if `leader` still leads; otherwise throws `notLeader`.
    public func commit(
        leader: String, puts: [(String, [UInt8])], manifests: [ManifestRow] = [],
        deleteManifests: [UInt64] = []
    ) throws(StorageError) {
        for row in manifests where row.step > UInt64(Int64.max) {
            throw .invalidArgument("step \(row.step) is above the largest that the database can hold")
        }
        try transaction { database in
            let current = try String.fetchOne(
                database.cachedStatement(sql: "SELECT leader FROM leader WHERE id = 1"))
            guard current == leader else { throw StorageError.notLeader(leader: leader, current: current) }
            for (key, value) in puts {
                try database.cachedStatement(sql: "INSERT OR REPLACE INTO state(key, value) VALUES(?, ?)")
                    .execute(arguments: [key, Data(value)])
            }
            for step in deleteManifests {
                try database.cachedStatement(sql: "DELETE FROM manifests WHERE step = ?")
                    .execute(arguments: [Database.signed(step)])
            }
            for row in manifests {
                try database.cachedStatement(sql: "INSERT OR REPLACE INTO manifests VALUES(?, ?, ?, ?, ?, ?)")
                    .execute(arguments: [
                        Database.signed(row.step), Database.signed(row.line), Database.signed(row.epoch),
                        Data(row.manifest), row.committed, row.pinned,
                    ])
            }
        }
    }

    /// Appends to the history; not conditional on leading, so that a replaced leader can say so.
    public func appendEvents(_ events: [HistoryEvent]) throws(StorageError) {
        try transaction { database in
            let statement = try database.cachedStatement(
                sql: "INSERT INTO events(time_ms, node, kind, sentence) VALUES(?, ?, ?, ?)")
            for event in events {
                try statement.execute(arguments: [
                    event.timeMilliseconds, event.node, event.kind, event.sentence,
                ])
            }
        }
    }

    /// The latest events, oldest first.
    public func recentEvents(limit: Int) throws(StorageError) -> [HistoryEvent] {
        try read { database in
            try Row.fetchAll(
                database, sql: "SELECT * FROM events ORDER BY id DESC LIMIT ?", arguments: [max(0, limit)]
            ).reversed().map { row in
                HistoryEvent(
                    timeMilliseconds: row["time_ms"], node: row["node"], kind: row["kind"],
                    sentence: row["sentence"])
            }
        }
    }

    public func close() { try? queue.close() }

    private func read<T>(_ body: (GRDB.Database) throws -> T) throws(StorageError) -> T {
        do { return try queue.read(body) } catch { throw Database.error(error, path: path) }
    }

    private func transaction(_ body: (GRDB.Database) throws -> Void) throws(StorageError) {
        if let poisonCause { throw .poisoned(path: path, cause: poisonCause) }
        do {
            try queue.writeWithoutTransaction { database in
                try database.inTransaction(.immediate) {
                    try body(database)
                    return .commit
                }
            }
        } catch {
            let failure = Database.error(error, path: path)
            // After a failed fsync it is unknown what is on disk, and a later success would not change that.
            if case .inputOutput = failure { poisonCause = "a transaction failed with an input/output error" }
            throw failure
        }
    }
}
