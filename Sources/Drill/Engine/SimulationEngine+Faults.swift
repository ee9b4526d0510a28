import Cluster
import Simulation

extension DrillFile {
    /// What the drill can be carried out on.
    public var engines: [EngineKind] {
        SimulationEngine.unknown(in: self) == nil ? [.processes, .simulation] : [.processes]
    }
}

extension SimulationEngine {
    /// What of a drill the simulator does not know, in words; nil when it can run it.
    static func unknown(in drill: DrillFile) -> String? {
        if let step = firstUnknown(in: drill.steps) { return step }
        switch drill.configuration.checkpoint.codec.kind {
        case .lc, .auto, .exact, .full: break
        case .topn, .scar:
            return "the simulator does not know checkpoints of a part of the model"
        }
        if drill.ending == .refused {
            return "the simulator does not know 'ends: refused': its checks hold within the promise alone"
        }
        if drill.expectations.accuracyWithin != nil {
            return "the simulator does not know 'accuracy_within': its model is no more than a vector"
        }
        if drill.expectations.throughputAfter != nil {
            return "the simulator does not know 'throughput_after': its steps take what it makes them take"
        }
        return nil
    }

    private static func firstUnknown(in steps: [DrillStep]) -> String? {
        for step in steps {
            switch step.action {
            case .fault(let fault):
                if !knows(fault) {
                    return "step '\(step.name)': the simulator does not know \(fault.kind.rawValue)"
                }
            case .run: return "step '\(step.name)': the simulator runs no commands"
            case .parallel(let inner): if let found = firstUnknown(in: inner) { return found }
            case .wait, .assert, .heal, .pause, .verify: break
            }
        }
        return nil
    }

    static func knows(_ fault: Fault) -> Bool {
        switch fault.kind {
        case .kill, .term, .pause, .resume, .replace, .clockJump, .cut, .delay, .reset, .bitFlip, .tornTail,
            .missingSegment, .misdirectedWrite, .wipe, .staleDisk, .diskFull, .fsyncError, .slowFsync:
            true
        // Sockets and bytes: there are none.
        case .limit, .halfOpen, .garbage, .oversize, .stalledHandshakes: false
        }
    }

    func inject(
        _ fault: Fault, nodes: [String], pairs: [LinkPair]
    ) -> Pending<Result<Injection, NotInjected>> {
        switch fault.kind.family {
        case .process: hurtProcesses(fault, nodes)
        case .link: hurtLinks(fault, nodes, pairs)
        case .disk: hurtDisks(fault, nodes)
        case .peer: Self.failed("the simulator does not know it")
        }
    }

    private static func failed(_ sentence: String) -> Pending<Result<Injection, NotInjected>> {
        Pending(done: .failure(NotInjected(sentence)))
    }

    /// Strikes each node at once; what can be healed lasts until then.
    private func each(
        _ nodes: [String], _ what: String, strike: (String) -> Bool,
        heal: ((StagedCluster, String) -> Void)? = nil
    ) -> Pending<Result<Injection, NotInjected>> {
        for node in nodes where !strike(node) { return Self.failed("there is nothing of \(node) to hurt") }
        return Pending(done: .success(injection(nodes, what, heal)))
    }

    private func hurtProcesses(_ fault: Fault, _ nodes: [String]) -> Pending<Result<Injection, NotInjected>> {
        let cluster = stage.cluster
        switch fault.kind {
        case .kill:
            if let moment = fault.during { return kill(nodes, moment) }
            return each(nodes, "killed", strike: { cluster.kill($0, cause: "killed") })
        case .term: return each(nodes, "ended", strike: { cluster.kill($0, cause: "ended by SIGTERM") })
        case .pause: return each(nodes, "paused", strike: cluster.pause, heal: { _ = $0.resume($1) })
        case .resume: return each(nodes, "woken", strike: cluster.resume)
        case .replace:
            let what = "paused, and a successor is started beside it"
            return each(nodes, what, strike: cluster.replace, heal: { _ = $0.resume($1) })
        case .clockJump:
            let by = fault.byMilliseconds
            let what = "the clock jumped ahead by \(by) ms"
            return each(nodes, what, strike: { cluster.jumpClock($0, milliseconds: by) })
        default: return Self.failed("\(fault.kind.rawValue) is no fault of processes")
        }
    }

    private func hurtLinks(
        _ fault: Fault, _ nodes: [String], _ pairs: [LinkPair]
    ) -> Pending<Result<Injection, NotInjected>> {
        let cluster = stage.cluster
        let directions = pairs.map { (from: $0.from, to: $0.to) }
        if fault.kind == .reset {
            let count = cluster.reset(directions)
            if count == 0 { return Self.failed("no connection is open there") }
            return Pending(done: .success(injection(nodes, "\(counted(count, "connection")) reset", nil)))
        }
        let delay = fault.kind == .cut ? nil : fault.delayMilliseconds + fault.jitterMilliseconds
        let ids = cluster.hinder(directions, delayMilliseconds: delay)
        let healing = ConfinedHealing(stage: stage, nodes: ["links"]) { cluster, _ in cluster.free(ids) }
        let names = pairs.map { "\($0.from) → \($0.to)" }.joined(separator: ", ")
        let what = delay.map { "\($0) ms later" } ?? "nothing goes through"
        return Pending(
            done: .success(Injection(nodes: nodes, sentence: "\(names): \(what)") { healing.run() }))
    }

