import CSystem
import Foundation
import Synchronization

/// What happened to a supervised node.
public enum SupervisorEvent: Sendable, Hashable {
    case started(node: String, pid: Int32, instance: Int)
    /// `cause` reads "killed by SIGKILL" or "exited with code 3"; `at` is when the supervisor saw the end.
    case exited(node: String, pid: Int32, cause: String, at: ContinuousClock.Instant)
    case startFailed(node: String, cause: String)
    /// The node died too often right after its start; it stays down until it is started anew.
    case givingUp(node: String)
}

/// Starts nodes as child processes, restarts those that end, and stops them all in order.
///
/// One thread, which lives until ``stopAll(order:grace:)``, starts and reaps every child: the kernel ties
/// PR_SET_PDEATHSIG to the thread that started the child. It sleeps until a child ends (pidfd) or is due, and
/// calls `onEvent` in the order of events and without a lock. Each child leads a process group, so that Ctrl-C
/// reaches `up` alone; stdin is /dev/null, stdout and stderr are appended to the log.
public final class Supervisor: Sendable {
    /// A program to keep alive; `arguments` exclude its own name.
    public struct Program: Sendable, Hashable {
        public var node: String
        public var executable: String
        public var arguments: [String]
        public var log: String
        /// Variables on top of the inherited ones.
        public var environment: [String: String]

        public init(
            node: String, executable: String, arguments: [String], log: String,
            environment: [String: String] = [:]
        ) {
            self.node = node
            self.executable = executable
            self.arguments = arguments
            self.log = log
            self.environment = environment
        }
    }

    struct Child {
        var program: Program
        /// 0 while it doesn't run.
        var pid: Int32 = 0
        /// Readable once the child has ended; negative where the kernel gives none.
        var endDescriptor: Int32 = -1
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
    private let policy: RestartPolicy
    private let alarm = WakePipe()
    private let threadEnd = DispatchGroup()

    public convenience init(onEvent: @escaping @Sendable (SupervisorEvent) -> Void) {
        self.init(policy: RestartPolicy(), onEvent: onEvent)
    }

    init(policy: RestartPolicy, onEvent: @escaping @Sendable (SupervisorEvent) -> Void) {
        report = onEvent
        self.policy = policy
        threadEnd.enter()
        let thread = Thread { [self] in
            run()
            threadEnd.leave()
        }
        thread.name = "supervisor"
        thread.start()
    }

    /// Starts a program, and starts it again whenever it ends.
    ///
    /// For a node that runs already, `program` counts from its next start on; after
    /// ``stopAll(order:grace:)`` nothing is started any more.
    public func start(_ program: Program) {
        state.withLock { state in
            if var child = state.children[program.node] {
                child.program = program
                if child.pid == 0, child.startAt == nil {
                    child.quickDeaths = 0
                    child.startAt = .now
                }
                state.children[program.node] = child
            } else {
                state.children[program.node] = Child(program: program)
            }
        }
        alarm.wake()
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
    /// Blocks until each has ended and every event was delivered; may be called again, but not from `onEvent`.
    /// Nodes that `order` leaves out are stopped last. A paused node is woken so that it hears of its end.
    public func stopAll(order: [String], grace seconds: Double) {
        let rest = state.withLock { state in
            state.stopping = true
            return state.children.keys.filter { !order.contains($0) }.sorted()
        }
        for node in order + rest {
            signal(node, SIGTERM)
            signal(node, SIGCONT)
            let deadline = ContinuousClock.now + .seconds(max(0, seconds))
            while pid(of: node) != nil, ContinuousClock.now < deadline { usleep(1000) }
            while pid(of: node) != nil {
                killGroup(of: node)
                usleep(1000)
            }
        }
        state.withLock { $0.ended = true }
        alarm.wake()
        threadEnd.wait()
    }

    /// With what the node has started itself, since nobody is left who would end that.
    private func killGroup(of node: String) {
        state.withLock { state in
            guard let child = state.children[node], child.pid > 0 else { return }
            kill(-child.pid, SIGKILL)
            kill(child.pid, SIGKILL)
        }
    }
}

// MARK: - The thread

extension Supervisor {
    private func run() {
        while true {
            let (events, ended) = state.withLock { (turn(&$0), $0.ended) }
            for event in events { report(event) }
            if ended { return }
            alarm.wait(state.withLock { Self.nextWait($0) })
        }
    }

    /// Reaps and starts whatever is due.
    private func turn(_ state: inout State) -> [SupervisorEvent] {
        var events: [SupervisorEvent] = []
        for node in state.children.keys.sorted() {
            guard var child = state.children[node] else { continue }
            reap(&child, &events)
            if !state.stopping, let due = child.startAt, due <= .now { begin(&child, &events) }
            state.children[node] = child
        }
        return events
    }

    private func reap(_ child: inout Child, _ events: inout [SupervisorEvent]) {
        guard child.pid > 0 else { return }
        var status: Int32 = 0
        let result = waitpid(child.pid, &status, WNOHANG)
        // ECHILD: someone else reaped it; it has ended all the same.
        guard result == child.pid || (result < 0 && errno == ECHILD) else { return }
        let now = ContinuousClock.now
        let cause = result < 0 ? "ended unseen" : endCause(status: status)
        events.append(.exited(node: child.program.node, pid: child.pid, cause: cause, at: now))
        if child.endDescriptor >= 0 { close(child.endDescriptor) }
        child.endDescriptor = -1
        child.pid = 0
        plan(&child, &events)
    }

    private func begin(_ child: inout Child, _ events: inout [SupervisorEvent]) {
        let program = child.program
        var environment = ProcessInfo.processInfo.environment
        // That descriptor was meant for us alone.
        environment[Detach.readyVariable] = nil
        environment.merge(program.environment) { _, extra in extra }
        environment["VARVE_PARENT_PID"] = "\(getpid())"
        let request = SpawnRequest(
            executable: program.executable, arguments: program.arguments, environment: environment,
            log: program.log)
        child.startAt = nil
        child.startedAt = .now
        do throws(SpawnFailure) {
            child.pid = try request.spawn()
            child.endDescriptor = varve_pidfd_open(child.pid)
            child.instance += 1
            events.append(.started(node: program.node, pid: child.pid, instance: child.instance))
        } catch {
            events.append(.startFailed(node: program.node, cause: error.description))
            plan(&child, &events)
        }
    }

    private func plan(_ child: inout Child, _ events: inout [SupervisorEvent]) {
        let now = ContinuousClock.now
        if let pause = policy.pause(lived: now - child.startedAt, quickDeaths: &child.quickDeaths) {
            child.startAt = now + pause
        } else {
            events.append(.givingUp(node: child.program.node))
        }
    }

    /// What to wait for: the ends of children, and the next start. Without a pidfd we look every 3 ms.
    private static func nextWait(_ state: State) -> WakePipe.Wait {
        var wait = WakePipe.Wait()
        for child in state.children.values {
            if child.pid > 0 {
                if child.endDescriptor >= 0 {
                    wait.descriptors.append(child.endDescriptor)
                } else {
                    wait.limit(milliseconds: 3)
                }
            } else if let due = child.startAt, !state.stopping {
                wait.limit(milliseconds: Int32(clamping: Int(((due - .now) / .milliseconds(1)).rounded(.up))))
            }
        }
        return wait
    }
}
