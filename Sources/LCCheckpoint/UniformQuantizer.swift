// Quantization by a dead zone and uniform steps, with thresholds that depend on what happened nearby.
//
// A level is worth sending when it mends more error than its bits cost: at equal slope λ a nonzero that would be a
// surprise must be larger than one among others. The class of an element is the recent activity, which the coder
// sees too.

/// Thresholds and counts by class of activity.
struct ActivityClasses {
    static let count = 49

    @inline(__always)
    static func index(_ activity: Activity) -> Int {
        min(activity.fastClass / 2, 6) * 7 + min(activity.slowClass / 2, 6)
    }
}

/// How to quantize: levels are counted in steps.
struct UniformRule {
    var step: Float
    /// In steps, by class: below it nothing is sent.
    var thresholds: [Float]
    /// Elements that are quantized by themselves.
    static let blockCount = 1 << 18
    /// No threshold is lower.
    static let lowestThreshold: Float = 0.5
    /// A magnitude of k + 0.6 steps is still level k: small levels are the cheaper ones.
    static let rounding: Float = 0.4
    /// From here on, in steps, an element is an exception.
    static let end = Float(Level.maximum) + 0.5

    init(step: Float, threshold: Float) {
        self.step = step
        thresholds = [Float](
            repeating: max(threshold, UniformRule.lowestThreshold), count: ActivityClasses.count)
    }
}

/// What quantizing came to.
struct UniformOutcome {
    /// Levels whose members are summed apart.
    static let summed = UniformValues.ownPlaces + 1

    /// ‖δ − q(δ)‖² with the centroids as values.
    var error = 0.0
    var nonzero = 0
    var highest = 0
    /// Elements beyond the last level.
    var beyond = 0
    /// By class: how many elements, and how many of them nonzero.
    var seen = [Int](repeating: 0, count: ActivityClasses.count)
    var sent = [Int](repeating: 0, count: ActivityClasses.count)
    /// Where members lie: 256ths of a step.
    var places = [Int8](repeating: 0, count: summed)
}

/// Quantizes magnitudes in the order of the elements, block by block: nothing is told from one to the next, as in the coder.
///
/// - Parameters:
///   - deltas: finite.
///   - symbols: written if given.
func quantizeUniform(
    _ deltas: UnsafeBufferPointer<Float>, _ rule: UniformRule, symbols: UnsafeMutablePointer<UInt16>?,
    threads: Int = 1
) -> UniformOutcome {
    let size = UniformRule.blockCount
    let blocks = (deltas.count + size - 1) / size
    guard blocks > 1 else {
        var tally = UniformTally()
        tally.quantize(deltas, rule, symbols: symbols)
        return tally.outcome(rule)
    }
    let tallies = Results(count: blocks, UniformTally())
    inParallel(blocks, threads: threads) { block, _ in
        let range = (block * size)..<min((block + 1) * size, deltas.count)
        tallies.change(block) {
            $0.quantize(
                UnsafeBufferPointer(rebasing: deltas[range]), rule,
                symbols: symbols.map { $0 + range.lowerBound })
        }
    }
    var sum = UniformTally()
    for tally in tallies.all { sum.add(tally) }
    return sum.outcome(rule)
}

/// Sums over the elements of a block.
private struct UniformTally {
    private static let summed = UniformOutcome.summed
    private var known = UniformOutcome()
    /// Squares of what isn't sent, in steps: in groups of eight, and one by one.
    private var zeroError = (0.0, 0.0)
    /// What levels miss, in steps: the members of a level and their offsets from it, and the squares.
    private var offsets = [Double](repeating: 0, count: summed + 1)
    private var squares = [Double](repeating: 0, count: summed + 1)
    private var counts = [Int](repeating: 0, count: summed + 1)
    private var quietGroups = 0

    mutating func add(_ other: UniformTally) {
        known.highest = max(known.highest, other.known.highest)
        known.beyond += other.known.beyond
        for kind in known.seen.indices {
            known.seen[kind] += other.known.seen[kind]
            known.sent[kind] += other.known.sent[kind]
        }
        zeroError.0 += other.zeroError.0
        zeroError.1 += other.zeroError.1
        for slot in counts.indices {
            offsets[slot] += other.offsets[slot]
            squares[slot] += other.squares[slot]
            counts[slot] += other.counts[slot]
        }
        quietGroups += other.quietGroups
    }

    /// Eight at a time where nothing happens.
    mutating func quantize(
        _ deltas: UnsafeBufferPointer<Float>, _ rule: UniformRule, symbols: UnsafeMutablePointer<UInt16>?
    ) {
        let inverse = 1 / rule.step
        let floor = UniformRule.lowestThreshold
        var activity = Activity()
        var index = 0
        while index < deltas.count {
            let end = min(index + 8, deltas.count)
            if end - index == 8 {
                var largest: Float = 0
                var sum: Float = 0
                for place in index..<end {
                    let ratio = (deltas[place] * inverse).magnitude
                    largest = max(largest, ratio)
                    sum += ratio * ratio
                }
                if largest < floor {
                    zeroError.0 += Double(sum)
                    if let symbols { (symbols + index).update(repeating: 0, count: 8) }
                    if activity.slow == 0 {
                        quietGroups += 1
                    } else {
                        known.seen[ActivityClasses.index(activity)] += 8
                    }
                    activity.noteQuietGroup()
                    index = end
                    continue
                }
            }
            while index < end {
                let symbol = quantize(deltas[index], inverse, rule, &activity)
                if let symbols { symbols[index] = symbol }
                index += 1
            }
        }
    }

    @inline(__always)
    private mutating func quantize(
        _ delta: Float, _ inverse: Float, _ rule: UniformRule, _ activity: inout Activity
    ) -> UInt16 {
        let ratio = (delta * inverse).magnitude
        let kind = ActivityClasses.index(activity)
        known.seen[kind] += 1
        if ratio < rule.thresholds[kind] {
            zeroError.1 += Double(ratio) * Double(ratio)
            activity.note(0)
            return 0
        }
        guard ratio < UniformRule.end else {
            known.beyond += 1
            activity.note(0)
            return 0
        }
        let level = max(1, Int(ratio + UniformRule.rounding))
        known.sent[kind] += 1
        let offset = Double(ratio) - Double(level)
        let slot = min(level, UniformTally.summed)
        counts[slot] += 1
        offsets[slot] += offset
        squares[slot] += offset * offset
        known.highest = max(known.highest, level)
        activity.note(level)
        return Level.symbol(magnitude: level, isNegative: delta < 0)
    }

    func outcome(_ rule: UniformRule) -> UniformOutcome {
        var outcome = known
        outcome.seen[0] += 8 * quietGroups
        var error = zeroError.0 + zeroError.1
        for slot in 1...UniformTally.summed where counts[slot] > 0 {
            let mean = offsets[slot] / Double(counts[slot])
            let place = max(-128, min(127, (mean * 256).rounded()))
            outcome.places[slot - 1] = Int8(place)
            let value = place / 256
            error += squares[slot] - 2 * value * offsets[slot] + value * value * Double(counts[slot])
            outcome.nonzero += counts[slot]
        }
        outcome.error = error * Double(rule.step) * Double(rule.step)
        return outcome
    }
}
