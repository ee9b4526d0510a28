import Cluster
import Foundation
import Synchronization

/// Carries out the steps of a drill on a running cluster.
struct Scene: Sendable {
    let run: DrillRun
    let cluster: RunningCluster
    let proxy: LinkProxies?

    func run(_ steps: [DrillStep]) throws {
        for step in steps {
            if case .fault = step.action, let limit = run.drill.noNewFaultAfterMilliseconds,
                run.clock.milliseconds >= Double(limit)
            {
                return
            }
            try perform(step)
        }
    }

    private func perform(_ step: DrillStep) throws {
        run.history.add(.step, step: step.name, "begins")
        switch step.action {
        case .wait(let condition, let within): try wait(for: condition, within: within, step)
        case .assert(let condition, let within, let lasting):
            try wait(for: condition, within: within, step)
            if lasting > 0 { try hold(condition, milliseconds: lasting, step) }
        case .fault(let fault): try inject(fault, step)
        case .heal(let name): run.healAll(named: name)
        case .pause(let milliseconds): try pause(milliseconds, step)
        case .run(let command, let within): try execute(command, within: within, step)
        case .parallel(let steps): try atOnce(steps)
        }
    }

    // MARK: Waiting

    private func wait(for condition: Condition, within: Int, _ step: DrillStep) throws {
        if case .noEvent = condition { return }
        let limit = ContinuousClock.now + .milliseconds(within)
        var observer = Observer(scene: self, condition: condition)
        while true {
            if observer.holds() {
                run.history.add(.step, step: step.name, "holds: \(condition.text)")
                return
            }
            try goOn("step '\(step.name)' waits for \(condition.text)", needed: condition)
            guard ContinuousClock.now < limit else {
                throw DrillStop.failed(
                    "step '\(step.name)' (line \(step.line)): \(condition.text) did not come true within \(within) ms"
                        + "; \(observer.found)")
            }
            usleep(5000)
        }
    }

    private func hold(_ condition: Condition, milliseconds: Int, _ step: DrillStep) throws {
        let limit = ContinuousClock.now + .milliseconds(milliseconds)
        var observer = Observer(scene: self, condition: condition)
        while ContinuousClock.now < limit {
            guard observer.holds() else {
                throw DrillStop.failed(
                    "step '\(step.name)' (line \(step.line)): \(condition.text) did not hold for \(milliseconds) ms"
                        + "; \(observer.found)")
            }
            try goOn("step '\(step.name)'", needed: condition)
            usleep(5000)
        }
        run.history.add(.step, step: step.name, "held for \(milliseconds) ms: \(condition.text)")
    }

    /// Throws when there is no point in going on.
    private func goOn(_ what: @autoclosure () -> String, needed: Condition? = nil) throws {
        try run.checkTime(what())
        if let failure = run.state.withLock({ $0.failure }) { throw failure }
        if let code = cluster.up.exitCode {
            // What is told with its last words may have come while we looked.
            if case .event = needed { return }
            let step = plain(cluster.last("step", "step") ?? 0)
            throw DrillStop.failed(
                code == 0
                    ? "training ended at step \(step) while \(what())"
                    : "varve up left with \(code) while \(what()): \(cluster.lastWords)")
        }
    }

    private func pause(_ milliseconds: Int, _ step: DrillStep) throws {
        let limit = ContinuousClock.now + .milliseconds(milliseconds)
        while ContinuousClock.now < limit {
            try goOn("step '\(step.name)'")
            usleep(5000)
        }
    }

    private func execute(_ command: String, within: Int, _ step: DrillStep) throws {
        let done: (code: Int32?, output: String, errors: String)
        do {
            done = try Subprocess.run(
                "/bin/sh", ["-c", command], folder: run.scratch, milliseconds: within,
                environment: ["RUN_DIR": cluster.directory, "VARVE": cluster.executable],
                stop: { run.settings.isCancelled() })
        } catch { throw DrillStop.broken(error.sentence) }
        try run.checkTime("step '\(step.name)'")
        let words = (done.errors + done.output).split(separator: "\n").last.map { ": \($0)" } ?? ""
        guard let code = done.code else {
            throw DrillStop.failed("step '\(step.name)' (line \(step.line)) did not end within \(within) ms")
        }
        guard code == 0 else {
            throw DrillStop.failed("step '\(step.name)' (line \(step.line)) left with \(code)\(words)")
        }
        run.history.add(.step, step: step.name, "left with 0\(words)")
    }

