import Foundation

/// A step that was begun, and how far it has come.
struct RunningStep {
    /// A fault on its way.
    struct Strike {
        var began: Double
        var nodes: [String]
        var pending: Pending<Result<Injection, NotInjected>>
    }

    private enum Phase {
        case ended
        case waiting(Observer, Condition, until: Double, lasting: Int)
        case holding(Observer, Condition, until: Double)
        case pausing(until: Double)
        /// Before a firing: when the next one is due, and which it is, from 0.
        case due(Fault, at: Double, round: Int)
        case striking(Fault, Strike, round: Int)
        case executing(Pending<CommandEnd>)
        case verifying(Pending<VerifyAnswer>, VerifyWish, until: Double)
        case verifyAgain(VerifyWish, at: Double, until: Double)
        case together([RunningStep])
    }

    let step: DrillStep
    private var phase: Phase

    init(_ step: DrillStep, _ script: Script) {
        self.step = step
        let now = script.now
        switch step.action {
        case .wait(let condition, let within):
            phase = .waiting(
                Observer(script, condition), condition, until: now + Double(within), lasting: 0)
        case .assert(let condition, let within, let lasting):
            phase = .waiting(
                Observer(script, condition), condition, until: now + Double(within), lasting: lasting)
        case .fault(let fault):
            script.run.state.withLock { state in
                state.faultBegan = now
                state.struck = [:]
            }
            phase = .due(fault, at: now, round: 0)
        case .heal(let name):
            script.run.healAll(named: name)
            phase = .ended
        case .pause(let milliseconds): phase = .pausing(until: now + Double(milliseconds))
        case .run(let command, let within):
            phase = .executing(script.engine.execute(command, withinMilliseconds: within))
        case .verify(let wish, let within):
            phase = .verifyAgain(wish, at: now, until: now + Double(within))
        case .parallel(let steps): phase = .together(steps.map(script.begin))
        }
    }

    /// Looks how far it is; true once it is done, and from then on.
    mutating func poll(_ script: Script) throws -> Bool {
        guard try advance(script) else { return false }
        phase = .ended
        return true
    }

    private mutating func advance(_ script: Script) throws -> Bool {
        switch phase {
        case .ended: return true
        case .waiting(var observer, let condition, let until, let lasting):
            let holds = isTrivial(condition) || observer.holds()
            phase = .waiting(observer, condition, until: until, lasting: lasting)
            if holds { return hold(condition, lasting, script) }
            if observer.isAsking {
                try script.goOn("step '\(step.name)' waits for \(condition.text)", needed: condition)
                return false
            }
            try wait(
                script, until: until, condition: condition,
                "\(condition.text) did not come true within \(patience) ms; \(observer.found)")
            return false
        case .holding(var observer, let condition, let until):
            return try keep(&observer, condition, until, script)
        case .pausing(let until):
            try script.goOn("step '\(step.name)'")
            return script.now >= until
        case .due(let fault, let at, let round):
            if round > 0 { try script.goOn("step '\(step.name)'") }
            guard script.now >= at else { return false }
            phase = .striking(fault, try script.strike(fault, step), round: round)
            return try advance(script)
        case .striking(let fault, let strike, let round):
            guard try script.hasStruck(strike, fault, step) else { return false }
            guard round + 1 < fault.times else { return true }
            phase = .due(
                fault, at: script.now + Double(fault.everyMilliseconds ?? 0), round: round + 1)
            return false
        case .executing(let pending): return try hasLeft(pending, script)
        case .verifying(let pending, let wish, let until):
            return try hasVerified(pending, wish, until, script)
        case .verifyAgain(let wish, let at, let until):
            if script.now >= at {
                phase = .verifying(script.engine.verify(repair: wish.repairs), wish, until: until)
            }
            return false
        case .together(var steps):
            var done = true
            var stops: [DrillStop] = []
            for index in steps.indices {
                do { done = try steps[index].poll(script) && done } catch {
                    stops.append(error as? DrillStop ?? .broken("\(error)"))
                }
            }
            phase = .together(steps)
            // A fault that could not strike says more than what did not hold without it.
            let first = stops.first { if case .notInjected = $0 { true } else { false } } ?? stops.first
            if let first { throw first }
            return done
        }
    }

