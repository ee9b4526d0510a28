import Cluster
import Foundation

/// The same run without faults, to the step at which the drill's run ended.
struct Reference {
    let run: DrillRun
    let cluster: RunningCluster

    func compare(_ result: inout DrillResult) -> [CheckResult] {
        let expectations = run.drill.expectations
        let method = "a second run of the same configuration to the same step, without faults"
        var names: [String] = []
        if expectations.sameBits == true { names.append("deterministic") }
        if expectations.accuracyWithin != nil { names.append("accuracy_within") }
        func unknown(_ why: String) -> [CheckResult] {
            names.map { CheckResult($0, .unknown, method: method, why) }
        }
        guard let steps = result.summary["steps"] else { return unknown("the drill's run has no summary") }
        run.history.add(.note, step: "", "a run without faults to step \(steps) is made to compare with")
        let quiet: RunningCluster
        do {
            quiet = try RunningCluster(
                executable: run.settings.executable, configurationPath: run.scratch + "/cluster.yaml",
                scratch: run.scratch, name: "reference", clock: run.clock, more: ["--steps", steps])
        } catch { return unknown(error.sentence) }
        defer { quiet.end() }
        let limit = ContinuousClock.now + .milliseconds(run.drill.timeoutMilliseconds)
        while quiet.up.exitCode == nil {
            if run.settings.isCancelled() { return unknown("interrupted") }
            guard ContinuousClock.now < limit else { return unknown("the run without faults took too long") }
            _ = quiet.events
            usleep(20_000)
        }
        let events = quiet.events
        guard let summary = events.last(where: { $0.kind == "summary" }), quiet.up.exitCode == 0 else {
            return unknown("the run without faults failed: \(quiet.lastWords)")
        }
        result.referenceLoss = DrillRun.thinned(
            events.filter { $0.kind == "step" }.map {
                CurvePoint(
                    atMilliseconds: $0.atMilliseconds, step: $0.numbers["step"] ?? 0,
                    value: $0.numbers["loss"] ?? .nan)
            })
        var checks: [CheckResult] = []
        if expectations.sameBits == true {
            let (mine, other) = (
                result.summary["model_digest"] ?? "none", summary.texts["model_digest"] ?? "none"
            )
            checks.append(
                CheckResult(
                    "deterministic", mine == other ? .held : .broken, method: method,
                    mine == other
                        ? "both end at step \(steps) with digest \(mine)"
                        : "\(mine) with faults, \(other) without"))
        }
        if let limit = expectations.accuracyWithin { checks.append(accuracy(limit, result, summary, method)) }
        return checks
    }

    private func accuracy(
        _ limit: Double, _ result: DrillResult, _ summary: ClusterEvent, _ method: String
    ) -> CheckResult {
        let name = "accuracy_within \(plain(limit))"
        for key in ["accuracy", "rmse"] {
            guard let mine = cluster.last("summary", key), let other = summary.numbers[key] else { continue }
            let difference = abs(mine - other)
            return CheckResult(
                name, difference <= limit ? .held : .broken, method: method,
                "\(key) \(mine) with faults, \(other) without: \(difference) apart")
        }
        return CheckResult(name, .unknown, method: method, "neither run told its accuracy")
    }
}
