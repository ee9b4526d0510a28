import Cluster
import Foundation
import Synchronization

/// What a drill needs from outside.
public struct DrillSettings: Sendable {
    /// The varve program that is put to the test.
    public var executable: String
    /// Instead of the file's own seed.
    public var seed: UInt64?
    public var onEntry: @Sendable (HistoryEntry) -> Void
    /// Ctrl-C and the like.
    public var isCancelled: @Sendable () -> Bool

    public init(
        executable: String, seed: UInt64? = nil,
        onEntry: @escaping @Sendable (HistoryEntry) -> Void = { _ in },
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.executable = executable
        self.seed = seed
        self.onEntry = onEntry
        self.isCancelled = isCancelled
    }
}

/// Why a drill does not go on.
enum DrillStop: Error {
    case failed(String)
    case notInjected(String)
    case broken(String)
}

/// One run of one drill on real processes.
///
/// Invariants
/// - Whatever happens, every process, mount and folder that the drill made is gone when ``run()`` returns.
/// - A fault counts only once it was seen to strike; one that wasn't makes the verdict `not run`.
/// - Which nodes are struck depends on the seed and the order of the firings alone.
public final class DrillRun: Sendable {
    struct Active: Sendable {
        var step: String
        var id: Int
        var injection: Injection
    }
    struct State {
        var random: DrillRandom
        var active: [Active] = []
        var nextID = 1
        /// When the newest fault step began, and when each node was last struck since.
        var faultBegan = 0.0
        var struck: [String: Double] = [:]
        var firstStrike: Double?
        var lastHealed = 0.0
        var failure: DrillStop?
    }

    let drill: DrillFile
    let settings: DrillSettings
    let seed: UInt64
    let clock = DrillClock()
    let history: History
    let scratch: String
    let state: Mutex<State>
    /// Small file systems that stand in for disks, until the end.
    let mounts = Mutex<[String]>([])
    let deadline: ContinuousClock.Instant

    /// - Note: call ``run()`` on a thread that lives as long as the drill.
    public init(_ drill: DrillFile, settings: DrillSettings) {
        self.drill = drill
        self.settings = settings
        seed = settings.seed ?? drill.seed
        history = History(clock: clock, onEntry: settings.onEntry)
        let unique = String(UInt64.random(in: 0...UInt64.max), radix: 36)
        let folder = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
        scratch =
            (folder.hasSuffix("/") ? String(folder.dropLast()) : folder)
            + "/varve-drill-\(getpid())-\(unique)"
        state = Mutex(State(random: DrillRandom(seed: seed)))
        deadline = .now + .milliseconds(drill.timeoutMilliseconds)
    }

    public func run() -> DrillResult {
        var result = DrillResult(
            name: drill.name, about: drill.about, path: drill.path, seed: seed, verdict: .broken, reason: "",
            wallMilliseconds: 0)
        result.command = drill.command ?? "varve drill run \(drill.path) --seed \(seed)"
        result.nodes = NodeRole.allCases.flatMap { $0.nodes(in: drill.configuration) }
        do {
            try conduct(&result)
        } catch {
            note(error as? DrillStop ?? .broken("\(error)"), &result)
        }
        unmountAll()
        try? FileManager.default.removeItem(atPath: scratch)
        result.history = history.all
        result.wallMilliseconds = clock.milliseconds
        return result
    }

    private func unmountAll() {
        let all = mounts.withLock { mounts in
            defer { mounts = [] }
            return mounts
        }
        for path in all where umount2(path, Int32(MNT_DETACH)) != 0 {
            history.add(
                .failure, step: "", "\(path) could not be unmounted: \(String(cString: strerror(errno)))")
        }
    }

    private func note(_ stop: DrillStop, _ result: inout DrillResult) {
        switch stop {
        case .failed(let sentence): (result.verdict, result.reason) = (.failed, sentence)
        case .notInjected(let sentence): (result.verdict, result.reason) = (.notRun, sentence)
        case .broken(let sentence): (result.verdict, result.reason) = (.broken, sentence)
        }
        history.add(.failure, step: "", result.reason)
    }

    private func conduct(_ result: inout DrillResult) throws {
        try checkMeans(drill.steps)
        guard mkdir(scratch, 0o700) == 0 else { throw DrillStop.broken("can't make the folder \(scratch)") }
        let configurationPath = scratch + "/cluster.yaml"
        try drill.configuration.yaml().write(toFile: configurationPath, atomically: false, encoding: .utf8)
        let proxy = try makeProxy(for: drill.steps)
        defer { proxy?.stop() }
        let cluster: RunningCluster
        do {
            cluster = try RunningCluster(
                executable: settings.executable, configurationPath: configurationPath, scratch: scratch,
                name: "run", clock: clock, more: (proxy?.arguments ?? []) + ["--history"])
        } catch { throw DrillStop.broken(error.sentence) }
        proxy?.serve(cluster.up.pid)
        let follower = Follower(cluster)
        defer {
            healAll()
            cluster.end()
            follower.stop()
        }
        var stop: DrillStop?
        do {
            try waitForStart(cluster)
            let scene = Scene(run: self, cluster: cluster, proxy: proxy)
            try scene.run(drill.steps)
            healAll()
            if let late = state.withLock({ $0.failure }) { throw late }
            try end(cluster)
        } catch let caught as DrillStop { stop = caught }
        if stop != nil {
            healAll()
            collectLogs(cluster, &result)
            cluster.up.end(graceMilliseconds: 10_000)
        }
        record(cluster, &result)
        if let stop { note(stop, &result) }
        if case .broken = stop { return }
        let checks = Checks(run: self, cluster: cluster, proxy: proxy, stepsHeld: stop == nil)
        result.checks = checks.all(&result)
        follower.stop()
        guard stop == nil else { return }
        judge(&result)
        if result.verdict != .passed { collectLogs(cluster, &result) }
    }

