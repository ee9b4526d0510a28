import Glibc

/// Why an operation on the disk did not happen, in a form that the caller can act on.
///
/// `description` is one sentence that says what, where, and what to do.
public enum StorageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The disk or the quota is full (ENOSPC, EDQUOT); the log stays usable, and what was synced is safe.
    case noSpace(path: String, call: String)
    /// The device failed (EIO and its kin).
    case inputOutput(path: String, call: String, code: Int32)
    /// The file system is mounted read-only, or the log was opened to be read only.
    case readOnly(path: String)
    /// Any other failure of a system call.
    case system(path: String, call: String, code: Int32)
    /// An earlier fsync or write failed in a way that leaves the disk's content unknown: reopen the log.
    case poisoned(path: String, cause: String)
    /// What stands at the place can't be trusted: fetch it from a peer.
    case damaged(Finding)
    /// No record starts at this place.
    case noRecord(path: String, location: RecordLocation)
    /// A length is above the configured limit; nothing was allocated.
    case tooLarge(path: String, lengthBytes: UInt64, limitBytes: UInt64)
    /// The directory belongs to another store.
    case wrongStore(path: String, found: UInt64, expected: UInt64)
    /// The file was written by a format version that this program does not know.
    case unsupportedVersion(path: String, version: UInt32)
    /// Another process holds the directory or the database.
    case inUse(path: String)
    /// The log or database was closed.
    case closed(path: String)
    /// Another incarnation took over as leader; nothing was written.
    case notLeader(leader: String, current: String?)
    /// The database reports something that is none of the above.
    case database(path: String, code: Int32, message: String)
    /// The caller's argument can't be stored.
    case invalidArgument(String)

    /// Sorts a failed system call into the cases above.
    init(path: String, call: String, code: Int32) {
        switch code {
        case ENOSPC, EDQUOT: self = .noSpace(path: path, call: call)
        case EIO, ENXIO, ENODEV: self = .inputOutput(path: path, call: call, code: code)
        case EROFS: self = .readOnly(path: path)
        case EWOULDBLOCK: self = .inUse(path: path)
        default: self = .system(path: path, call: call, code: code)
        }
    }

    public var description: String {
        switch self {
        case .noSpace(let path, let call):
            "no space left for \(path) (\(call)); free some space, then retry"
        case .inputOutput(let path, let call, let code):
            "the disk failed in \(call) of \(path): \(Self.text(of: code)); replace it or restore from peers"
        case .readOnly(let path):
            "\(path) can't be written: it is read-only; remount or open it for writing"
        case .system(let path, let call, let code):
            "\(call) of \(path) failed: \(Self.text(of: code)); see that it exists and is accessible"
        case .poisoned(let path, let cause):
            "\(path) is closed to every use since \(cause); restart the node so that it is scanned again"
        case .damaged(let finding):
            "\(finding); fetch the record from a peer"
        case .noRecord(let path, let location):
            "no record starts at \(location) in \(path); look it up again in the index"
        case .tooLarge(let path, let length, let limit):
            "a length of \(length) bytes in \(path) is above the limit of \(limit) bytes; raise the limit or split it"
        case .wrongStore(let path, let found, let expected):
            "\(path) belongs to another store or another run (\(hex(found)), expected \(hex(expected))); point the node at its own directory, or at an empty one"
        case .unsupportedVersion(let path, let version):
            "\(path) has format version \(version), which this program does not know; use a newer varve"
        case .inUse(let path):
            "\(path) is held by another process; stop that process first"
        case .closed(let path):
            "\(path) was closed before this call; open it again"
        case .notLeader(let leader, let current):
            "\(leader) is no longer leader, \(current ?? "nobody") is; nothing was written, stop this coordinator"
        case .database(let path, let code, let message):
            "database \(path) failed with code \(code): \(message); check the file or restore it"
        case .invalidArgument(let what):
            "\(what); correct the caller"
        }
    }

    static func text(of code: Int32) -> String {
        guard let text = strerror(code) else { return "error \(code)" }
        return String(cString: text)
    }
}

/// Sixteen hexadecimal digits, as in the names of segment files.
func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