    private func hurtDisks(_ fault: Fault, _ nodes: [String]) -> Pending<Result<Injection, NotInjected>> {
        let cluster = stage.cluster
        switch fault.kind {
        case .bitFlip:
            let record = run.state.withLock { state in
                cluster.flipBit(nodes, base: fault.record == .base) { state.random.below($0) }
            }
            guard let record else {
                return Self.failed("they hold no \(fault.record.rawValue) in common yet")
            }
            return Pending(done: .success(injection(nodes, "a bit of \(record) turned over", nil)))
        case .misdirectedWrite:
            for node in nodes { _ = cluster.misdirect(node) }
            return until("a write landed on another record", nodes, strikes: { $0.hasMisdirected($1) })
        case .tornTail: return until("killed within a write", nodes, strikes: { $0.killWhileWriting($1) })
        case .missingSegment:
            return each(nodes, "a third of its records is gone", strike: { cluster.loseRecords($0) != nil })
        case .wipe: return each(nodes, "its disk is empty", strike: cluster.wipe)
        case .staleDisk: return goBack(nodes, fault.ageMilliseconds)
        case .diskFull:
            return each(
                nodes, "the disk is full", strike: { cluster.setFull($0, true) },
                heal: { _ = $0.setFull($1, false) })
        case .slowFsync:
            return each(
                nodes, "every sync takes up to 400 ms longer", strike: { cluster.setSlow($0, true) },
                heal: { _ = $0.setSlow($1, false) })
        case .fsyncError:
            let before = nodes.compactMap(cluster.process(of:))
            for node in nodes { _ = cluster.setFailing(node, true) }
            return until(
                "every sync fails", nodes, strikes: { cluster, _ in before.allSatisfy(cluster.hasDied) },
                heal: { _ = $0.setFailing($1, false) })
        default: return Self.failed("\(fault.kind.rawValue) is no fault of disks")
        }
    }

    private func injection(
        _ nodes: [String], _ what: String, _ heal: ((StagedCluster, String) -> Void)?
    ) -> Injection {
        let sentence = "\(nodes.joined(separator: ", ")): \(what)"
        guard let heal else { return Injection(nodes: nodes, sentence: sentence, heal: nil) }
        let healing = ConfinedHealing(stage: stage, nodes: nodes, heal: heal)
        return Injection(nodes: nodes, sentence: sentence) { healing.run() }
    }

    /// For what strikes only when something happens: at most 10 s of virtual time are waited for it.
    private func until(
        _ what: String, _ nodes: [String], strikes: @escaping (StagedCluster, String) -> Bool,
        heal: ((StagedCluster, String) -> Void)? = nil
    ) -> Pending<Result<Injection, NotInjected>> {
        let limit = stage.cluster.milliseconds + 10_000
        var missing = nodes
        return Pending { [self] in
            missing.removeAll { strikes(stage.cluster, $0) }
            if missing.isEmpty { return .success(injection(nodes, what, heal)) }
            guard stage.cluster.milliseconds >= limit else { return nil }
            return .failure(NotInjected("nothing of it was seen within 10 s"))
        }
    }

    private func kill(_ nodes: [String], _ moment: KillMoment) -> Pending<Result<Injection, NotInjected>> {
        switch moment {
        case .fsync: return until("killed within a write", nodes, strikes: { $0.killWhileWriting($1) })
        case .sending, .receiving:
            // Before the first effect of an event: it was received, and nothing came of it.
            let effects = moment == .receiving ? 0 : 1
            let processes = nodes.compactMap { stage.cluster.killMidway($0, afterEffects: effects) }
            guard processes.count == nodes.count else {
                return Pending(done: .failure(NotInjected("one of them has no process")))
            }
            return until(
                "killed after \(effects) effects of an event", nodes,
                strikes: { cluster, _ in processes.allSatisfy(cluster.hasDied) })
        }
    }

    private func goBack(_ nodes: [String], _ age: Int) -> Pending<Result<Injection, NotInjected>> {
        let copies = nodes.map { ($0, stage.cluster.copy(of: $0)) }
        let due = stage.cluster.milliseconds + Double(age)
        return Pending { [self] in
            guard stage.cluster.milliseconds >= due else { return nil }
            for (node, copy) in copies {
                guard let copy, stage.cluster.goBack(node, to: copy) else {
                    return .failure(NotInjected("\(node) has no disk"))
                }
            }
            return .success(injection(nodes, "came back with the disk of \(age) ms before", nil))
        }
    }
}

/// Heals on the thread of its drill.
private final class ConfinedHealing: @unchecked Sendable {
    private let stage: ConfinedStage
    private let nodes: [String]
    private let heal: (StagedCluster, String) -> Void

    init(stage: ConfinedStage, nodes: [String], heal: @escaping (StagedCluster, String) -> Void) {
        self.stage = stage
        self.nodes = nodes
        self.heal = heal
    }

    func run() -> String? {
        for node in nodes { heal(stage.cluster, node) }
        return nil
    }
}
