/// What a dead-zone quantizer of any step would do to a sample, by a histogram of its magnitudes.
struct ErrorCurve {
    /// Cells: 16 to an octave.
    private static let cellShift: UInt32 = 19
    private static let cellCount = 4096

    private let total: Int
    private var largest = 0.0
    /// Elements, and their squares' sum, below each cell.
    private var counts = [Int](repeating: 0, count: cellCount + 1)
    private var energies = [Double](repeating: 0, count: cellCount + 1)

    init(_ sample: UnsafeBufferPointer<Float>) {
        total = sample.count
        for delta in sample { add(delta) }
        accumulate()
    }

    /// The curve of a whole vector: exact from the floor on that loud groups have, and below it as if all others were zero.
    init(_ loud: LoudGroups) {
        total = loud.count
        loud.forEachDelta { add($0) }
        counts[0] += total - loud.packed
        energies[0] += loud.quietError
        accumulate()
    }

    private mutating func add(_ delta: Float) {
        largest = max(largest, Double(delta.magnitude))
        let cell = Int((delta.bitPattern & 0x7fff_ffff) >> ErrorCurve.cellShift)
        counts[cell] += 1
        energies[cell] += Double(delta) * Double(delta)
    }

    private mutating func accumulate() {
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
        var (low, high) = (-126.0, log2(max(largest, 0x1p-118)) + 1)
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

    /// Thresholds by kind of activity.
    ///
    /// - Parameter known: elements of every kind that each is told by besides its own, of which as many are sent as of all.
    func thresholds(after outcome: UniformOutcome, of count: Int, asIf known: Double) -> [Float] {
        let share = max(0.1, Double(outcome.nonzero)) / Double(count)
        return zip(outcome.seen, outcome.sent).map { seen, sent in
            let own = (Double(sent) + known * share) / (Double(seen) + known)
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
