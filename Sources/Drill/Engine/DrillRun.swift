import Cluster
import Foundation
import Synchronization

/// What a drill needs from outside.
public struct DrillSettings: Sendable {
    /// The varve program that is put to the test.
    public var executable: String
    /// Instead of the file's own seed.
    public var seed: UInt64?
    public var engine: EngineKind
    public var onEntry: @Sendable (HistoryEntry) -> Void
    /// Ctrl-C and the like.
    public var isCancelled: @Sendable () -> Bool

    public init(
        executable: String, seed: UInt64? = nil, engine: EngineKind = .processes,
        onEntry: @escaping @Sendable (HistoryEntry) -> Void = { _ in },
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) {
        self.executable = executable
        self.seed = seed
        self.engine = engine
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

/// One run of one drill.
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
        /// When it ends by itself.
        var until: Double?
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
    let clock: any DrillClock
    let history: History
    let scratch: String
    let state: Mutex<State>
    /// Small file systems that stand in for disks, until the end.
    let mounts = Mutex<[String]>([])

    /// - Note: call ``run()`` on a thread that lives as long as the drill.
    public init(_ drill: DrillFile, settings: DrillSettings) {
        self.drill = drill
        self.settings = settings
        seed = settings.seed ?? drill.seed
        clock =
            switch settings.engine {
            case .processes: WallClock()
            case .simulation: VirtualClock()
            }
        history = History(clock: clock, onEntry: settings.onEntry)
        let unique = String(UInt64.random(in: 0...UInt64.max), radix: 36)
        let folder = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
        scratch =
            (folder.hasSuffix("/") ? String(folder.dropLast()) : folder)
            + "/varve-drill-\(getpid())-\(unique)"
        state = Mutex(State(random: DrillRandom(seed: seed)))
    }

    public func run() -> DrillResult {
        var result = DrillResult(
            name: drill.name, about: drill.about, path: drill.path, seed: seed, verdict: .broken, reason: "",
            wallMilliseconds: 0)
        result.engine = settings.engine
        let more = settings.engine == .simulation ? " --simulate" : ""
        result.command = (drill.command ?? "varve drill run \(drill.path) --seed \(seed)") + more
        result.nodes = NodeRole.allCases.flatMap { $0.nodes(in: drill.configuration) }
        do {
            try conduct(&result)
        } catch {
            note(error as? DrillStop ?? .broken("\(error)"), &result)
        }
        result.history = history.all
        result.wallMilliseconds = clock.milliseconds
        return result
    }

    /// Once a run has ended: what stood on small file systems stands in ordinary folders again, and can be moved.
    func bringDisksBack() {
        let files = FileManager.default
        for folder in mounts.withLock({ $0 }) {
            let aside = folder + ".after"
            guard (try? files.copyItem(atPath: folder, toPath: aside)) != nil,
                umount2(folder, Int32(MNT_DETACH)) == 0
            else { continue }
            mounts.withLock { $0.removeAll { $0 == folder } }
            rmdir(folder)
            rename(aside, folder)
        }
    }

    func unmountAll() {
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

    private func makeEngine() throws -> any Engine {
        switch settings.engine {
        case .processes:
            if let lack = Means(drill.steps).lack { throw DrillStop.notInjected(lack) }
            return try ProcessEngine(self)
        case .simulation:
            if let unknown = SimulationEngine.unknown(in: drill) { throw DrillStop.notInjected(unknown) }
            return SimulationEngine(self)
        }
    }

    private func conduct(_ result: inout DrillResult) throws {
        let engine: any Engine
        do { engine = try makeEngine() } catch {
            try? FileManager.default.removeItem(atPath: scratch)
            throw error
        }
        let script = Script(run: self, engine: engine)
        defer {
            script.drain()
            healAll()
            engine.close()
        }
        var stop: DrillStop?
        do {
            try engine.start()
            history.add(.note, step: "", "the cluster has started")
            try script.run(drill.steps)
            script.drain()
            healAll()
            if let late = state.withLock({ $0.failure }) { throw late }
            try end(engine, script)
        } catch { stop = error as? DrillStop ?? .broken("\(error)") }
        if stop != nil {
            script.drain()
            healAll()
            result.logs = engine.logs
            engine.abandon()
        }
        record(engine.events, &result)
        if let stop { note(stop, &result) }
        if case .broken = stop { return }
        let checks = Checks(run: self, engine: engine, stepsHeld: stop == nil)
        result.checks = checks.all(&result)
        guard stop == nil else { return }
        judge(&result)
        if result.verdict != .passed { result.logs = engine.logs }
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

    /// Throws when the drill was interrupted or its time is up.
    func checkTime(_ what: @autoclosure () -> String) throws {
        if settings.isCancelled() { throw DrillStop.broken("interrupted") }
        if clock.milliseconds >= Double(drill.timeoutMilliseconds) {
            throw DrillStop.failed(
                "the drill's time of \(drill.timeoutMilliseconds / 1000) s is up: \(what())")
        }
    }

    private func end(_ engine: any Engine, _ script: Script) throws {
        let words =
            switch drill.ending {
            case .stopped: "the run is stopped in order"
            case .finished: "training goes on to its end"
            case .refused: "a run that can't go on can't be stopped in order either"
            }
        history.add(.note, step: "", "the steps are done; \(words)")
        engine.end(drill.ending)
        while engine.ended == nil {
            try checkTime("the run did not end; step \(plain(engine.last("step", "step") ?? 0))")
            script.pass()
        }
        guard let end = engine.ended else { return }
        switch drill.ending {
        case .stopped, .finished:
            guard end.code == 0 else {
                throw DrillStop.failed("the run ended with \(end.code): \(end.words)")
            }
        case .refused:
            guard end.code == 1 else {
                throw DrillStop.failed("the run was to be refused, and ended with \(end.code)")
            }
            if let wanted = drill.expectations.says, !engine.hasSaid(wanted) {
                throw DrillStop.failed("neither the run nor its coordinator said '\(wanted)'")
            }
        }
    }

    // MARK: Healing

    /// A fault has struck: what lasts is remembered until it is healed.
    func struck(_ injection: Injection, step: String, until: Double?) {
        guard injection.heal != nil else { return }
        state.withLock { state in
            state.active.append(
                .init(step: step, id: state.nextID, injection: injection, until: until))
            state.nextID += 1
        }
    }

    /// Heals what has lasted for as long as it was to.
    func healDue() {
        let now = clock.milliseconds
        let due = state.withLock { state in
            let due = state.active.filter { $0.until.map { $0 <= now } ?? false }
            state.active.removeAll { active in due.contains { $0.id == active.id } }
            return due
        }
        for active in due { heal(active) }
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
}
