import Cluster
import Foundation

/// What can be restored after a run, looked at through the program's own commands.
struct StateChecks {
    let run: DrillRun
    let cluster: RunningCluster

    private struct Exported {
        var step: Double
        var digest: String
    }

    func all(_ result: DrillResult) -> [CheckResult] {
        let wanted = run.drill.expectations.invariants
        var checks: [CheckResult] = []
        let exported = export()
        if wanted.contains(.proved) { checks.append(proved(exported)) }
        if wanted.contains(.atomic) { checks.append(atomic(exported, result)) }
        if wanted.contains(.deterministic) || run.drill.expectations.restoredTwice {
            checks.append(twice(exported))
        }
        if wanted.contains(.durable) { checks.append(durable(exported)) }
        return checks
    }

    private func export() -> Result<Exported, NotInjected> {
        let path = "\(run.scratch)/export-\(UInt64.random(in: 0...UInt64.max)).safetensors"
        defer { unlink(path) }
        let done = cluster.varve(["export", "-o", path, "--with-optimizer", "--json"])
        guard done.code == 0,
            let object = try? JSONSerialization.jsonObject(with: Data(done.output.utf8)) as? [String: Any],
            let step = (object["step"] as? NSNumber)?.doubleValue,
            let digest = object["model_digest"] as? String
        else {
            let words = done.errors.split(separator: "\n").last.map(String.init) ?? "it said nothing"
            return .failure(NotInjected(words))
        }
        return .success(Exported(step: step, digest: digest))
    }

    private func proved(_ exported: Result<Exported, NotInjected>) -> CheckResult {
        let method = "varve export, which restores every shard and refuses one without the manifest's digest"
        switch exported {
        case .success(let model):
            return CheckResult(
                "proved", .held, method: method, "step \(plain(model.step)), digest \(model.digest)")
        case .failure(let problem): return CheckResult("proved", .broken, method: method, problem.sentence)
        }
    }

    private func atomic(_ exported: Result<Exported, NotInjected>, _ result: DrillResult) -> CheckResult {
        let method =
            "the exported model, the newest manifest and the summary of the run name one step and one digest"
        guard case .success(let model) = exported else {
            return CheckResult("atomic", .broken, method: method, "nothing could be exported")
        }
        let listed = cluster.varve(["checkpoints", "list", "--json"])
        let manifests =
            (try? JSONSerialization.jsonObject(with: Data(listed.output.utf8))) as? [[String: Any]] ?? []
        let newest = manifests.compactMap { ($0["step"] as? NSNumber)?.doubleValue }.max()
        let said = result.summary["steps"]
        let agree =
            newest == model.step && said == plain(model.step)
            && result.summary["model_digest"] == model.digest
        return CheckResult(
            "atomic", agree ? .held : .broken, method: method,
            "exported step \(plain(model.step)), newest manifest \(newest.map(plain) ?? "none"), summary \(said ?? "none")"
                + (result.summary["model_digest"] == model.digest
                    ? ", one digest" : ", and the digests differ"))
    }

    private func twice(_ exported: Result<Exported, NotInjected>) -> CheckResult {
        let method = "varve export, twice"
        guard case .success(let first) = exported, case .success(let second) = export() else {
            return CheckResult(
                "restored twice to the same bits", .broken, method: method, "nothing could be exported")
        }
        return CheckResult(
            "restored twice to the same bits", first.digest == second.digest ? .held : .broken,
            method: method,
            first.digest == second.digest ? first.digest : "\(first.digest), then \(second.digest)")
    }

    /// Takes away every W − 1 stores in turn and restores from the others.
    private func durable(_ exported: Result<Exported, NotInjected>) -> CheckResult {
        let checkpoint = run.drill.configuration.checkpoint
        let lossy = checkpoint.writeQuorum - 1
        var method = "varve checkpoints verify, then varve export without any \(lossy) of the stores"
        guard case .success(let model) = exported else {
            return CheckResult("durable", .broken, method: method, "nothing could be exported")
        }
        let committed = cluster.last("checkpoint", "step") ?? 0
        guard model.step >= committed else {
            return CheckResult(
                "durable", .broken, method: method,
                "step \(plain(committed)) was reported as committed, and step \(plain(model.step)) is the newest"
            )
        }
        let verified = cluster.varve(["checkpoints", "verify", "--json"])
        if verified.code == 2 {
            let repaired = cluster.varve(["checkpoints", "verify", "--repair", "--json"])
            method = "varve checkpoints verify --repair, then varve export without any \(lossy) of the stores"
            guard repaired.code == 0 else {
                return CheckResult(
                    "durable", .broken, method: method,
                    "what is damaged can't be mended: \(repaired.output.prefix(200))")
            }
        } else if verified.code != 0 {
            return CheckResult(
                "durable", .unknown, method: method, "verify said: \(verified.errors.prefix(200))")
        }
        var tried = 0
        for lost in Self.subsets(of: run.drill.configuration.cluster.stores, taking: lossy).prefix(20) {
            let folders = lost.map { "\(cluster.directory)/stores/store-\($0)" }
            let moved = folders.allSatisfy { rename($0, $0 + ".away") == 0 }
            guard moved else {
                return CheckResult(
                    "durable", .unknown, method: method, "a store's folder could not be moved away")
            }
            let again = export()
            for folder in folders { rename(folder + ".away", folder) }
            tried += 1
            let names = lost.map { "store-\($0)" }.joined(separator: ", ")
            switch again {
            case .success(let other) where other.digest == model.digest && other.step == model.step: continue
            case .success(let other):
                return CheckResult(
                    "durable", .broken, method: method,
                    "without \(names) step \(plain(other.step)) has digest \(other.digest)")
            case .failure(let problem):
                return CheckResult(
                    "durable", .broken, method: method, "without \(names): \(problem.sentence)")
            }
        }
        return CheckResult(
            "durable", .held, method: method,
            "step \(plain(model.step)) came back with the same digest in all \(tried) cases"
                + (verified.code == 2 ? "; verify had found damage, and mended it" : "; every copy is whole"))
    }

    /// The subsets of 0..<count of a size; one empty set for size 0.
    static func subsets(of count: Int, taking size: Int) -> [[Int]] {
        guard size > 0 else { return [[]] }
        guard count >= size else { return [] }
        return subsets(of: count - 1, taking: size)
            + subsets(of: count - 1, taking: size - 1).map { $0 + [count - 1] }
    }
}
