import CSystem
import Foundation

/// Holds a run directory's lock until it is released; the kernel releases it with the process too.
public final class RunLock: Sendable {
    private let descriptor: Int32
    private let pidPath: String

    /// For a descriptor that is locked.
    fileprivate init(descriptor: Int32, pidPath: String) {
        self.descriptor = descriptor
        self.pidPath = pidPath
    }

    deinit {
        // Before the lock goes, so that the next holder's file stays.
        unlink(pidPath)
        ftruncate(descriptor, 0)
        close(descriptor)
    }
}

extension RunDirectory {
    /// Takes the exclusive lock for as long as the result lives, and writes `up.pid`.
    ///
    /// The lock file names the holder together with the time of its start, so that a holder that was killed is
    /// never taken for the present one, even if its process id has been given to another process.
    public func lock() throws(RunDirectoryError) -> RunLock {
        let descriptor = Foundation.open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw RunDirectoryError(errorNumber: errno, doing: "lock", path: lockPath)
        }
        let code = varve_lock_exclusively(descriptor)
        guard code == 0 else {
            close(descriptor)
            guard code == EWOULDBLOCK else {
                throw RunDirectoryError(errorNumber: code, doing: "lock", path: lockPath)
            }
            throw inUse()
        }
        let lock = RunLock(descriptor: descriptor, pidPath: pidPath)
        unlink(pidPath)
        ftruncate(descriptor, 0)
        let pid = getpid()
        let failure = writeWhole(descriptor, "\(pid) \(Self.startTime(of: pid) ?? "?")\n")
        guard failure == 0 else {
            throw RunDirectoryError(errorNumber: failure, doing: "write", path: lockPath)
        }
        var builder = RunDirectoryBuilder()
        let temporary = "\(pidPath).\(pid)"
        unlink(temporary)
        try builder.makeFile(temporary, "\(pid)")
        guard rename(temporary, pidPath) == 0 else {
            throw RunDirectoryError(errorNumber: errno, doing: "write", path: pidPath)
        }
        return lock
    }

    /// The process that holds the run, or nil if none does; doesn't touch the lock.
    public func holder() -> Int32? { Self.holder(lockPath: lockPath) }

    static func holder(lockPath: String) -> Int32? {
        guard let text = try? String(contentsOfFile: lockPath, encoding: .utf8) else { return nil }
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let pid = Int32(words[0]), let started = startTime(of: pid),
            started == words[1]
        else { return nil }
        return pid
    }

    /// Between a lock and its holder's name lies an instant, which is waited for.
    private func inUse() -> RunDirectoryError {
        let deadline = ContinuousClock.now + .milliseconds(500)
        while ContinuousClock.now < deadline {
            if let pid = holder() { return Self.inUse(path: path, pid: pid) }
            usleep(2000)
        }
        return Self.inUse(path: path, pid: nil)
    }

    static func inUse(path: String, pid: Int32?) -> RunDirectoryError {
        let who = pid.map { "varve up with pid \($0)" } ?? "another process"
        return RunDirectoryError(
            .inUse(pid: pid), "\(path) is in use by \(who); stop it with varve down --run-dir \(path)",
            exitCode: 1)
    }

    /// When a process started, in the kernel's ticks since boot; nil if it has ended.
    private static func startTime(of pid: Int32) -> String? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            let end = text.lastIndex(of: ")")
        else { return nil }
        // A program's name stands in parentheses and may hold anything; the state follows, then numbers.
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
        return String(fields[19])
    }
}
