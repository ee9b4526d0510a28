// Finding the coarsest step that meets an error.
//
// A histogram on a logarithmic grid gives error and share of nonzeros for any step and threshold; two passes over a
// sample settle how thresholds depend on activity, and one or two over everything make the bound hold. All of it
// costs a few nanoseconds an element. Where little may be sent that is packed, and takes the sample's place: what it says is
// exact, and a pass over it takes next to nothing.

/// Elements that the histogram counts, and that passes look at before they turn to all.
private let curveCount = 262_144
private let sampleCount = 32_768

extension UniformScope {
    /// Finds a rule whose error is at most `budget`, a sum of squares, and writes the symbols.
    ///
    /// - Parameter isPatient: by the quantizer that takes several times as long and some per cent fewer bytes.
    /// - Precondition: the sum of the deltas' squares exceeds the budget, which is positive.
    /// - Returns: nil when no step does: it would be too small for Float32, or leave more exceptions than symbols are worth.
    mutating func search(budget: Double, isPatient: Bool) -> (rule: UniformRule, outcome: UniformOutcome)? {
        if isPatient { unpack() }
        var attempt = 0
        while let loud = pieces.loud {
            switch settle(loud, budget: budget) {
            case .rule(let rule, let outcome): return (rule, outcome)
            case .none: return nil
            case .below(let floor):
                attempt += 1
                if attempt > 2 { unpack() } else { lower(min(0.5 * loud.floor, floor)) }
            }
        }
        let curve = withSample(vector, curveCount) { ErrorCurve($0) }
        guard var rule = curve.rule(budget: budget * curve.part(of: count)) else { return nil }
        rule.isPatient = isPatient
        withSample(vector, sampleCount) { sample in
            let part = Double(sample.count) / Double(count)
            for round in 0..<2 {
                let outcome = quantizeUniform(
                    sample.count, rule, symbols: nil, countsKinds: round == 0
                ) { range, _ in
                    (sample.baseAddress.unsafelyUnwrapped + range.lowerBound, nil)
                }
                if round == 0 {
                    rule.thresholds = curve.thresholds(after: outcome, of: sample.count, asIf: 8)
                }
                rule.step = min(
                    rule.step * 4, curve.step(rule, miss: outcome.error / (budget * part), aim: 0.985))
            }
        }
        // The sample may mislead: what counts is the error of all.
        guard case .rule(let found, let outcome) = settle(rule, curve, budget: budget) else { return nil }
        return (found, outcome)
    }

    /// Finds a rule by what is packed, which is all that may be sent.
    private func settle(_ loud: LoudGroups, budget: Double) -> SearchResult {
        let curve = ErrorCurve(loud)
        guard var rule = curve.rule(budget: budget) else { return .below(0.1 * loud.floor) }
        guard rule.lowest >= loud.floor else { return .below(0.5 * rule.lowest) }
        let outcome = loud.quantize(rule, writes: false, countsKinds: true, threads: workers)
        // As sure as twice a sample would make of it.
        rule.thresholds = curve.thresholds(
            after: outcome, of: count, asIf: 16 * max(1, Double(count) / Double(sampleCount)))
        rule.step = min(rule.step * 4, curve.step(rule, miss: outcome.error / budget, aim: 0.985))
        return settle(rule, curve, budget: budget)
    }

