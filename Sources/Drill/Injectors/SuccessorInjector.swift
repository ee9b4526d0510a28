import Foundation

/// Two coordinators at once: the one that leads hangs, another one takes the lead, and then the first one wakes.
///
/// The successor has the same database and listens elsewhere; the proxy in front of the coordinator leads to it. When
/// the first one has woken and left, `varve up` starts a third in its place, to which everything goes over again.
struct SuccessorInjector {
    let scene: Scene

    func replace(_ nodes: [String]) throws(NotInjected) -> Injection {
        guard nodes == ["coordinator"], let proxy = scene.proxy else {
            throw NotInjected("only a coordinator whose links run through the proxy can get a successor")
        }
        let processes = ProcessInjector(scene: scene)
        guard let old = try processes.find(nodes).first?.entry, let port = LinkProxies.unusedPort() else {
            throw NotInjected("there is no free port")
        }
        let pause = try pauseBetweenTransactions(old.pid, processes)
        let successor: Subprocess
        do throws(NotInjected) { successor = try start(port) } catch {
            _ = pause.heal?()
            throw error
        }
        let url = "tcp://127.0.0.1:\(port)"
        let known = (try? String(contentsOfFile: endpointPath, encoding: .utf8)) ?? ""
        redirect(proxy, to: port, tools: url)
        let leads = until(milliseconds: 10_000) { scene.cluster.status() != nil }
        let heal: @Sendable () -> String? = { [scene] in
            SuccessorInjector(scene: scene).wake(old, pause: pause, successor, proxy, known: known)
        }
        guard leads else {
            _ = heal()
            throw NotInjected("the successor does not answer")
        }
        return Injection(
            nodes: nodes,
            sentence:
                "SIGSTOP paused coordinator (process \(old.pid)), and its successor (process \(successor.pid)) leads",
            heal: heal)
    }

    /// One that is paused within a transaction holds its database, and nobody else could lead.
    private func pauseBetweenTransactions(
        _ pid: Int32, _ processes: ProcessInjector
    ) throws(NotInjected) -> Injection {
        for _ in 0..<500 {
            let pause = try processes.pause(["coordinator"])
            let table = ProcessTable.read("/proc/locks") ?? []
            // Number, kind, how strict, READ or WRITE, process, …
            let isWriting = String(decoding: table, as: UTF8.self).split(separator: "\n").contains { line in
                let fields = line.split(separator: " ", omittingEmptySubsequences: true)
                return fields.count > 4 && fields[3] == "WRITE" && fields[4] == "\(pid)"
            }
            if !isWriting { return pause }
            _ = pause.heal?()
            usleep(useconds_t.random(in: 500...5000))
        }
        throw NotInjected("the coordinator was within a transaction whenever it was paused")
    }

    private var endpointPath: String { scene.cluster.directory + "/coordinator.endpoint" }

    private func start(_ port: UInt16) throws(NotInjected) -> Subprocess {
        let folder = "\(scene.run.scratch)/successor-\(port)"
        guard mkdir(folder, 0o700) == 0 else { throw NotInjected("can't make \(folder)") }
        for name in ["varve-run.json", "config.yaml", "coordinator"] {
            guard symlink("\(scene.cluster.directory)/\(name)", "\(folder)/\(name)") == 0 else {
                throw NotInjected("can't link \(name) of the run")
            }
        }
        let child: Subprocess
        do {
            child = try Subprocess(
                scene.cluster.executable,
                [
                    "coordinator", "--run-dir", folder, "--bind", "tcp://127.0.0.1:\(port)", "--history",
                    scene.cluster.directory + "/history",
                ],
                output: folder + "/out",
                errors: scene.cluster.directory + "/logs/coordinator-successor.log")
        } catch { throw NotInjected(error.sentence) }
        let listens = until(milliseconds: 10_000) {
            access(folder + "/coordinator.endpoint", R_OK) == 0 || child.exitCode != nil
        }
        guard listens, child.exitCode == nil else {
            child.end(graceMilliseconds: 1000)
            throw NotInjected("the successor did not start")
        }
        return child
    }

    /// Lets nodes and tools find another coordinator.
    private func redirect(_ proxy: LinkProxies, to port: UInt16?, tools url: String) {
        _ = replaceFile(endpointPath, with: url)
        proxy.lead("coordinator", to: port)
        let others = NodeRole.allCases.flatMap { $0.nodes(in: scene.run.drill.configuration) }
        let pairs = others.map { LinkPair(from: $0, to: "coordinator") }
        _ = proxy.breakConnections(pairs, leavingDialer: false)
    }

    /// The first coordinator wakes, and has to leave by itself.
    private func wake(
        _ old: ProcessTable.Entry, pause: Injection, _ successor: Subprocess, _ proxy: LinkProxies,
        known: String
    ) -> String? {
        _ = replaceFile(endpointPath, with: known)
        _ = pause.heal?()
        let left = until(milliseconds: 20_000) { !ProcessTable.isAlive(old) }
        let isBack = until(milliseconds: 10_000) {
            scene.cluster.processes()["coordinator"].map { $0.pid != old.pid } ?? false
        }
        redirect(proxy, to: nil, tools: known)
        successor.end(graceMilliseconds: 3000)
        if !left { return "the coordinator that was replaced (process \(old.pid)) went on after it woke" }
        return isBack || scene.cluster.up.exitCode != nil ? nil : "no coordinator was started in its place"
    }

    private func until(milliseconds: Int, _ condition: () -> Bool) -> Bool {
        let limit = ContinuousClock.now + .milliseconds(milliseconds)
        while !condition() {
            guard ContinuousClock.now < limit, scene.cluster.up.exitCode == nil else { return false }
            usleep(5000)
        }
        return true
    }
}
