import CSystem
import Foundation

/// A child process of the drill, in a process group of its own so that Ctrl-C reaches the drill alone.
///
/// Its output goes to files: nothing blocks on a full pipe, and what it said is there after any end.
final class Subprocess: @unchecked Sendable {
    let pid: Int32
    private let lock = NSLock()
    private var status: Int32?

    struct Failure: Error { let sentence: String }

    /// - Parameter environment: variables on top of the inherited ones.
    init(
        _ executable: String, _ arguments: [String], environment extra: [String: String] = [:],
        output: String, errors: String
    ) throws(Failure) {
        let out = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        let err = open(errors, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        defer {
            close(out)
            close(err)
        }
        guard out >= 0, err >= 0 else { throw Failure(sentence: "can't write \(output)") }
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, out, 1)
        posix_spawn_file_actions_adddup2(&actions, err, 2)
        varve_spawn_close_from(&actions, 3)
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        sigdelset(&signals, SIGKILL)
        sigdelset(&signals, SIGSTOP)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, varve_spawn_flags(0))
        posix_spawnattr_setpgroup(&attributes, 0)
        let environment = ProcessInfo.processInfo.environment.merging(extra) { _, new in new }
        var words = ([executable] + arguments).map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in words + variables { free(pointer) } }
        var child: Int32 = 0
        let code = posix_spawnp(&child, executable, &actions, &attributes, &words, &variables)
        guard code == 0 else {
            throw Failure(sentence: "can't start \(executable): \(String(cString: strerror(code)))")
        }
        pid = child
    }

    /// The exit code, 128 + the signal that ended it, or nil while it runs.
    var exitCode: Int32? {
        lock.withLock {
            if status == nil {
                var raw: Int32 = 0
                if waitpid(pid, &raw, WNOHANG) == pid { status = raw }
            }
            return status.map { $0 & 0x7f == 0 ? ($0 >> 8) & 0xff : 128 + ($0 & 0x7f) }
        }
    }

    /// Sends a signal unless it has ended: the lock keeps its id from being reaped and reused.
    @discardableResult
    func signal(_ number: Int32) -> Bool {
        lock.withLock { status == nil && kill(pid, number) == 0 }
    }

    /// Waits for its end; nil when it goes on after the deadline.
    func wait(milliseconds: Int) -> Int32? {
        let deadline = ContinuousClock.now + .milliseconds(milliseconds)
        while true {
            if let code = exitCode { return code }
            if ContinuousClock.now >= deadline { return nil }
            usleep(2000)
        }
    }

    /// Ends it, in any case, with everything in its process group.
    func end(graceMilliseconds: Int) {
        guard exitCode == nil else { return }
        signal(SIGTERM)
        signal(SIGCONT)
        if wait(milliseconds: graceMilliseconds) != nil { return }
        kill(-pid, SIGKILL)
        _ = wait(milliseconds: 5000)
    }

    /// Runs a program to its end and returns what it said; a nil code when it had to be ended.
    static func run(
        _ executable: String, _ arguments: [String], folder: String, milliseconds: Int,
        environment: [String: String] = [:], stop: () -> Bool = { false }
    ) throws(Failure) -> (code: Int32?, output: String, errors: String) {
        let stem = "\(folder)/command-\(UInt64.random(in: 0...UInt64.max))"
        defer {
            unlink(stem + ".out")
            unlink(stem + ".err")
        }
        let child = try Subprocess(
            executable, arguments, environment: environment, output: stem + ".out", errors: stem + ".err")
        let deadline = ContinuousClock.now + .milliseconds(milliseconds)
        while child.exitCode == nil, ContinuousClock.now < deadline, !stop() { usleep(2000) }
        let code = child.exitCode
        if code == nil { child.end(graceMilliseconds: 200) }
        let output = (try? String(contentsOfFile: stem + ".out", encoding: .utf8)) ?? ""
        let errors = (try? String(contentsOfFile: stem + ".err", encoding: .utf8)) ?? ""
        return (code, output, errors)
    }
}
