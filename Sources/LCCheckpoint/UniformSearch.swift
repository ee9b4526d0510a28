// Finding the coarsest step that meets an error.
//
// A histogram on a logarithmic grid gives error and share of nonzeros for any step and threshold; two passes over a
// sample settle how thresholds depend on activity, and one or two over everything make the bound hold. All of it
// costs a few nanoseconds an element.

/// Elements that the histogram counts, and that passes look at before they turn to all.
private let curveCount = 262_144
private let sampleCount = 32_768
private let sampleRun = 1024
/// Elements that levels are dropped from at a time.
private let cutCount = 1 << 16

/// Finds a rule whose error is at most `budget`, a sum of squares, and writes the symbols.
///
/// - Parameters:
///   - isFinite: all deltas are.
///   - isPatient: by the quantizer that takes several times as long and some per cent fewer bytes.
/// - Precondition: the sum of the deltas' squares exceeds the budget, which is positive.
/// - Returns: nil when no step does: it would be too small for Float32, or leave more exceptions than symbols are worth.
func searchUniform(
    _ vector: ScopeVector, budget: Double, isFinite: Bool, isPatient: Bool,
    symbols: UnsafeMutablePointer<UInt16>, threads: Int
) -> (rule: UniformRule, outcome: UniformOutcome)? {
    let curve = withSample(vector, curveCount) { ErrorCurve($0) }
    guard var rule = curve.rule(budget: budget * curve.part(of: vector.layout.count)) else { return nil }
    rule.isPatient = isPatient
    var bracket = StepBracket()
    withSample(vector, sampleCount) { sample in
        let part = Double(sample.count) / Double(vector.layout.count)
        for round in 0..<2 {
            let outcome = quantizeUniform(
                sample.count, rule, symbols: nil, countsKinds: round == 0
            ) { range, _ in
                (sample.baseAddress.unsafelyUnwrapped + range.lowerBound, nil)
            }
            if round == 0 { rule.thresholds = curve.thresholds(after: outcome, of: sample.count) }
            rule.step = min(
                rule.step * 4, curve.step(rule, miss: outcome.error / (budget * part), aim: 0.985))
        }
    }
    // The sample may mislead: what counts is the error of all.
    let rooms = (0..<max(1, threads)).map { _ in BlockScratch(count: 0) }
    for attempt in 0..<32 {
        guard rule.step >= UniformValues.smallestStep, rule.step.isFinite else { return nil }
        let outcome = quantizeUniform(vector.layout.count, rule, symbols: symbols, threads: threads) {
            isFinite
                ? vector.targetAndReconstruction($0, into: rooms[$1])
                : (vector.deltas($0, into: rooms[$1]), nil)
        }
        if outcome.beyond > vector.layout.count / 64 + 16 { return nil }
        let miss = outcome.error / budget
        if miss <= 1, miss >= (attempt < 2 ? 0.96 : 0.9) || bracket.fineStep != nil || attempt > 8 {
            return (rule, cut(symbols, vector, rule, outcome, budget: budget))
        }
        if miss > 1, let fine = bracket.fineStep {
            rule.step = fine
            continue
        }
        rule.step = bracket.next(
            from: rule.step, isEnough: miss <= 1, wanted: curve.step(rule, miss: miss, aim: 0.98))
    }
    return nil
}

/// Drops levels from the end as long as the budget lasts.
///
/// Where many deltas are alike no step meets the budget closely: all of them are sent or none. Then the first are sent.
private func cut(
    _ symbols: UnsafeMutablePointer<UInt16>, _ vector: ScopeVector, _ rule: UniformRule,
    _ outcome: UniformOutcome, budget: Double
) -> UniformOutcome {
    guard outcome.error < 0.85 * budget, outcome.highest > 0 else { return outcome }
    let values = UniformValues(rule, outcome)
    var left = 0.995 * budget - outcome.error
    let room = BlockScratch(count: 0)
    defer { withExtendedLifetime(room) {} }
    var end = vector.layout.count
    while end > 0 {
        let range = max(0, end - cutCount)..<end
        let own = vector.deltas(range, into: room)
        for index in range.reversed() where symbols[index] != 0 {
            let size = Double(own[index - range.lowerBound].magnitude)
            let miss = size - Double(values.magnitude(Level.magnitude(symbols[index])))
            left -= size * size - miss * miss
            if left < 0 { return outcome }
            symbols[index] = 0
        }
        end = range.lowerBound
    }
    return outcome
}

/// Runs of neighbours, evenly spread, if there are more elements than `most`.
private func withSample<Result>(
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
    let sample = UnsafeMutableBufferPointer<Float>.allocate(capacity: most)
    defer { sample.deallocate() }
    let runs = most / sampleRun
    for run in 0..<runs {
        let start = (vector.layout.count - sampleRun) / (runs - 1) * run
        withExtendedLifetime(room) {
            (sample.baseAddress.unsafelyUnwrapped + run * sampleRun).update(
                from: vector.deltas(start..<(start + sampleRun), into: room), count: sampleRun)
        }
    }
    return body(UnsafeBufferPointer(sample))
}