    // MARK: Several at once

    private func atOnce(_ steps: [DrillStep]) throws {
        let failures = Mutex<[DrillStop]>([])
        let group = DispatchGroup()
        for step in steps {
            group.enter()
            let thread = Thread {
                do { try perform(step) } catch {
                    failures.withLock { $0.append(error as? DrillStop ?? .broken("\(error)")) }
                }
                group.leave()
            }
            thread.start()
        }
        group.wait()
        // A fault that could not strike says more than what did not hold without it.
        let all = failures.withLock { $0 }
        if let first = all.first(where: { if case .notInjected = $0 { true } else { false } }) ?? all.first {
            throw first
        }
    }

    // MARK: Faults

    private func inject(_ fault: Fault, _ step: DrillStep) throws {
        run.state.withLock { state in
            state.faultBegan = run.clock.milliseconds
            state.struck = [:]
        }
        for round in 0..<fault.times {
            let began = ContinuousClock.now
            if round > 0, let every = fault.everyMilliseconds {
                let due = began + .milliseconds(every)
                while ContinuousClock.now < due {
                    try goOn("step '\(step.name)'")
                    usleep(2000)
                }
            }
            try strike(fault, step)
        }
    }

    private func strike(_ fault: Fault, _ step: DrillStep) throws {
        if cluster.up.exitCode != nil {
            throw DrillStop.notInjected(
                "step '\(step.name)': \(fault.kind.rawValue) could not strike, the run had ended already")
        }
        let (nodes, pairs) = draw(fault)
        let began = run.clock.milliseconds
        let injection: Injection
        do {
            injection = try Injectors(scene: self).inject(fault, nodes: nodes, pairs: pairs)
        } catch {
            let sentence =
                "step '\(step.name)': \(fault.kind.rawValue) on \(fault.targetText) was not injected: \(error.sentence)"
            run.history.add(.notInjected, step: step.name, nodes: nodes, sentence)
            throw DrillStop.notInjected(sentence)
        }
        run.history.add(.fault, step: step.name, nodes: injection.nodes, injection.sentence)
        let id = run.state.withLock { state -> Int? in
            state.firstStrike = state.firstStrike ?? began
            for node in injection.nodes { state.struck[node] = began }
            guard injection.heal != nil else { return nil }
            let id = state.nextID
            state.nextID += 1
            state.active.append(.init(step: step.name, id: id, injection: injection))
            return id
        }
        if let id, let lasting = fault.forMilliseconds { healLater(id, milliseconds: lasting) }
    }

    private func healLater(_ id: Int, milliseconds: Int) {
        let run = run
        let thread = Thread {
            usleep(useconds_t(milliseconds) * 1000)
            let mine = run.state.withLock { state -> DrillRun.Active? in
                guard let index = state.active.firstIndex(where: { $0.id == id }) else { return nil }
                return state.active.remove(at: index)
            }
            if let mine { run.heal(mine) }
        }
        thread.start()
    }

    private func draw(_ fault: Fault) -> (nodes: [String], pairs: [LinkProxies.Pair]) {
        run.state.withLock { state in
            let configuration = run.drill.configuration
            switch fault.target {
            case .nodes(let selector): return (selector.draw(in: configuration, with: &state.random), [])
            case .links(let first, let second, let oneWay):
                let from = first.draw(in: configuration, with: &state.random)
                let to = second.draw(in: configuration, with: &state.random)
                var pairs: [LinkProxies.Pair] = []
                for a in from {
                    for b in to where DrillChecks.talk(a, b) {
                        pairs.append(.init(from: a, to: b))
                        if !oneWay { pairs.append(.init(from: b, to: a)) }
                    }
                }
                return (from + to.filter { !from.contains($0) }, pairs)
            }
        }
    }
}
