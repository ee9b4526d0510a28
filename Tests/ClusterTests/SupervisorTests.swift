import Foundation
import Synchronization
import Testing

@testable import Cluster

@Suite(.serialized, .timeLimit(.minutes(1)))
struct SupervisorTests {
    /// A supervisor whose events are kept, in a folder of its own.
    final class Bench: Sendable {
        let folder: String
        let events: EventLog
        let supervisor: Supervisor

        init(policy: RestartPolicy = RestartPolicy()) throws {
            folder = NSTemporaryDirectory() + "varve-supervisor-\(UUID().uuidString)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let events = EventLog()
            self.events = events
            supervisor = Supervisor(policy: policy) { events.add($0) }
        }

        var log: String { folder + "/node.log" }

        func shell(_ script: String, node: String = "n", environment: [String: String] = [:]) {
            supervisor.start(
                .init(
                    node: node, executable: "/bin/sh", arguments: ["-c", script], log: log,
                    environment: environment))
        }

        func logText() -> String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

        func end() {
            supervisor.stopAll(order: [], grace: 0.2)
            try? FileManager.default.removeItem(atPath: folder)
        }
    }

    final class EventLog: Sendable {
        private let kept = Mutex<[SupervisorEvent]>([])
        func add(_ event: SupervisorEvent) { kept.withLock { $0.append(event) } }
        var all: [SupervisorEvent] { kept.withLock { $0 } }
        var starts: [Int32] {
            all.compactMap { if case .started(_, let pid, _) = $0 { pid } else { nil } }
        }
        var causes: [String] {
            all.compactMap { if case .exited(_, _, let cause, _) = $0 { cause } else { nil } }
        }
    }

