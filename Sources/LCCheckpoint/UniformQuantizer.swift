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
    var seen = [Int32](repeating: 0, count: ActivityClasses.count)
    var sent = [Int32](repeating: 0, count: ActivityClasses.count)
    /// Where members lie: 256ths of a step.
    var places = [Int8](repeating: 0, count: summed)
}

/// Quantizes magnitudes in the order of the elements, eight at a time where nothing happens.
///
/// - Parameters:
///   - deltas: finite.
///   - symbols: written if given.
func quantizeUniform(
    _ deltas: UnsafeBufferPointer<Float>, _ rule: UniformRule, symbols: UnsafeMutablePointer<UInt16>?
) -> UniformOutcome {
    var outcome = UniformOutcome()
    let inverse = 1 / rule.step
    let floor = UniformRule.lowestThreshold
    var activity = Activity()
    var zeroError = (0.0, 0.0)
    let summed = UniformOutcome.summed
    // Sums of what levels miss, in steps: the members of a level and their offsets from it, and the squares.
    var offsets = [Double](repeating: 0, count: summed + 1)
    var squares = offsets
    var counts = [Int](repeating: 0, count: summed + 1)
    var quietGroups: Int32 = 0
    rule.thresholds.withUnsafeBufferPointer { thresholds in
        offsets.withUnsafeMutableBufferPointer { offsets in
            squares.withUnsafeMutableBufferPointer { squares in
                counts.withUnsafeMutableBufferPointer { counts in
                    outcome.seen.withUnsafeMutableBufferPointer { seen in
                        outcome.sent.withUnsafeMutableBufferPointer { sent in
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
                                        if let symbols {
                                            (symbols + index).update(repeating: 0, count: 8)
                                        }
                                        if activity.slow == 0 {
                                            quietGroups &+= 1
                                        } else {
                                            seen[ActivityClasses.index(activity)] += 8
                                        }
                                        activity.noteQuietGroup()
                                        index = end
                                        continue
                                    }
                                }
                                while index < end {
                                    let delta = deltas[index]
                                    let ratio = (delta * inverse).magnitude
                                    let kind = ActivityClasses.index(activity)
                                    seen[kind] += 1
                                    var symbol: UInt16 = 0
                                    if ratio < thresholds[kind] {
                                        zeroError.1 += Double(ratio) * Double(ratio)
                                        activity.note(0)
                                    } else if ratio < UniformRule.end {
                                        let level = max(1, Int(ratio + UniformRule.rounding))
                                        sent[kind] += 1
                                        let offset = Double(ratio) - Double(level)
                                        let slot = min(level, summed)
                                        counts[slot] += 1
                                        offsets[slot] += offset
                                        squares[slot] += offset * offset
                                        outcome.highest = max(outcome.highest, level)
                                        symbol = Level.symbol(magnitude: level, isNegative: delta < 0)
                                        activity.note(level)
                                    } else {
                                        outcome.beyond += 1
                                        activity.note(0)
                                    }
                                    if let symbols { symbols[index] = symbol }
                                    index += 1
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    outcome.seen[0] += 8 &* quietGroups
    var error = zeroError.0 + zeroError.1
    for slot in 1...summed where counts[slot] > 0 {
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
