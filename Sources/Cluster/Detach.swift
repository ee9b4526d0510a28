import CSystem
import Foundation
import Synchronization

/// Starts a program that outlives its starter and its terminal, and waits until the program says it is ready.
///
/// The program finds the number of a pipe's descriptor in `VARVE_READY_FD` and writes one line there:
/// "ready" and what it has to say, or "failed: " and a sentence.
public enum Detach {
    /// What became of the start.
    public enum Result: Sendable, Hashable {
        /// It runs; `text` is what followed "ready".
        case ready(pid: Int32, text: String)
        /// It said why it can't run.
        case failed(pid: Int32, reason: String)
        /// It ended, or let go of the pipe, without a word; `cause` reads "exited with code 3".
        case ended(pid: Int32, cause: String)
        /// It said nothing in time and still runs; whether it may is for the caller to decide.
        case timedOut(pid: Int32)
        /// There is no process.
        case notStarted(cause: String)
    }

    static let readyVariable = "VARVE_READY_FD"
    /// A longer line is cut, so that no child can make us hold more.
    private static let lineLimitBytes = 16_384

    /// Starts the program in a session of its own, with stdin /dev/null and its output appended to `log`.
    ///
    /// `environment` comes on top of the inherited one. Signals that are blocked or ignored here are reset.
    public static func spawn(
        executable: String, arguments: [String], environment: [String: String] = [:], log: String,
        readyTimeoutSeconds: Double
    ) -> Result {
        var ends: [Int32] = [-1, -1]
        let code = varve_pipe(&ends)
        guard code == 0 else { return .notStarted(cause: "can't make a pipe: \(systemMessage(code))") }
        defer { close(ends[0]) }
        // Above the numbers that the child rearranges, which are free if we were started without them.
        let handed = fcntl(ends[1], F_DUPFD_CLOEXEC, 16)
        let duplicationError = errno
        close(ends[1])
        guard handed >= 0 else {
            return .notStarted(cause: "can't make a pipe: \(systemMessage(duplicationError))")
        }
        var variables = ProcessInfo.processInfo.environment.merging(environment) { _, extra in extra }
        variables[readyVariable] = "\(SpawnRequest.handedDescriptor)"
        // It outlives us, so it must not take us for a parent to die with.
        variables["VARVE_PARENT_PID"] = nil
        let request = SpawnRequest(
            executable: executable, arguments: arguments, environment: variables, log: log,
            leadsSession: true, handed: handed)
        let spawned = Swift.Result { () throws(SpawnFailure) in try request.spawn() }
        close(handed)
        switch spawned {
        case .success(let pid):
            return judge(pid: pid, readEnd: ends[0], deadline: .now + .seconds(readyTimeoutSeconds))
        case .failure(let failure): return .notStarted(cause: failure.description)
        }
    }

    /// Tells the starter, if there is one that waits, that this process is ready; only the first report counts.
    public static func reportReady(_ text: String = "") {
        report(text.isEmpty ? "ready" : "ready " + text)
    }

    /// Tells the starter, if there is one that waits, why this process can't run.
    public static func reportFailed(_ reason: String) { report("failed: " + reason) }
}

extension Detach {
    private static let reported = Mutex(false)

    private static func report(_ line: String) {
        let first = reported.withLock { reported in
            defer { reported = true }
            return !reported
        }
        guard first, let text = ProcessInfo.processInfo.environment[readyVariable],
            let descriptor = Int32(text), descriptor > 2
        else { return }
        // A stale variable must not make us write into a file or a connection of our own.
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFIFO else { return }
        var bytes = Array(line.map { $0.isNewline ? " " : $0 }.map(String.init).joined().utf8)
        bytes = bytes.prefix(lineLimitBytes - 1) + [UInt8(ascii: "\n")]
        // The starter may be gone; that is no reason to end.
        _ = varve_write_quietly(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    private static func judge(pid: Int32, readEnd: Int32, deadline: ContinuousClock.Instant) -> Result {
        switch readLine(from: readEnd, deadline: deadline) {
        case .late: return .timedOut(pid: pid)
        case .closed:
            guard let cause = end(of: pid, deadline: deadline) else {
                return .ended(pid: pid, cause: "closed its ready pipe without a word")
            }
            return .ended(pid: pid, cause: cause)
        case .line(let line):
            if line == "ready" { return .ready(pid: pid, text: "") }
            if line.hasPrefix("ready ") { return .ready(pid: pid, text: String(line.dropFirst(6))) }
            // It is about to end; reaping it leaves no zombie if we live on.
            _ = end(of: pid, deadline: min(deadline, .now + .seconds(1)))
            let said = line.hasPrefix("failed:") ? line.dropFirst(7) : line[...]
            return .failed(pid: pid, reason: said.trimmingCharacters(in: .whitespaces))
        }
    }

    private enum Reading {
        case line(String)
        case closed, late
    }

    private static func readLine(from descriptor: Int32, deadline: ContinuousClock.Instant) -> Reading {
        var line: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1024)
        while line.count < lineLimitBytes {
            guard isReadable(descriptor, deadline: deadline) else { return .late }
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return line.isEmpty ? .closed : .line(String(decoding: line, as: UTF8.self)) }
            line += buffer[..<count]
            if let newline = line.firstIndex(of: UInt8(ascii: "\n")) {
                return .line(String(decoding: line[..<newline], as: UTF8.self))
            }
        }
        return .line(String(decoding: line, as: UTF8.self))
    }

    /// Reaps the child and says how it ended; nil if it lives past the deadline.
    private static func end(of pid: Int32, deadline: ContinuousClock.Instant) -> String? {
        let descriptor = varve_pidfd_open(pid)
        defer { if descriptor >= 0 { close(descriptor) } }
        while true {
            var status: Int32 = 0
            let result = waitpid(pid, &status, WNOHANG)
            if result == pid { return endCause(status: status) }
            if result < 0, errno != EINTR { return "ended unseen" }
            if ContinuousClock.now >= deadline { return nil }
            if descriptor >= 0 { _ = isReadable(descriptor, deadline: deadline) } else { usleep(2000) }
        }
    }

    private static func isReadable(_ descriptor: Int32, deadline: ContinuousClock.Instant) -> Bool {
        while true {
            let left = ((deadline - .now) / .milliseconds(1)).rounded(.up)
            var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let count = poll(&watched, 1, Int32(clamping: Int(max(0, min(left, 1e9)))))
            if count > 0 { return true }
            if count == 0, ContinuousClock.now >= deadline { return false }
            if count < 0, errno != EINTR { return false }
        }
    }
}