/// What a dead-zone quantizer of any step would do to a sample, by a histogram of its magnitudes.
private struct ErrorCurve {
    /// Cells: 16 to an octave.
    private static let cellShift: UInt32 = 19
    private static let cellCount = 4096

    private let total: Int
    private let largest: Double
    /// Elements, and their squares' sum, below each cell.
    private var counts = [Int](repeating: 0, count: cellCount + 1)
    private var energies = [Double](repeating: 0, count: cellCount + 1)

    init(_ sample: UnsafeBufferPointer<Float>) {
        total = sample.count
        var largest: Float = 0
        for delta in sample {
            largest = max(largest, delta.magnitude)
            let cell = Int((delta.bitPattern & 0x7fff_ffff) >> ErrorCurve.cellShift)
            counts[cell] += 1
            energies[cell] += Double(delta) * Double(delta)
        }
        self.largest = Double(largest)
        var below = 0
        var energy = 0.0
        for cell in counts.indices {
            (counts[cell], below) = (below, below + counts[cell])
            (energies[cell], energy) = (energy, energy + energies[cell])
        }
    }

    func part(of count: Int) -> Double { Double(total) / Double(count) }

    /// What a bit is worth, in squared steps: nonzeros that are rare are judged more harshly.
    private static func slope(share: Double) -> Double { min(0.18, max(0.1, 0.195 - 0.32 * share)) }

    /// The threshold at which a nonzero of this probability pays.
    private static func threshold(share: Double, slope: Double) -> Float {
        let bits = log2((1 - share) / share) + 1.3
        return Float(min(4, max(0.5, 0.5 + slope * bits / 2)))
    }

    /// Sum of squares that is left, and the share of nonzeros.
    private func point(_ step: Double, _ threshold: Float) -> (error: Double, share: Double) {
        let bound = Float(step) * threshold
        guard bound < .infinity else { return (energies[ErrorCurve.cellCount], 0) }
        // Within a cell as if its members were spread evenly.
        let cell = Int(bound.bitPattern >> ErrorCurve.cellShift)
        let part =
            Double(bound.bitPattern & (1 << ErrorCurve.cellShift - 1)) / Double(1 << ErrorCurve.cellShift)
        let below = Double(counts[cell]) + part * Double(counts[cell + 1] - counts[cell])
        let energy = energies[cell] + part * (energies[cell + 1] - energies[cell])
        let above = Double(total) - below
        return (energy + above * step * step / 11.5, above / Double(total))
    }

    /// The threshold for a step, which depends on the share of nonzeros, which depends on the threshold.
    private func threshold(_ step: Double) -> Float {
        var threshold: Float = 0.6
        for _ in 0..<3 {
            let share = min(0.999, max(0.1 / Double(total), point(step, threshold).share))
            threshold = ErrorCurve.threshold(share: share, slope: ErrorCurve.slope(share: share))
        }
        return threshold
    }

    /// The largest step, as a power of two, for which `isEnough` holds, if it holds for all smaller ones.
    private func largestStep(_ isEnough: (Double) -> Bool) -> Double {
        // Steps beyond the largest delta are all the same.
        var (low, high) = (-110.0, log2(max(largest, 0x1p-100)) + 1)
        for _ in 0..<18 {
            let middle = (low + high) / 2
            if isEnough(exp2(middle)) { low = middle } else { high = middle }
        }
        return exp2(low)
    }

    /// A first step and one threshold for all.
    func rule(budget: Double) -> UniformRule? {
        let step = largestStep { point($0, threshold($0)).error <= budget }
        guard step >= Double(UniformValues.smallestStep), step < 0x1p120 else { return nil }
        return UniformRule(step: Float(step), threshold: threshold(step))
    }

    /// Thresholds by class of activity.
    func thresholds(after outcome: UniformOutcome, of count: Int) -> [Float] {
        let share = max(0.1, Double(outcome.nonzero)) / Double(count)
        return zip(outcome.seen, outcome.sent).map { seen, sent in
            let own = (Double(sent) + 8 * share) / (Double(seen) + 8)
            return ErrorCurve.threshold(
                share: min(0.999, max(1e-6, own)), slope: ErrorCurve.slope(share: share))
        }
    }

    /// The step at which the error, now `miss` budgets, would be `aim` budgets, if it goes as the curve does.
    func step(_ rule: UniformRule, miss: Double, aim: Double) -> Float {
        let threshold = threshold(Double(rule.step))
        let goal = point(Double(rule.step), threshold).error * aim / max(miss, 1e-9)
        return Float(largestStep { point($0, threshold).error <= goal })
    }
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

/// 2 to any power that a Double holds, without the platform's mathematics library; good to about 1e-12.
func exp2(_ power: Double) -> Double {
    guard power > -1000 else { return 0 }
    guard power < 1000 else { return .infinity }
    let whole = power.rounded()
    let rest = (power - whole) * 0.693_147_180_559_945_3
    var term = 1.0
    var sum = 1.0
    for index in 1..<14 {
        term *= rest / Double(index)
        sum += term
    }
    return sum * Double(sign: .plus, exponent: Int(whole), significand: 1)
}
