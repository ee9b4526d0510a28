import CSystem
import Foundation

/// How a child process is started: everything about it that isn't inherited.
struct SpawnRequest {
    /// The number under which a child finds a descriptor that is handed to it.
    static let handedDescriptor: Int32 = 3

    var executable: String
    /// Without the program's own name.
    var arguments: [String]
    /// The whole environment of the child.
    var environment: [String: String]
    /// Gets stdout and stderr, appended.
    var log: String
    /// A session of its own, without a terminal; otherwise a process group of its own.
    var leadsSession = false
    /// A descriptor that the child gets as ``handedDescriptor``.
    var handed: Int32?
}

/// Why a child couldn't be started, in one sentence.
struct SpawnFailure: Error, CustomStringConvertible { let description: String }

extension SpawnRequest {
    /// Starts the child and returns its process id.
    ///
    /// Signals that we block or ignore are reset, since a child would inherit both; stdin is /dev/null; no other
    /// descriptor of ours gets through. The log is opened here so that a failure can be told from a missing program.
    func spawn() throws(SpawnFailure) -> Int32 {
        let output = try openLog()
        defer { close(output) }
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        // In this order even a log that got one of the numbers 0 to 2 survives.
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let handed { posix_spawn_file_actions_adddup2(&actions, handed, Self.handedDescriptor) }
        varve_spawn_close_from(&actions, Self.handedDescriptor + (handed == nil ? 0 : 1))

        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        sigdelset(&signals, SIGKILL)
        sigdelset(&signals, SIGSTOP)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, varve_spawn_flags(leadsSession ? 1 : 0))
        posix_spawnattr_setpgroup(&attributes, 0)

        var words = ([executable] + arguments).map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in words + variables { free(pointer) } }
        var pid: Int32 = 0
        let code = posix_spawn(&pid, executable, &actions, &attributes, &words, &variables)
        guard code == 0 else {
            throw SpawnFailure(description: "can't start \(executable): \(systemMessage(code))")
        }
        return pid
    }

    private func openLog() throws(SpawnFailure) -> Int32 {
        let opened = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard opened >= 0 else {
            throw SpawnFailure(description: "can't write the log \(log): \(systemMessage(errno))")
        }
        return opened
    }
}

/// What the system says about an error number.
func systemMessage(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    varve_error_text(code, &buffer, buffer.count)
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The sentence for what `waitpid` said of a child that ended.
func endCause(status: Int32) -> String {
    let signal = status & 0x7f
    if signal == 0 { return "exited with code \((status >> 8) & 0xff)" }
    let names = [
        SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP",
        SIGABRT: "SIGABRT", SIGBUS: "SIGBUS", SIGFPE: "SIGFPE", SIGKILL: "SIGKILL", SIGSEGV: "SIGSEGV",
        SIGPIPE: "SIGPIPE", SIGTERM: "SIGTERM", SIGXCPU: "SIGXCPU", SIGXFSZ: "SIGXFSZ", SIGUSR1: "SIGUSR1",
        SIGUSR2: "SIGUSR2", SIGALRM: "SIGALRM", SIGSYS: "SIGSYS",
    ]
    return "killed by " + (names[signal] ?? "signal \(signal)")
}