    @Test func restartsAKilledChildAtOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        bench.shell("exec sleep 100")
        try #require(eventually { bench.supervisor.pid(of: "n") != nil })
        let first = try #require(bench.supervisor.pid(of: "n"))
        let killed = ContinuousClock.now
        #expect(bench.supervisor.signal("n", SIGKILL))
        try #require(eventually { bench.events.starts.count == 2 })
        let ends = bench.events.all.compactMap { event -> ContinuousClock.Instant? in
            guard case .exited("n", first, "killed by SIGKILL", let at) = event else { return nil }
            return at
        }
        let seen = try #require(ends.first)
        #expect(seen - killed < .milliseconds(500))
        #expect(seen >= killed)
        #expect(bench.supervisor.pid(of: "n") != first)
        #expect(!bench.supervisor.signal("other", SIGKILL))
    }

    @Test func pausesGrowAndEnd() {
        let policy = RestartPolicy()
        var deaths = 0
        var pauses: [Duration?] = []
        for _ in 0..<20 { pauses.append(policy.pause(lived: .milliseconds(5), quickDeaths: &deaths)) }
        let growing: [Duration] = [.zero] + [100, 200, 400, 800, 1600].map { .milliseconds($0) }
        #expect(pauses == growing + Array(repeating: .seconds(2), count: 13) + [nil])
        deaths = 7
        #expect(policy.pause(lived: .seconds(2), quickDeaths: &deaths) == .zero)
        #expect(deaths == 7)
        #expect(policy.pause(lived: .seconds(10), quickDeaths: &deaths) == .zero)
        #expect(deaths == 0)
    }

    @Test func givesUpAndStartsAnewWhenAsked() throws {
        let bench = try Bench(
            policy: RestartPolicy(
                firstPause: .milliseconds(1), longestPause: .milliseconds(4), quickDeathLimit: 6))
        defer { bench.end() }
        let program = Supervisor.Program(
            node: "n", executable: "/bin/false", arguments: [], log: bench.log)
        bench.supervisor.start(program)
        try #require(eventually { bench.events.all.last == .givingUp(node: "n") })
        #expect(bench.events.causes == Array(repeating: "exited with code 1", count: 6))
        #expect(bench.supervisor.pid(of: "n") == nil)
        bench.supervisor.start(program)
        try #require(eventually { bench.events.all.filter { $0 == .givingUp(node: "n") }.count == 2 })
    }

    @Test func saysWhyAProgramCannotStart() throws {
        let bench = try Bench(policy: RestartPolicy(quickDeathLimit: 1))
        defer { bench.end() }
        bench.supervisor.start(
            .init(node: "a", executable: "/no/such/program", arguments: [], log: bench.log))
        bench.supervisor.start(
            .init(node: "b", executable: "/bin/true", arguments: [], log: bench.folder + "/no/log"))
        try #require(eventually { bench.events.all.count == 4 })
        #expect(
            bench.events.all.contains(
                .startFailed(
                    node: "a", cause: "can't start /no/such/program: No such file or directory")))
        #expect(
            bench.events.all.contains(
                .startFailed(
                    node: "b",
                    cause: "can't write the log \(bench.folder)/no/log: No such file or directory")))
    }

    @Test func stopsDeafAndPausedChildrenInOrder() throws {
        let bench = try Bench()
        defer { bench.end() }
        bench.shell("trap '' TERM; echo deaf; while :; do sleep 1; done", node: "deaf")
        bench.shell("trap 'exit 0' TERM; echo polite; while :; do sleep 0.01; done", node: "polite")
        bench.shell("echo paused; exec sleep 100", node: "paused")
        let words = ["deaf", "polite", "paused"]
        try #require(
            eventually { words.allSatisfy(bench.logText().contains) && bench.events.starts.count == 3 })
        let pids = bench.events.starts
        bench.supervisor.signal("paused", SIGSTOP)
        bench.supervisor.stopAll(order: ["polite", "deaf"], grace: 0.3)
        // Every event is there when the call returns.
        let ends = bench.events.all.compactMap { event -> String? in
            guard case .exited(let node, _, let cause, _) = event else { return nil }
            return "\(node) \(cause)"
        }
        #expect(
            ends == ["polite exited with code 0", "deaf killed by SIGKILL", "paused killed by SIGTERM"])
        #expect(bench.events.starts.count == 3)
        for pid in pids { #expect(kill(pid, 0) != 0) }
        bench.shell("exec sleep 100", node: "late")
        bench.end()
        #expect(bench.events.starts.count == 3)
    }

    @Test func childrenInheritNothingButTheLogAndTheEnvironment() throws {
        // A blocked and an ignored signal, and a descriptor that an exec would not close.
        let leaked = dup(2)
        let high = fcntl(leaked, F_DUPFD, 200)
        defer {
            close(leaked)
            close(high)
        }
        var (blocked, before) = (sigset_t(), sigset_t())
        sigemptyset(&blocked)
        sigaddset(&blocked, SIGUSR1)
        pthread_sigmask(SIG_BLOCK, &blocked, &before)
        let handler = Foundation.signal(SIGUSR2, SIG_IGN)
        defer {
            pthread_sigmask(SIG_SETMASK, &before, nil)
            _ = Foundation.signal(SIGUSR2, handler)
        }
        // Its thread inherits the mask.
        let bench = try Bench()
        defer { bench.end() }
        try "before\n".write(toFile: bench.log, atomically: true, encoding: .utf8)
        bench.shell(
            """
            echo parent $VARVE_PARENT_PID $PPID $EXTRA
            ls -l /proc/self/fd | sed -n 's/.* \\([0-9]*\\) -> /fd \\1 /p'
            grep -E 'SigBlk|SigIgn' /proc/self/status
            echo end >&2
            exec sleep 100
            """, environment: ["EXTRA": "1"])
        try #require(eventually { bench.logText().contains("end\n") })
        let text = bench.logText()
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.first == "before")
        #expect(lines.contains("parent \(getpid()) \(getpid()) 1"))
        let descriptors = lines.filter { $0.hasPrefix("fd ") }.map { $0.split(separator: " ")[1] }
        // ls itself has the listing open as 3; its output goes into a pipe.
        #expect(descriptors == ["0", "1", "2", "3"])
        #expect(text.contains("fd 0 /dev/null"))
        #expect(text.contains("fd 2 \(bench.log)"))
        #expect(text.contains("SigBlk:\t0000000000000000"))
        // The C library keeps its own two signals (32 and 33) ignored in whatever it spawns.
        let ignored = try #require(lines.first { $0.hasPrefix("SigIgn:") }).dropFirst(8)
        #expect(try #require(UInt64(ignored, radix: 16)) & 0x7fff_ffff == 0)
        let pid = try #require(bench.supervisor.pid(of: "n"))
        #expect(getpgid(pid) == pid)
    }

    @Test func keepsNoDescriptorsOfTheDead() throws {
        let bench = try Bench()
        defer { bench.end() }
        let limit = RestartPolicy(
            firstPause: .milliseconds(1), longestPause: .milliseconds(1), quickDeathLimit: 50)
        let busy = try Bench(policy: limit)
        let own = { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
        let before = try own()
        busy.shell("exit 3")
        try #require(eventually { busy.events.all.last == .givingUp(node: "n") })
        #expect(busy.events.causes == Array(repeating: "exited with code 3", count: 50))
        busy.end()
        // Other suites open and close files meanwhile; a leak would count 50.
        #expect(try own() < before + 25)
    }

    @Test(arguments: [false, true])
    func nothingOutlivesAKilledSupervisor(paused: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let tools = try toolFolder()
        let process = Process()
        process.executableURL = tools.appendingPathComponent("supervise-probe")
        process.arguments = ["supervise", bench.log]
        process.standardOutput = FileHandle.nullDevice
        let ended = DispatchSemaphore(value: 0)
        process.terminationHandler = { _ in ended.signal() }
        try process.run()
        defer { kill(process.processIdentifier, SIGKILL) }
        let tied = {
            bench.logText().split(separator: "\n").compactMap { line in
                line.hasPrefix("tied ") ? Int32(line.dropFirst(5)) : nil
            }
        }
        try #require(eventually { tied().count == 3 })
        let pids = tied()
        for pid in pids {
            #expect(kill(pid, 0) == 0)
            if paused { kill(pid, SIGSTOP) }
        }
        kill(process.processIdentifier, SIGKILL)
        #expect(ended.wait(timeout: .now() + 10) == .success)
        #expect(eventually { pids.allSatisfy { !isAlive($0) } })
        for pid in pids where isAlive(pid) { kill(pid, SIGKILL) }
    }
}

/// Looks again and again for up to ten seconds; whether it came true.
func eventually(seconds: Double = 10, _ condition: () -> Bool) -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while !condition() {
        if ContinuousClock.now >= deadline { return false }
        usleep(500)
    }
    return true
}

/// A zombie that nobody reaps has ended, too.
func isAlive(_ pid: Int32) -> Bool {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
        let state = text.split(separator: ")").last?.split(separator: " ").first
    else { return false }
    return state != "Z" && state != "X"
}

/// The executables lie beside the test bundle.
func toolFolder() throws -> URL {
    let bundle = try #require(CommandLine.arguments.first { $0.contains(".xctest") })
    return URL(fileURLWithPath: bundle.components(separatedBy: ".xctest")[0]).deletingLastPathComponent()
}
