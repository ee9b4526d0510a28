import Invariants
import LCCheckpoint
import MachineCore
import StoreLogic
import Training
import Wire

/// A simulated cluster whose trouble comes from outside, at moments of the caller's choice.
///
/// It is the world of `Simulation`, with every check of the promises, and without trouble of its own: what happens is a
/// function of the settings, the seed and what is done to it at which virtual time. Faults are in `StagedCluster+Faults`.
///
/// A supervisor starts what died, and replaces what is silent beyond its lease: a store that hangs is ended first, since a
/// disk belongs to one process at a time, and of all other roles the old process wakes beside its successor.
public final class StagedCluster {
    /// A line that the coordinator told, as `varve up --json` prints it.
    public struct Notice: Sendable {
        public var atMilliseconds: Double
        public var json: String
    }

    let world: World
    private var notices: [Notice] = []
    /// What was decided, by node, newest last: at most 40 sentences each.
    public private(set) var decisions: [String: [String]] = [:]
    private var answers: [UInt64: String] = [:]
    private var nextQuestion: UInt64 = 2_000_000
    /// The newest notice that each coordinator told.
    private var heard: [Int: UInt64] = [:]
    private var followedAt: UInt64?
    /// Which coordinator has answered last.
    private var followed: Int?
    private var isEnding = false
    private var stopAskedAt: UInt64?
    /// Stores whose syncs fail for a while.
    var failing: Set<Int> = []

    /// - Parameters:
    ///   - paceMilliseconds: what a gradient takes, at most.
    public init(
        settings: RunSettings, codec: CodecSettings, optimizer: OptimizerKind, seed: UInt64,
        paceMilliseconds: Double = 8
    ) {
        var plan = Plan(seed: seed, steps: settings.steps, onlyFaults: [], mutant: nil, size: .small)
        plan.settings = settings
        plan.elements = max(64, settings.shards)
        plan.codec = codec
        plan.optimizer = optimizer
        plan.orders = []
        plan.pace = paceMilliseconds
        // Far enough; `end` sets it to the moment when the script is done.
        plan.faultsEnd = 1 << 62
        world = World(plan: plan, trace: nil)
        world.onAnswer = { [unowned self] body, process in take(body, from: process) }
        world.onDecision = { [unowned self] decision, process in
            let node = process.name.description
            decisions[node, default: []].append("\(world.milliseconds)  \(decision.sentence)")
            if decisions[node]!.count > 40 { decisions[node]!.removeFirst() }
        }
    }

    public var milliseconds: Double { Double(world.now) / 1e6 }
    /// Nil while every check holds.
    public var failure: String? { world.failure }
    /// True once training has ended and everything that must be whole was found whole.
    public var isDone: Bool { world.isDone }
    /// How many facts each promise was held against.
    public var facts: [String: Int] {
        Dictionary(uniqueKeysWithValues: world.invariants.findings.facts.map { ($0.rawValue, $1) })
    }

    /// Lets virtual time go by.
    public func advance(milliseconds: Double) {
        let until = world.now + UInt64(milliseconds * 1e6)
        follow()
        while world.failure == nil, !world.isDone, let at = world.queue.nextTime, at <= until,
            let item = world.queue.next()
        {
            world.now = max(world.now, at)
            world.events += 1
            for store in failing where !world.disks[store].failsSync { world.disks[store].failsSync = true }
            world.happen(item)
        }
        if !world.isDone { world.now = until }
        if isEnding { askToStop() }
    }

    /// What the coordinators told since this was last asked.
    public func takeNotices() -> [Notice] {
        defer { notices = [] }
        return notices
    }

    // MARK: Questions

    /// What `varve status --json` prints; nil while nobody answers.
    public func status() -> String? {
        let question = ask("status")
        defer { answers[question] = nil }
        return answers[question]
    }

    /// Has every store read all it holds, and with `repair` mend it. The answer comes later.
    public func verify(repair: Bool) -> UInt64 { ask(repair ? "repair" : "verify") }

    /// What the coordinator said, in the form that it has for tools; nil as long as it has not.
    public func answer(to question: UInt64) -> String? { answers.removeValue(forKey: question) }

    private func ask(_ what: String) -> UInt64 {
        nextQuestion += 1
        world.ask(what, id: nextQuestion)
        return nextQuestion
    }

    private func follow() {
        // A coordinator forgets whom it has not heard for a while, and a new one knows nobody.
        let isDue = followedAt.map { world.now >= $0 + 500_000_000 } ?? true
        guard isDue || followed != world.currentCoordinator else { return }
        followedAt = world.now
        _ = ask("events")
    }

    private func take(_ body: Envelope.OneOf_Body, from process: Process) {
        switch body {
        case .answer(let answer):
            followed = process.id
            answers[answer.id] = answer.json
        case .notice(let notice):
            guard notice.number > heard[process.id] ?? 0 else { return }
            heard[process.id] = notice.number
            notices.append(Notice(atMilliseconds: milliseconds, json: notice.json))
            if notice.json.contains("\"event\":\"fault\"") { replaceSilent(notice.json) }
        default: break
        }
    }

    /// What the coordinator has given up and that only hangs is replaced.
    private func replaceSilent(_ fault: String) {
        for process in world.processes where process.isAlive && process.isPaused {
            guard process.place != .coordinator else { continue }
            let place = process.place
            guard fault.contains("\"node\":\"\(place)\"") else { continue }
            if place.role == .store {
                world.kill(process, cause: "it was silent beyond its lease")
            } else {
                world.queue.add(.start(place), at: world.now + 20_000_000)
            }
        }
    }

    // MARK: The end

    /// From here on nothing breaks any more: training ends at the next step, or with `stop: false` at its last one.
    public func end(stop: Bool) {
        world.plan.faultsEnd = world.now
        isEnding = stop
        world.queue.add(.askRepair(id: 1 << 40), at: world.now + 500_000_000)
    }

    private func askToStop() {
        guard world.database.state?.targetStep == world.plan.settings.steps,
            stopAskedAt.map({ world.now >= $0 + 300_000_000 }) ?? true
        else { return }
        stopAskedAt = world.now
        world.wasStopped = true
        _ = ask("stop")
    }

    /// The last committed step, its parts' digests and how many disks hold each, once it is done.
    public var outcome: (step: UInt64, digest: String, replicas: Int, commits: Int, recoveries: UInt64)? {
        guard world.isDone, let state = world.database.state,
            let last = world.database.manifests[UInt64(max(state.committedStep, 0))]
        else { return nil }
        return (
            last.step, last.modelDigest, world.plan.settings.replicas, world.checkers.commits,
            state.recoveries
        )
    }

    /// Whether the end compared the last step with a plain loop in one process.
    public var comparesBits: Bool {
        world.plan.settings.staleness == 0 && world.plan.codec.kind == .exact
            && !world.plan.settings.partialRecovery
    }
}
