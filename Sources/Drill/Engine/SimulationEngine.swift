import Cluster
import Foundation
import Simulation
import Training

/// A cluster on a virtual clock: the same decisions on a network and disks that are fake. The same drill and seed give the
/// same report, to the byte.
///
/// The model is a small vector, whatever the configuration says; shape, quorums, codec and times are those of the file.
final class SimulationEngine: Engine {
    let run: DrillRun
    private let clock: VirtualClock
    let stage: ConfinedStage
    private var known: [ClusterEvent] = []

    init(_ run: DrillRun) {
        self.run = run
        clock = run.clock as? VirtualClock ?? VirtualClock()
        let configuration = run.drill.configuration
        stage = ConfinedStage(
            StagedCluster(
                settings: configuration.runSettings, codec: configuration.checkpoint.codec.settings,
                optimizer: configuration.updateRule, seed: run.seed))
    }

    func start() throws { known.append(ClusterEvent(kind: "started", atMilliseconds: 0)) }

    func pass() {
        stage.cluster.advance(milliseconds: 5)
        clock.set(stage.cluster.milliseconds)
        let notices = stage.cluster.takeNotices()
        known += notices.compactMap { ClusterEvent(line: $0.json[...], atMilliseconds: $0.atMilliseconds) }
            .filter { $0.kind != "finished" }
    }

    var events: [ClusterEvent] { known }

    var ended: RunEnd? {
        if let failure = stage.cluster.failure { return RunEnd(code: 1, words: failure) }
        if stage.cluster.isDone { return RunEnd(code: 0, words: "") }
        return nil
    }

    func askStatus() -> Pending<ClusterStatus?> {
        Pending(done: stage.cluster.status().flatMap(ClusterStatus.init))
    }

    func verify(repair: Bool) -> Pending<VerifyAnswer> {
        let question = stage.cluster.verify(repair: repair)
        // The coordinator answers after a minute at the latest, unless it died meanwhile.
        let until = clock.milliseconds + 70_000
        return Pending { [stage, clock] in
            if let json = stage.cluster.answer(to: question) { return VerifyAnswer(json: json) }
            return clock.milliseconds < until ? nil : VerifyAnswer(problem: "nobody answered")
        }
    }

    func execute(_ command: String, withinMilliseconds: Int) -> Pending<CommandEnd> {
        Pending(done: CommandEnd(words: "", problem: "the simulator runs no commands"))
    }

    // MARK: The end

    func end(_ ending: DrillFile.Ending) {
        stage.cluster.end(stop: ending == .stopped)
    }

    func hasSaid(_ text: String) -> Bool {
        stage.cluster.decisions.values.joined().contains { $0.contains(text) }
    }

    func abandon() {}
    func close() {}

    var logs: [String: String] { stage.cluster.decisions.mapValues { $0.joined(separator: "\n") } }

    func checks() -> [CheckResult] {
        let facts = stage.cluster.facts
        let method = "what every process told of every event, as it happened"
        let failure = stage.cluster.failure
        return Invariant.allCases.compactMap { invariant in
            let name = "\(invariant.rawValue), as it happened"
            if let failure, failure.contains(" \(invariant.rawValue): ") {
                return CheckResult(name, .broken, method: method, failure)
            }
            guard let count = facts[invariant.rawValue], count > 0 else { return nil }
            return CheckResult(name, .held, method: method, counted(count, "fact"))
        }
    }

    func checksOfState(_ result: inout DrillResult) -> [CheckResult] {
        guard let outcome = stage.cluster.outcome else { return [] }
        result.summary = [
            "steps": "\(outcome.step)", "model_digest": outcome.digest,
            "checkpoints_committed": "\(outcome.commits)", "recoveries": "\(outcome.recoveries)",
        ]
        let wanted = run.drill.expectations.invariants
        let copies = "\(outcome.replicas) replicas of every shard"
        var checks: [CheckResult] = []
        func held(_ invariant: Invariant, _ method: String, _ evidence: String) {
            guard wanted.contains(invariant) else { return }
            checks.append(CheckResult(invariant.rawValue, .held, method: method, evidence))
        }
        held(
            .durable, "the chain of the last step on every disk that is to hold it",
            "step \(outcome.step) is whole on \(copies)")
        held(
            .proved, "a restore of the last step from every disk that is to hold it",
            "\(copies) lead to the digests of its manifest")
        held(.atomic, "the last manifest", "one part per shard, of step \(outcome.step)")
        if stage.cluster.comparesBits {
            held(
                .deterministic, "the same steps in a plain loop in one process",
                "every shard has the bits of \(outcome.step) steps without faults")
        }
        return checks
    }
}

/// A staged cluster that is used on the thread of its drill alone.
final class ConfinedStage: @unchecked Sendable {
    let cluster: StagedCluster
    init(_ cluster: StagedCluster) { self.cluster = cluster }
}
