import Foundation

/// What the nodes wrote down themselves, held against the promises by `varve history check`.
struct HistoryCheck {
    let cluster: RunningCluster
    /// Whether the drill changes what is on disks behind the nodes' backs.
    let hurtsDisks: Bool
    /// Whether the cluster is to give up a committed step, in words.
    let endsRefused: Bool

    /// One check for each promise that the history says something about.
    func all() -> [CheckResult] {
        guard FileManager.default.fileExists(atPath: cluster.directory + "/history") else { return [] }
        let done = cluster.varve(["history", "check", "--json"], milliseconds: 600_000)
        guard let report = try? JSONSerialization.jsonObject(with: Data(done.output.utf8)) as? [String: Any],
            let facts = report["facts"] as? [String: Any]
        else {
            let words = done.errors.split(separator: "\n").last.map(String.init) ?? "it said nothing"
            return [CheckResult("history", .unknown, method: "varve history check", words)]
        }
        let violations = report["violations"] as? [[String: Any]] ?? []
        let processes = (report["processes"] as? NSNumber)?.intValue ?? 0
        let method = "varve history check, on what the nodes wrote down (\(processes) files)"
        return Invariant.allCases.compactMap { invariant in
            let found = violations.filter { $0["invariant"] as? String == invariant.rawValue }
            let count = (facts[invariant.rawValue] as? NSNumber)?.intValue ?? 0
            // A promise that no fact was held against was not shown, and isn't claimed.
            guard count > 0 || !found.isEmpty else { return nil }
            let name = "\(invariant.rawValue), by history"
            // Nor is one that the drill's own hand in the disks has upset: a history says nothing of that.
            if !found.isEmpty, isExplained(invariant) { return nil }
            if let first = found.first {
                return CheckResult(
                    name, .broken, method: method,
                    "\(first["evidence"] as? String ?? "?") (\(found.count) in all)")
            }
            return CheckResult(name, .held, method: method, counted(count, "fact"))
        }
    }

    /// A store whose disk was changed comes back without what it had synced or promised: that is the fault, not a broken promise.
    /// What the cluster makes of it is looked at from outside.
    private func isExplained(_ invariant: Invariant) -> Bool {
        switch invariant {
        case .tail, .fenced, .durable: hurtsDisks
        case .monotonic: hurtsDisks && endsRefused
        case .atomic, .proved, .singleWriter, .chained, .atMostOnce, .deterministic, .boundedLoss, .live,
            .honest,
            .boundedMemory:
            false
        }
    }

    /// Whether these steps change what is on disks.
    static func hurtsDisks(_ steps: [DrillStep]) -> Bool {
        steps.contains { step in
            switch step.action {
            case .fault(let fault): fault.kind.changesDisks
            case .parallel(let inner): hurtsDisks(inner)
            case .wait, .assert, .heal, .pause, .run, .verify: false
            }
        }
    }
}
