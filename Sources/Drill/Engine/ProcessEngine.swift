import Cluster
import Foundation
import Synchronization

/// A cluster of real processes, started with `varve up` and looked at with the program's own commands.
final class ProcessEngine: Engine {
    private let run: DrillRun
    private let cluster: RunningCluster
    private let proxy: LinkProxies?
    private let clocks: SharedClock?
    private let follower: Follower
    private let scene: Scene

    /// Starts the cluster.
    init(_ run: DrillRun) throws {
        self.run = run
        guard mkdir(run.scratch, 0o700) == 0 else {
            throw DrillStop.broken("can't make the folder \(run.scratch)")
        }
        let path = run.scratch + "/cluster.yaml"
        try run.drill.configuration.yaml().write(toFile: path, atomically: false, encoding: .utf8)
        let means = Means(run.drill.steps)
        do {
            proxy =
                means.needProxy
                ? try LinkProxies(configuration: run.drill.configuration, folder: run.scratch) : nil
        } catch {
            throw DrillStop.notInjected("the links can't be led through a proxy: \(error.sentence)")
        }
        clocks = means.needClocks ? SharedClock(folder: run.scratch) : nil
        do {
            cluster = try RunningCluster(
                executable: run.settings.executable, configurationPath: path, scratch: run.scratch,
                name: "run", clock: run.clock, more: (proxy?.arguments ?? []) + ["--history"],
                environment: clocks?.environment ?? [:])
        } catch {
            proxy?.stop()
            throw DrillStop.broken(error.sentence)
        }
        proxy?.serve(cluster.up.pid)
        follower = Follower(cluster)
        scene = Scene(run: run, cluster: cluster, proxy: proxy, clocks: clocks)
    }

    func start() throws {
        while !events.contains(where: { $0.kind == "started" }) {
            if let end = ended { throw DrillStop.broken("the cluster did not start: \(end.words)") }
            try run.checkTime("the cluster did not start")
            pass()
        }
    }

    func pass() { usleep(5000) }

    var events: [ClusterEvent] { cluster.events }
    var ended: RunEnd? { cluster.up.exitCode.map { RunEnd(code: $0, words: cluster.lastWords) } }

    func askStatus() -> Pending<ClusterStatus?> { .onThread { [cluster] in cluster.status() } }

    func verify(repair: Bool) -> Pending<VerifyAnswer> {
        .onThread { [cluster] in
            let done = cluster.varve(
                ["checkpoints", "verify", "--json"] + (repair ? ["--repair"] : []), milliseconds: 100_000)
            let words = done.errors.split(separator: "\n").last.map(String.init) ?? "it said nothing"
            return done.output.isEmpty ? VerifyAnswer(problem: words) : VerifyAnswer(json: done.output)
        }
    }

    func inject(
        _ fault: Fault, nodes: [String], pairs: [LinkPair]
    ) -> Pending<Result<Injection, NotInjected>> {
        .onThread { [scene] in
            do throws(NotInjected) {
                return .success(try Injectors(scene: scene).inject(fault, nodes: nodes, pairs: pairs))
            } catch { return .failure(error) }
        }
    }

    func execute(_ command: String, withinMilliseconds: Int) -> Pending<CommandEnd> {
        .onThread { [run, cluster] in
            do {
                let done = try Subprocess.run(
                    "/bin/sh", ["-c", command], folder: run.scratch, milliseconds: withinMilliseconds,
                    environment: ["RUN_DIR": cluster.directory, "VARVE": cluster.executable],
                    stop: { run.settings.isCancelled() })
                let words = (done.errors + done.output).split(separator: "\n").last.map { ": \($0)" } ?? ""
                return CommandEnd(code: done.code, words: words)
            } catch {
                return CommandEnd(words: "", problem: (error as? Subprocess.Failure)?.sentence ?? "\(error)")
            }
        }
    }

    // MARK: The end

    func end(_ ending: DrillFile.Ending) {
        guard ended == nil else { return }
        switch ending {
        case .stopped: cluster.up.signal(SIGTERM)
        case .finished: break
        case .refused:
            // A run that can't go on can't be stopped in order either: asked twice, it leaves.
            cluster.up.signal(SIGTERM)
            if cluster.up.wait(milliseconds: 5000) == nil { cluster.up.signal(SIGTERM) }
        }
    }

    func hasSaid(_ text: String) -> Bool {
        let log = FileManager.default.contents(atPath: cluster.directory + "/logs/coordinator.log") ?? Data()
        return (cluster.lastWords + "\n" + String(decoding: log, as: UTF8.self)).contains(text)
    }

    func abandon() { cluster.up.end(graceMilliseconds: 10_000) }

    func checks() -> [CheckResult] {
        var checks = run.drill.expectations.noOrphans ? Leftovers(cluster: cluster).checks() : []
        checks +=
            HistoryCheck(
                cluster: cluster, hurtsDisks: HistoryCheck.hurtsDisks(run.drill.steps),
                endsRefused: run.drill.ending == .refused
            ).all()
        return checks
    }

    func checksOfState(_ result: inout DrillResult) -> [CheckResult] {
        run.bringDisksBack()
        var checks = StateChecks(run: run, cluster: cluster).all(result)
        if run.drill.expectations.needsReference {
            checks += Reference(run: run, cluster: cluster).compare(&result)
        }
        return checks
    }

    var logs: [String: String] {
        let folder = cluster.directory + "/logs"
        var logs: [String: String] = [:]
        for name in ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted() {
            guard let data = FileManager.default.contents(atPath: "\(folder)/\(name)") else { continue }
            let lines = String(decoding: data.suffix(16_384), as: UTF8.self).split(separator: "\n")
            logs[name.replacingOccurrences(of: ".log", with: "")] = lines.suffix(40).joined(separator: "\n")
        }
        return logs
    }

    func close() {
        cluster.end()
        if clocks != nil { SharedClock.clean(after: cluster.up.pid) }
        follower.stop()
        proxy?.stop()
        run.unmountAll()
        try? FileManager.default.removeItem(atPath: run.scratch)
    }
}

/// What the injectors of real faults work with.
struct Scene: Sendable {
    let run: DrillRun
    let cluster: RunningCluster
    let proxy: LinkProxies?
    let clocks: SharedClock?
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
