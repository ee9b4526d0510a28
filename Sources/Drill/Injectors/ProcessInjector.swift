import Foundation

/// Signals to nodes: ends, pauses, wakes.
struct ProcessInjector {
    let scene: Scene

    /// The running process of each node; a node that is just being started anew is waited for.
    func find(_ nodes: [String]) throws(NotInjected) -> [(node: String, entry: ProcessTable.Entry)] {
        let limit = ContinuousClock.now + .milliseconds(20_000)
        while true {
            let running = scene.cluster.processes()
            let found = nodes.compactMap { node in running[node].map { (node, $0) } }
            if found.count == nodes.count { return found }
            guard ContinuousClock.now < limit, scene.cluster.up.exitCode == nil else {
                let missing = nodes.filter { running[$0] == nil }
                throw NotInjected("\(missing.joined(separator: ", ")) has no process")
            }
            usleep(2000)
        }
    }

    func end(_ nodes: [String], with signal: Int32, named name: String) throws(NotInjected) -> Injection {
        let found = try find(nodes)
        // All signals first, so that several really go at once.
        for (node, entry) in found where kill(entry.pid, signal) != 0 {
            throw NotInjected("\(name) did not reach \(node): \(String(cString: strerror(errno)))")
        }
        // A process in the middle of a long call to the kernel takes a while to die; one told to end has its last words.
        try wait(
            milliseconds: 10_000, until: { !found.contains { ProcessTable.isAlive($0.entry) } },
            else: "\(names(found)) did not end")
        return Injection(nodes: nodes, sentence: "\(name) ended \(names(found))", heal: nil)
    }

    func pause(_ nodes: [String]) throws(NotInjected) -> Injection {
        let found = try find(nodes)
        for (_, entry) in found { kill(entry.pid, SIGSTOP) }
        try wait(
            milliseconds: 10_000,
            until: { found.allSatisfy { ProcessTable.entry($0.entry.pid)?.state == "T" } },
            else: "\(names(found)) did not stop")
        return Injection(nodes: nodes, sentence: "SIGSTOP paused \(names(found))") {
            // One that was replaced meanwhile is gone, and its successor needs no waking.
            for (_, entry) in found where ProcessTable.isAlive(entry) { kill(entry.pid, SIGCONT) }
            return nil
        }
    }

    func resume(_ nodes: [String]) throws(NotInjected) -> Injection {
        let found = try find(nodes)
        guard found.allSatisfy({ ProcessTable.entry($0.entry.pid)?.state == "T" }) else {
            throw NotInjected("\(names(found)) is not paused")
        }
        for (_, entry) in found { kill(entry.pid, SIGCONT) }
        return Injection(nodes: nodes, sentence: "SIGCONT woke \(names(found))", heal: nil)
    }

    func wait(
        milliseconds: Int, until condition: () -> Bool, else sentence: @autoclosure () -> String
    ) throws(NotInjected) {
        let limit = ContinuousClock.now + .milliseconds(milliseconds)
        while !condition() {
            guard ContinuousClock.now < limit else { throw NotInjected(sentence()) }
            usleep(1000)
        }
    }

    private func names(_ found: [(node: String, entry: ProcessTable.Entry)]) -> String {
        found.map { "\($0.node) (process \($0.entry.pid))" }.joined(separator: ", ")
    }
}
