import Foundation
import GRDB

/// A copy of the record headers of a log in SQLite, for tools and for a fast opening; never the truth.
///
/// It is written lazily and in batches, never before an acknowledgement, and made anew from the segments
/// when it is missing, damaged or behind. The schema is in `docs/formats/index.md`.
public final class RecordIndex {
    private static let schemaVersion = 1
    private let queue: DatabaseQueue
    private let path: String
    /// What was amiss on opening: the index was unusable and is empty now.
    public let findings: [Finding]

    private init(queue: DatabaseQueue, path: String, findings: [Finding]) {
        self.queue = queue
        self.path = path
        self.findings = findings
    }

    /// Opens or creates the index; a damaged one is deleted and made anew, empty, with a finding.
    public static func open(path: String) throws(StorageError) -> RecordIndex {
        do {
            return RecordIndex(queue: try prepare(path), path: path, findings: [])
        } catch  where Database.isDamage(error) {
            let reason = (error as? DatabaseError)?.message ?? "a row is malformed"
            do {
                for suffix in ["", "-wal", "-shm"] where FileManager.default.fileExists(atPath: path + suffix)
                {
                    try FileManager.default.removeItem(atPath: path + suffix)
                }
                let finding = Finding.damagedIndex(path: path, reason: reason)
                return RecordIndex(queue: try prepare(path), path: path, findings: [finding])
            } catch {
                throw Database.error(error, path: path)
            }
        } catch {
            throw Database.error(error, path: path)
        }
    }

    private static func prepare(_ path: String) throws -> DatabaseQueue {
        let queue = try Database.open(path, full: false)
        try queue.write { database in
            let check = try String.fetchOne(database, sql: "PRAGMA quick_check(1)")
            let version = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
            guard check == "ok", version == 0 || version == schemaVersion else { throw DamagedRow() }
            try database.execute(
                sql: """
                    CREATE TABLE IF NOT EXISTS records(
                        segment INTEGER NOT NULL, offset INTEGER NOT NULL, ord INTEGER NOT NULL,
                        kind INTEGER NOT NULL, shard INTEGER NOT NULL, step INTEGER NOT NULL,
                        header BLOB NOT NULL, PRIMARY KEY(segment, offset)) WITHOUT ROWID;
                    CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
                    PRAGMA user_version = \(schemaVersion);
                    """)
            for row in try Row.fetchAll(database, sql: "SELECT * FROM records") { _ = try decode(row) }
        }
        return queue
    }

    /// Puts the whole content of a log in, replacing what was there.
    public func replaceAll(_ records: [StoredRecord], storeID: UInt64, completeBefore: UInt64)
        throws(StorageError)
    {
        try write { database in
            try database.execute(sql: "DELETE FROM records")
            try Self.put(database, records)
            try Self.setMeta(database, "store_id", storeID)
            try Self.setMeta(database, "complete_before", completeBefore)
        }
    }

    /// Adds or renews records, in one transaction.
    public func upsert(_ records: [StoredRecord], completeBefore: UInt64? = nil) throws(StorageError) {
        try write { database in
            try Self.put(database, records)
            if let completeBefore { try Self.setMeta(database, "complete_before", completeBefore) }
        }
    }

    /// Forgets the records at these places.
    public func remove(_ locations: [RecordLocation]) throws(StorageError) {
        try write { database in
            let statement = try database.cachedStatement(
                sql: "DELETE FROM records WHERE segment = ? AND offset = ?")
            for location in locations {
                try statement.execute(arguments: [
                    Database.signed(location.segment), Database.signed(location.offset),
                ])
            }
        }
    }

    /// Brings the index up to date with a compaction.
    public func apply(_ compaction: CompactionResult) throws(StorageError) {
        try remove(compaction.moved.map(\.from) + compaction.removed.map(\.location))
        try upsert(compaction.moved.map(\.to))
    }

    /// All records in the order of their history.
    public func all() throws(StorageError) -> [StoredRecord] {
        try read { database in
            try Row.fetchAll(database, sql: "SELECT * FROM records ORDER BY ord").map(Self.decode)
        }
    }

    /// What opening a log of this store may rely on, or nil when the index is of another one or empty.
    public func known(storeID: UInt64) throws(StorageError) -> KnownRecords? {
        let meta = try read { database in
            try Row.fetchAll(database, sql: "SELECT key, value FROM meta")
                .reduce(into: [String: UInt64]()) { $0[$1["key"]] = Database.unsigned($1["value"]) }
        }
        guard meta["store_id"] == storeID, let before = meta["complete_before"] else { return nil }
        return KnownRecords(records: try all(), completeBefore: before)
    }

    public func close() { try? queue.close() }

    private func write(_ body: (GRDB.Database) throws -> Void) throws(StorageError) {
        do { try queue.write(body) } catch { throw Database.error(error, path: path) }
    }

    private func read<T>(_ body: (GRDB.Database) throws -> T) throws(StorageError) -> T {
        do { return try queue.read(body) } catch { throw Database.error(error, path: path) }
    }

    private static func setMeta(_ database: GRDB.Database, _ key: String, _ value: UInt64) throws {
        try database.execute(
            sql: "INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)",
            arguments: [key, Database.signed(value)])
    }

    private static func put(_ database: GRDB.Database, _ records: [StoredRecord]) throws {
        let statement = try database.cachedStatement(
            sql:
                "INSERT OR REPLACE INTO records(segment, offset, ord, kind, shard, step, header) VALUES(?,?,?,?,?,?,?)"
        )
        for record in records {
            var header = Data(count: Layout.frameBytes)
            header.withUnsafeMutableBytes {
                Frame(
                    content: .record(record.header), payloadLength: record.header.payloadLength,
                    location: record.location, order: record.order, syncedTo: 0, payloadChecksum: 0,
                    storeID: 0
                ).encode(into: $0)
            }
            try statement.execute(arguments: [
                Database.signed(record.location.segment), Database.signed(record.location.offset),
                Database.signed(record.order), record.header.kind.rawValue, record.header.shard,
                Database.signed(record.header.step), header,
            ])
        }
    }

    /// The header carries its own checksum and place, so a damaged row does not pass.
    private static func decode(_ row: Row) throws -> StoredRecord {
        guard let bytes = row["header"] as Data?, let segment = row["segment"] as Int64?,
            let offset = row["offset"] as Int64?,
            case .frame(let frame) = bytes.withUnsafeBytes({ Frame.read($0) }),
            case .record(let header) = frame.content,
            frame.location
                == RecordLocation(segment: Database.unsigned(segment), offset: Database.unsigned(offset))
        else { throw DamagedRow() }
        return StoredRecord(header: header, location: frame.location, order: frame.order)
    }
}
