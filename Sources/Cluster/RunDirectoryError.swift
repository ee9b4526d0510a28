import Foundation

/// Why a run directory can't be used: one sentence that says what to do, and the exit code of the command.
public struct RunDirectoryError: Error, Sendable, Hashable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// There is something else at the path, and it isn't a run.
        case notARunDirectory
        /// There is a run at the path, which nobody holds; it can be continued.
        case holdsARun
        /// Another process holds the run; nil if it can't be told which.
        case inUse(pid: Int32?)
        case notWritable
        case diskFull
        /// It is a run, but of another version or damaged.
        case malformed
        /// The system said something else.
        case system(errorNumber: Int32)
    }

    public let kind: Kind
    public let description: String
    public let exitCode: Int32

    init(_ kind: Kind, _ description: String, exitCode: Int32) {
        self.kind = kind
        self.description = description
        self.exitCode = exitCode
    }

    /// From what the system refused to do at `path`.
    init(errorNumber: Int32, doing: String, path: String) {
        let what = "can't \(doing) \(path): "
        switch errorNumber {
        case ENOSPC, EDQUOT:
            self.init(
                .diskFull, what + "the disk is full; make room or name another --run-dir", exitCode: 1)
        case EROFS:
            self.init(
                .notWritable, what + "the file system is read-only; name another --run-dir", exitCode: 1)
        case EACCES, EPERM:
            self.init(
                .notWritable, what + "permission denied; mend its rights or name another --run-dir",
                exitCode: 1)
        case ENOTDIR:
            self.init(
                .notARunDirectory, what + "a part of this path is not a folder; name another --run-dir",
                exitCode: 64)
        default:
            self.init(
                .system(errorNumber: errorNumber), what + systemMessage(errorNumber), exitCode: 1)
        }
    }
}
