import Cluster
import Foundation

/// What is looked at once a run has ended.
struct Checks {
    let run: DrillRun
    let engine: any Engine
    /// Whether every step of the drill held; if not, only what is cheap is looked at.
    let stepsHeld: Bool

    private var drill: DrillFile { run.drill }
    private var expectations: Expectations { run.drill.expectations }

    func all(_ result: inout DrillResult) -> [CheckResult] {
        var checks: [CheckResult] = []
        let wanted = expectations.invariants
        if wanted.contains(.monotonic) { checks.append(monotonic()) }
        if wanted.contains(.boundedLoss) { checks.append(boundedLoss(result)) }
        checks += recoveryChecks(result)
        checks += engine.checks()
        guard stepsHeld, drill.ending != .refused else { return checks }
        if wanted.contains(.live) { checks.append(live(result)) }
        if let share = expectations.throughputAfter { checks.append(throughput(share)) }
        checks += engine.checksOfState(&result)
        return checks
    }

    // MARK: From the events

    private func monotonic() -> CheckResult {
        let commits = engine.events.filter { $0.kind == "checkpoint" }.compactMap { $0.numbers["step"] }
        let method = "the order of the checkpoint events"
        guard !commits.isEmpty else {
            return CheckResult("monotonic", .unknown, method: method, "nothing was committed")
        }
        for (before, after) in zip(commits, commits.dropFirst()) where after < before {
            return CheckResult(
                "monotonic", .broken, method: method,
                "step \(plain(after)) was reported as committed after step \(plain(before))")
        }
        return CheckResult(
            "monotonic", .held, method: method,
            "\(counted(commits.count, "commit")), from step \(plain(commits[0])) to \(plain(commits.last ?? 0)), never back"
        )
    }

    private func boundedLoss(_ result: DrillResult) -> CheckResult {
        let checkpoint = drill.configuration.checkpoint
        let method = "lost_steps of every recovered event, against checkpoint.every and max_lag"
        guard checkpoint.every > 0 else {
            return CheckResult(
                "bounded-loss", .unknown, method: method, "there are no checkpoints to return to")
        }
        let limit = checkpoint.every * (checkpoint.maxLag + 1) - 1
        let worst = result.recoveries.map(\.lostSteps).max() ?? 0
        return CheckResult(
            "bounded-loss", worst <= Double(limit) ? .held : .broken, method: method,
            "at most \(plain(worst)) of the allowed \(limit) steps lost in a recovery, of \(result.recoveries.count)"
        )
    }

    private func recoveryChecks(_ result: DrillResult) -> [CheckResult] {
        var checks: [CheckResult] = []
        let worst = result.recoveries.max { $0.recoveredMilliseconds < $1.recoveredMilliseconds }
        if let limit = expectations.lostSteps {
            let lost = result.recoveries.map(\.lostSteps).max() ?? 0
            checks.append(
                CheckResult(
                    "lost_steps <= \(limit)", lost <= Double(limit) ? .held : .broken,
                    method: "lost_steps of every recovered event", "at most \(plain(lost)) were lost"))
        }
        if let limit = expectations.recoveredWithinMilliseconds {
            let name = "recovered_within \(limit) ms"
            let method = "recovered_ms of every recovered event, counted from the fault"
            if let worst {
                checks.append(
                    CheckResult(
                        name, worst.recoveredMilliseconds <= Double(limit) ? .held : .broken, method: method,
                        "the slowest was \(worst.node) with \(plain(worst.recoveredMilliseconds.rounded())) ms"
                    ))
            } else {
                checks.append(CheckResult(name, .unknown, method: method, "nothing had to recover"))
            }
        }
        if let least = expectations.recoveriesAtLeast {
            checks.append(
                CheckResult(
                    "recoveries_at_least \(least)", result.recoveries.count >= least ? .held : .broken,
                    method: "the number of recovered events", "\(result.recoveries.count) were seen"))
        }
        return checks
    }

    private func live(_ result: DrillResult) -> CheckResult {
        let method = "commits after the last fault had struck and was healed"
        let (strike, healed) = run.state.withLock { ($0.struck.values.max() ?? 0, $0.lastHealed) }
        let faults = run.history.all.filter { $0.kind == .fault }
        guard !faults.isEmpty else { return CheckResult("live", .unknown, method: method, "no fault struck") }
        let since = max(strike, healed, faults.last?.atMilliseconds ?? 0)
        let commits = engine.events.filter { $0.kind == "checkpoint" && $0.atMilliseconds > since }
        guard let first = commits.first else {
            return CheckResult("live", .broken, method: method, "nothing was committed after the last fault")
        }
        return CheckResult(
            "live", .held, method: method,
            "\(counted(commits.count, "commit")) after it, the first \(plain((first.atMilliseconds - since).rounded())) ms later"
        )
    }

    private func throughput(_ share: Double) -> CheckResult {
        let name = "throughput_after >= \(plain(share))"
        let method = "steps per second before the first fault and after the last recovery"
        let steps = engine.events.filter { $0.kind == "step" }
        let calm = engine.events.last { $0.kind == "recovered" }?.atMilliseconds ?? 0
        let (first, healed) = run.state.withLock { ($0.firstStrike ?? .infinity, $0.lastHealed) }
        // The first second of training warms up caches and connections.
        let start = (steps.first?.atMilliseconds ?? 0) + 500
        let before = Self.rate(steps.filter { $0.atMilliseconds >= start && $0.atMilliseconds < first })
        let after = Self.rate(steps.filter { $0.atMilliseconds > max(calm, healed) })
        guard let before, let after else {
            return CheckResult(name, .unknown, method: method, "too few steps before or after to tell")
        }
        let evidence = "\(plain(before)) steps/s before, \(plain(after)) after: \(plain(after / before))"
        return CheckResult(name, after >= share * before ? .held : .broken, method: method, evidence)
    }

    private static func rate(_ steps: [ClusterEvent]) -> Double? {
        guard steps.count >= 20, let first = steps.first, let last = steps.last,
            last.atMilliseconds - first.atMilliseconds >= 200
        else { return nil }
        let count = (last.numbers["step"] ?? 0) - (first.numbers["step"] ?? 0)
        return count / (last.atMilliseconds - first.atMilliseconds) * 1000
    }
}