    private var place: String { "step '\(step.name)' (line \(step.line))" }

    private var patience: Int {
        switch step.action {
        case .wait(_, let within), .assert(_, let within, _), .run(_, let within), .verify(_, let within):
            within
        case .fault, .heal, .pause, .parallel: 0
        }
    }

    /// What can only be told by and by is not waited for.
    private func isTrivial(_ condition: Condition) -> Bool {
        if case .noEvent = condition { true } else { false }
    }

    private func wait(
        _ script: Script, until: Double, condition: Condition? = nil, _ problem: @autoclosure () -> String
    ) throws {
        try script.goOn("step '\(step.name)' waits for \(condition?.text ?? "an answer")", needed: condition)
        guard script.now < until else { throw DrillStop.failed("\(place): \(problem())") }
    }

    private mutating func hold(_ condition: Condition, _ lasting: Int, _ script: Script) -> Bool {
        if lasting == 0 {
            script.run.history.add(.step, step: step.name, "holds: \(condition.text)")
            return true
        }
        phase = .holding(Observer(script, condition), condition, until: script.now + Double(lasting))
        return false
    }

    private mutating func keep(
        _ observer: inout Observer, _ condition: Condition, _ until: Double, _ script: Script
    ) throws -> Bool {
        let holds = observer.holds()
        phase = .holding(observer, condition, until: until)
        guard holds || observer.isAsking else {
            throw DrillStop.failed("\(place): \(condition.text) did not hold; \(observer.found)")
        }
        try script.goOn("step '\(step.name)'", needed: condition)
        guard script.now >= until else { return false }
        script.run.history.add(.step, step: step.name, "held: \(condition.text)")
        return true
    }

    private func hasLeft(_ pending: Pending<CommandEnd>, _ script: Script) throws -> Bool {
        guard let end = pending.done else {
            try script.run.checkTime("step '\(step.name)'")
            return false
        }
        try script.run.checkTime("step '\(step.name)'")
        if let problem = end.problem { throw DrillStop.broken(problem) }
        guard let code = end.code else {
            throw DrillStop.failed("\(place) did not end within \(patience) ms")
        }
        guard code == 0 else { throw DrillStop.failed("\(place) left with \(code)\(end.words)") }
        script.run.history.add(.step, step: step.name, "left with 0\(end.words)")
        return true
    }

    private mutating func hasVerified(
        _ pending: Pending<VerifyAnswer>, _ wish: VerifyWish, _ until: Double, _ script: Script
    ) throws -> Bool {
        guard let answer = pending.done else {
            try wait(script, until: until, "verify did not answer within \(patience) ms")
            return false
        }
        if wish.isMet(by: answer) {
            script.run.history.add(.step, step: step.name, "\(wish.rawValue): \(answer.sentence)")
            return true
        }
        try wait(
            script, until: until,
            "verify did not come to '\(wish.rawValue)' within \(patience) ms: \(answer.sentence)")
        // Again, since a replica may just be behind with what was committed a moment ago.
        phase = .verifyAgain(wish, at: script.now + 100, until: until)
        return false
    }
}

extension VerifyWish {
    var repairs: Bool {
        switch self {
        case .damaged, .whole: false
        case .mended, .unmendable: true
        }
    }

    func isMet(by answer: VerifyAnswer) -> Bool {
        switch self {
        case .damaged: answer.corrupt > 0
        case .whole: answer.isWhole && answer.corrupt == 0
        case .mended: answer.isWhole
        case .unmendable: answer.problem == nil && answer.corrupt > answer.repaired
        }
    }
}
