import CSystem
import Foundation
import Synchronization

/// What happened to a supervised node.
public enum SupervisorEvent: Sendable, Hashable {
    case started(node: String, pid: Int32, instance: Int)
    case exited(node: String, pid: Int32, cause: String)
    case startFailed(node: String, cause: String)
    case givingUp(node: String)
}

/// Starts nodes as child processes, restarts those that end, and stops them all in order.
///
/// One thread of its own starts and reaps every child, because the kernel ties PR_SET_PDEATHSIG to the thread
/// that started the child. Each child leads a process group, so that Ctrl-C reaches `up` alone. The thread
/// looks for ended children every 3 ms.
public final class Supervisor: Sendable {
    /// A program to keep alive; `arguments` exclude its own name.
    public struct Program: Sendable, Hashable {
        public var node: String
        public var executable: String
        public var arguments: [String]
        public var log: String

        public init(node: String, executable: String, arguments: [String], log: String) {
            self.node = node
            self.executable = executable
            self.arguments = arguments
            self.log = log
        }
    }

    struct Child {
        var program: Program
        var pid: Int32 = 0
        var instance = 0
        var quickDeaths = 0
        var startedAt = ContinuousClock.now
        var startAt: ContinuousClock.Instant? = .now
    }
    struct State {
        var children: [String: Child] = [:]
        var stopping = false
        var ended = false
    }

    private let state = Mutex(State())
    private let report: @Sendable (SupervisorEvent) -> Void
    private static let quickDeathLimit = 20

    public init(onEvent: @escaping @Sendable (SupervisorEvent) -> Void) {
        report = onEvent
        let thread = Thread { [self] in
            while !state.withLock({ $0.ended }) {
                for event in state.withLock({ Self.turn(&$0) }) { report(event) }
                usleep(3000)
            }
        }
        thread.name = "supervisor"
        thread.start()
    }

    /// Starts a program, and starts it again whenever it ends.
    public func start(_ program: Program) {
        state.withLock { $0.children[program.node] = Child(program: program) }
    }

    /// The process id of a node that runs.
    public func pid(of node: String) -> Int32? {
        state.withLock { $0.children[node].flatMap { $0.pid > 0 ? $0.pid : nil } }
    }

    /// Sends a signal; false if the node doesn't run. The lock keeps the id from being reaped and reused.
    @discardableResult
    public func signal(_ node: String, _ signal: Int32) -> Bool {
        state.withLock { state in
            guard let child = state.children[node], child.pid > 0 else { return false }
            return kill(child.pid, signal) == 0
        }
    }

    /// Stops the nodes one after another (SIGTERM, then SIGKILL after `grace` seconds), then the thread.
    ///
    /// Blocks until each has ended. Nodes that `order` leaves out are stopped last.
    public func stopAll(order: [String], grace seconds: Double) {
        let rest = state.withLock { state in
            state.stopping = true
            return state.children.keys.filter { !order.contains($0) }.sorted()
        }
        for node in order + rest {
            signal(node, SIGTERM)
            signal(node, SIGCONT)
            let deadline = ContinuousClock.now + .seconds(seconds)
            while pid(of: node) != nil, ContinuousClock.now < deadline { usleep(2000) }
            while pid(of: node) != nil {
                signal(node, SIGKILL)
                usleep(2000)
            }
        }
        state.withLock { $0.ended = true }
    }

    /// Reaps and starts whatever is due.
    private static func turn(_ state: inout State) -> [SupervisorEvent] {
        var events: [SupervisorEvent] = []
        let now = ContinuousClock.now
        for node in state.children.keys.sorted() {
            guard var child = state.children[node] else { continue }
            if child.pid > 0 {
                var status: Int32 = 0
                guard waitpid(child.pid, &status, WNOHANG) == child.pid else { continue }
                events.append(.exited(node: node, pid: child.pid, cause: cause(status)))
                child.pid = 0
                plan(&child, now: now, &events)
            }
            if !state.stopping, let due = child.startAt, due <= now {
                child.startAt = nil
                child.startedAt = now
                switch spawn(child.program) {
                case .success(let pid):
                    child.pid = pid
                    child.instance += 1
                    events.append(.started(node: node, pid: pid, instance: child.instance))
                case .failure(let failure):
                    events.append(.startFailed(node: node, cause: failure.description))
                    plan(&child, now: now, &events)
                }
            }
            state.children[node] = child
        }
        return events
    }

    /// The first restart is immediate, since recovery time counts; quick deaths back off from 100 ms to 2 s.
    private static func plan(
        _ child: inout Child, now: ContinuousClock.Instant, _ events: inout [SupervisorEvent]
    ) {
        let lived = now - child.startedAt
        if lived > .seconds(10) { child.quickDeaths = 0 }
        if lived < .seconds(1) { child.quickDeaths += 1 }
        guard child.quickDeaths < quickDeathLimit else {
            events.append(.givingUp(node: child.program.node))
            child.startAt = nil
            return
        }
        let doublings = child.quickDeaths - 2
        child.startAt = doublings < 0 ? now : now + .milliseconds(min(2000, 100 << min(doublings, 5)))
    }

    private static func cause(_ status: Int32) -> String {
        let signal = status & 0x7f
        if signal == 0 { return "exited with code \((status >> 8) & 0xff)" }
        let names = [SIGKILL: "SIGKILL", SIGTERM: "SIGTERM", SIGSEGV: "SIGSEGV", SIGABRT: "SIGABRT"]
        return "killed by " + (names[signal] ?? "signal \(signal)")
    }

    private struct SpawnFailure: Error, CustomStringConvertible { let description: String }

    private static func spawn(_ program: Program) -> Result<Int32, SpawnFailure> {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, program.log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Nothing of ours but 0, 1 and 2 reaches a child.
        varve_spawn_close_from(&actions, 3)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        posix_spawnattr_setpgroup(&attributes, 0)
        var environment = ProcessInfo.processInfo.environment
        environment["VARVE_PARENT_PID"] = "\(getpid())"
        var arguments = ([program.executable] + program.arguments).map { strdup($0) } + [nil]
        var variables = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var pid: Int32 = 0
        let code = posix_spawn(&pid, program.executable, &actions, &attributes, &arguments, &variables)
        guard code == 0 else {
            return .failure(
                .init(description: "can't start \(program.executable): \(String(cString: strerror(code)))"))
        }
        return .success(pid)
    }
}
