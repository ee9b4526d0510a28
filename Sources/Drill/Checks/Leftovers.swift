import Foundation

/// What a run leaves behind.
struct Leftovers {
    let cluster: RunningCluster

    func checks() -> [CheckResult] {
        let left = cluster.ended(withinMilliseconds: 5000)
        let names = left.map { "\($0.node ?? "?") (process \($0.pid))" }.sorted().joined(separator: ", ")
        let orphans = CheckResult(
            "no_orphans", left.isEmpty ? .held : .broken,
            method: "every process of the run, by id and start time, in /proc",
            left.isEmpty ? "all \(cluster.everSeen.count) processes that ran have ended" : "\(names) went on")
        let files = (FileManager.default.enumerator(atPath: cluster.directory)?.allObjects as? [String]) ?? []
        let partial = files.filter {
            $0.hasSuffix(".tmp") || $0.hasSuffix(".new") || $0.hasSuffix(".partial")
        }
        let method = "names of unfinished files in the run directory"
        // A store that was killed may leave a segment that it had begun; its next start removes that.
        let shown = partial.prefix(3).joined(separator: ", ")
        return [
            orphans,
            CheckResult(
                "no_partial_files", partial.isEmpty ? .held : .broken, method: method,
                partial.isEmpty
                    ? "none among \(files.count) files" : "\(shown) \(partial.count == 1 ? "is" : "are") left"
            ),
        ]
    }
}
