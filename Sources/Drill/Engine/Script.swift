import Cluster
import Foundation

/// Carries out the steps of a drill on an engine, by looking at them again and again while time goes by.
final class Script {
    let run: DrillRun
    let engine: any Engine
    /// Injections that were begun and are not known to have struck or failed.
    private var striking: [(step: String, pending: Pending<Result<Injection, NotInjected>>)] = []

    init(run: DrillRun, engine: any Engine) {
        self.run = run
        self.engine = engine
    }

    var now: Double { run.clock.milliseconds }

    func run(_ steps: [DrillStep]) throws {
        for step in steps {
            if case .fault = step.action, let limit = run.drill.noNewFaultAfterMilliseconds,
                now >= Double(limit)
            {
                return
            }
            var running = begin(step)
            while !(try running.poll(self)) { pass() }
        }
    }

    /// Lets time go by, and heals what has lasted for as long as it was to.
    func pass() {
        engine.pass()
        run.healDue()
    }

    /// Waits for what was begun, so that it can be healed.
    func drain() {
        for (step, pending) in striking {
            while pending.done == nil { engine.pass() }
            if case .success(let injection)? = pending.done { run.struck(injection, step: step, until: nil) }
        }
        striking = []
    }

    func begin(_ step: DrillStep) -> RunningStep {
        run.history.add(.step, step: step.name, "begins")
        return RunningStep(step, self)
    }

    /// Throws when there is no point in going on.
    func goOn(_ what: @autoclosure () -> String, needed: Condition? = nil) throws {
        try run.checkTime(what())
        if let failure = run.state.withLock({ $0.failure }) { throw failure }
        guard let end = engine.ended else { return }
        // What is told with its last words may have come while we looked.
        if case .event = needed { return }
        let step = plain(engine.last("step", "step") ?? 0)
        throw DrillStop.failed(
            end.code == 0
                ? "training ended at step \(step) while \(what())"
                : "the run ended with \(end.code) while \(what()): \(end.words)")
    }

    // MARK: Faults

    func strike(_ fault: Fault, _ step: DrillStep) throws -> RunningStep.Strike {
        if engine.ended != nil {
            throw DrillStop.notInjected(
                "step '\(step.name)': \(fault.kind.rawValue) could not strike, the run had ended already")
        }
        let (nodes, pairs) = draw(fault)
        let pending = engine.inject(fault, nodes: nodes, pairs: pairs)
        striking.append((step.name, pending))
        return .init(began: now, nodes: nodes, pending: pending)
    }

    /// True once the fault has struck.
    func hasStruck(_ strike: RunningStep.Strike, _ fault: Fault, _ step: DrillStep) throws -> Bool {
        guard let result = strike.pending.done else { return false }
        striking.removeAll { $0.pending === strike.pending }
        switch result {
        case .failure(let problem):
            let sentence =
                "step '\(step.name)': \(fault.kind.rawValue) on \(fault.targetText) was not injected: \(problem.sentence)"
            run.history.add(.notInjected, step: step.name, nodes: strike.nodes, sentence)
            throw DrillStop.notInjected(sentence)
        case .success(let injection):
            run.history.add(.fault, step: step.name, nodes: injection.nodes, injection.sentence)
            run.state.withLock { state in
                state.firstStrike = state.firstStrike ?? strike.began
                for node in injection.nodes { state.struck[node] = strike.began }
            }
            run.struck(injection, step: step.name, until: fault.forMilliseconds.map { now + Double($0) })
            return true
        }
    }

    private func draw(_ fault: Fault) -> (nodes: [String], pairs: [LinkPair]) {
        run.state.withLock { state in
            let configuration = run.drill.configuration
            switch fault.target {
            case .nodes(let selector): return (selector.draw(in: configuration, with: &state.random), [])
            case .links(let first, let second, let oneWay):
                let from = first.draw(in: configuration, with: &state.random)
                let to = second.draw(in: configuration, with: &state.random)
                var pairs: [LinkPair] = []
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

extension Engine {
    /// A run tells of thousands of steps: those before are not looked at again.
    func events(since time: Double) -> ArraySlice<ClusterEvent> {
        let all = events
        var (low, high) = (0, all.count)
        while low < high {
            let middle = (low + high) / 2
            if all[middle].atMilliseconds < time { low = middle + 1 } else { high = middle }
        }
        return all[low...]
    }

    func last(_ kind: String, _ key: String) -> Double? {
        events.last { $0.kind == kind && $0.numbers[key] != nil }?.numbers[key]
    }
}