    private func judge(_ result: inout DrillResult) {
        let broken = result.checks.filter { $0.outcome == .broken }
        let unknown = result.checks.filter { $0.outcome == .unknown }
        if let first = broken.first ?? unknown.first {
            result.verdict = .failed
            result.reason = "\(first.name): \(first.evidence)"
            for check in broken + unknown {
                history.add(.failure, step: "", "\(check.name): \(check.evidence)")
            }
        } else {
            let strikes = history.all.filter { $0.kind == .fault }.count
            result.verdict = .passed
            result.reason = "\(counted(strikes, "fault")) struck, and all \(result.checks.count) checks held"
        }
    }

    // MARK: The ends of a run

    private func waitForStart(_ cluster: RunningCluster) throws {
        while !cluster.events.contains(where: { $0.kind == "started" }) {
            if cluster.up.exitCode != nil {
                throw DrillStop.broken("the cluster did not start: \(cluster.lastWords)")
            }
            try checkTime("the cluster did not start")
            usleep(5000)
        }
        history.add(.note, step: "", "the cluster has started")
    }

    /// Throws when the drill was interrupted or its time is up.
    func checkTime(_ what: @autoclosure () -> String) throws {
        if settings.isCancelled() { throw DrillStop.broken("interrupted") }
        if ContinuousClock.now >= deadline {
            throw DrillStop.failed(
                "the drill's time of \(drill.timeoutMilliseconds / 1000) s is up: \(what())")
        }
    }

    private func end(_ cluster: RunningCluster) throws {
        switch drill.ending {
        case .stopped:
            history.add(.note, step: "", "the steps are done; the run is stopped in order")
            if cluster.up.exitCode == nil { cluster.up.signal(SIGTERM) }
        case .finished: history.add(.note, step: "", "the steps are done; training goes on to its end")
        case .refused:
            history.add(
                .note, step: "", "the steps are done; a run that can't go on can't be stopped in order either"
            )
            cluster.up.signal(SIGTERM)
            if cluster.up.wait(milliseconds: 5000) == nil { cluster.up.signal(SIGTERM) }
        }
        while cluster.up.exitCode == nil {
            try checkTime("the run did not end; step \(plain(cluster.last("step", "step") ?? 0))")
            usleep(5000)
        }
        let code = cluster.up.exitCode ?? -1
        switch drill.ending {
        case .stopped, .finished:
            guard code == 0 else {
                throw DrillStop.failed("varve up left with \(code): \(cluster.lastWords)")
            }
        case .refused:
            guard code == 1 else {
                throw DrillStop.failed("the run was to be refused, and varve up left with \(code)")
            }
            let log =
                FileManager.default.contents(atPath: cluster.directory + "/logs/coordinator.log") ?? Data()
            let words = cluster.lastWords + "\n" + String(decoding: log, as: UTF8.self)
            if let wanted = drill.expectations.says, !words.contains(wanted) {
                throw DrillStop.failed("neither varve up nor the coordinator said '\(wanted)'")
            }
        }
    }

    func healAll(named name: String? = nil) {
        while true {
            let next = state.withLock { state -> Active? in
                guard let index = state.active.firstIndex(where: { name == nil || $0.step == name }) else {
                    return nil
                }
                return state.active.remove(at: index)
            }
            guard let next else { return }
            heal(next)
        }
    }

    func heal(_ active: Active) {
        if let problem = active.injection.heal?() {
            history.add(.failure, step: active.step, nodes: active.injection.nodes, problem)
            state.withLock { $0.failure = $0.failure ?? .broken(problem) }
        } else {
            history.add(
                .healed, step: active.step, nodes: active.injection.nodes,
                "healed: \(active.injection.sentence)")
        }
        state.withLock { $0.lastHealed = clock.milliseconds }
    }

    private func collectLogs(_ cluster: RunningCluster, _ result: inout DrillResult) {
        let folder = cluster.directory + "/logs"
        for name in ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted() {
            guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)") else { continue }
            let lines = String(decoding: data.suffix(16_384), as: UTF8.self).split(separator: "\n")
            result.logs[name.replacingOccurrences(of: ".log", with: "")] =
                lines.suffix(40).joined(separator: "\n")
        }
    }
}

/// Reads a cluster's events as they come, and notes its processes, until it is stopped.
private final class Follower: Sendable {
    private let stopped = Mutex(false)
    private let ended = DispatchSemaphore(value: 0)

    init(_ cluster: RunningCluster) {
        let thread = Thread { [self] in
            var rounds = 0
            while !stopped.withLock({ $0 }) {
                _ = cluster.events
                if rounds % 20 == 0 { _ = cluster.processes() }
                rounds += 1
                usleep(5000)
            }
            ended.signal()
        }
        thread.start()
    }

    func stop() {
        let was = stopped.withLock { stopped in
            defer { stopped = true }
            return stopped
        }
        if !was { ended.wait() }
    }
}