    /// Finds the step of a rule whose error by all elements meets the budget.
    private func settle(_ rule: UniformRule, _ curve: ErrorCurve, budget: Double) -> SearchResult {
        var rule = rule
        var bracket = StepBracket()
        // What is packed is tried in a fraction of the time, often enough to come near.
        let (closest, tries) = pieces.loud == nil ? (0.96, 2) : (0.99, 6)
        for attempt in 0..<32 {
            guard rule.step >= UniformValues.smallestStep, rule.step.isFinite else { return .none }
            guard let outcome = quantize(rule) else { return .below(0.9 * rule.lowest) }
            if outcome.beyond > count / 64 + 16 { return .none }
            let miss = outcome.error / budget
            if miss <= 1, miss >= (attempt < tries ? closest : 0.9) || bracket.fineStep != nil || attempt > 8
            {
                cut(UniformValues(rule, outcome), outcome.error, budget: budget)
                return .rule(rule, outcome)
            }
            if miss > 1, let fine = bracket.fineStep {
                rule.step = fine
                continue
            }
            rule.step = bracket.next(
                from: rule.step, isEnough: miss <= 1,
                wanted: curve.step(rule, miss: miss, aim: (1 + closest) / 2))
        }
        return .none
    }

    /// Drops levels from the end as long as the budget lasts.
    ///
    /// Where many deltas are alike no step meets the budget closely: all of them are sent or none. Then the first are sent.
    private func cut(_ values: UniformValues, _ error: Double, budget: Double) {
        // What is packed is soon gone through, and so for less.
        guard error < (pieces.loud == nil ? 0.85 : 0.97) * budget, values.highest > 0 else { return }
        var left = 0.995 * budget - error
        forEachPieceBackwards { own in
            for index in (0..<own.count).reversed() where own.symbols[index] != 0 {
                let size = Double((own.target[index] - own.previous[index]).magnitude)
                let miss = size - Double(values.magnitude(Level.magnitude(own.symbols[index])))
                left -= size * size - miss * miss
                if left < 0 { return false }
                own.symbols[index] = 0
            }
            return true
        }
    }
}

/// What a search for a rule came to.
private enum SearchResult {
    case rule(UniformRule, UniformOutcome)
    /// Deltas that aren't packed would have to be sent, from about this magnitude on.
    case below(Float)
    case none
}

/// Runs of neighbours if there are more elements than `most`.
func withSample<Result>(
    _ vector: ScopeVector, _ most: Int, _ body: (UnsafeBufferPointer<Float>) -> Result
) -> Result {
    let room = BlockScratch(count: 0)
    guard vector.layout.count > most else {
        return withExtendedLifetime(room) {
            body(
                UnsafeBufferPointer(
                    start: vector.deltas(0..<vector.layout.count, into: room), count: vector.layout.count))
        }
    }
    let runs = SampleRuns(count: vector.layout.count, most: most)
    let sample = UnsafeMutableBufferPointer<Float>.allocate(capacity: runs.elements)
    defer { sample.deallocate() }
    var next = sample.baseAddress.unsafelyUnwrapped
    for range in runs.ranges {
        withExtendedLifetime(room) {
            next.update(from: vector.deltas(range, into: room), count: runs.length)
        }
        next += runs.length
    }
    return body(UnsafeBufferPointer(sample))
}

/// Keeps steps to try between those known to be too coarse and those known to be fine enough.
private struct StepBracket {
    /// Powers of two.
    private var fine: Double?
    private var coarse: Double?
    private var tries = 0

    /// The finer of the two, where there is nothing left to win between them.
    var fineStep: Float? {
        guard let fine, let coarse, coarse - fine < 0.02 || tries > 12 else { return nil }
        return Float(exp2(fine))
    }

    mutating func next(from step: Float, isEnough: Bool, wanted: Float) -> Float {
        let here = log2(Double(step))
        if isEnough { fine = max(fine ?? here, here) } else { coarse = min(coarse ?? here, here) }
        tries += 1
        var there = min(here + 3, max(here - 3, log2(Double(wanted))))
        if let fine, let coarse, tries > 3 || there <= fine || there >= coarse { there = (fine + coarse) / 2 }
        // Away from here in any case, and the faster the longer it takes.
        let least = 0.003 * Double(1 << min(tries, 9))
        if coarse == nil { there = max(there, here + least) }
        if fine == nil { there = min(there, here - least) }
        return Float(exp2(there))
    }
}
