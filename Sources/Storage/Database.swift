import Foundation
import GRDB

/// What the two databases share: how they are opened and how SQLite's errors become ours.
enum Database {
    /// Opens a database in WAL mode; `full` makes every commit durable by one fsync.
    static func open(_ path: String, full: Bool) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(5)
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        // Only after opening: GRDB sets NORMAL when it turns WAL on, and a commit would not be durable.
        try queue.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA synchronous = \(full ? "FULL" : "NORMAL")")
            guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == (full ? 2 : 1) else {
                throw StorageError.database(
                    path: path, code: 0, message: "the synchronous mode was not taken")
            }
        }
        return queue
    }

    static func error(_ error: any Error, path: String) -> StorageError {
        if let error = error as? StorageError { return error }
        guard let error = error as? DatabaseError else {
            return .database(path: path, code: -1, message: String(describing: error))
        }
        switch error.resultCode {
        case .SQLITE_FULL: return .noSpace(path: path, call: "a transaction")
        case .SQLITE_IOERR: return .inputOutput(path: path, call: "a transaction", code: ioErrorCode)
        case .SQLITE_READONLY: return .readOnly(path: path)
        case .SQLITE_BUSY, .SQLITE_LOCKED: return .inUse(path: path)
        default:
            return .database(
                path: path, code: error.extendedResultCode.rawValue, message: error.message ?? "no message")
        }
    }

    static func isDamage(_ error: any Error) -> Bool {
        guard let error = error as? DatabaseError else { return error is DamagedRow }
        return error.resultCode == .SQLITE_CORRUPT || error.resultCode == .SQLITE_NOTADB
            || error.resultCode == .SQLITE_ERROR
    }

    /// SQLite's integers are signed; identifiers go in with their bits unchanged.
    static func signed(_ value: UInt64) -> Int64 { Int64(bitPattern: value) }
    static func unsigned(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }
}

/// A row that can't have been written by this program.
struct DamagedRow: Error {}
