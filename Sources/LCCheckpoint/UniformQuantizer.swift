// Quantization by a dead zone and uniform steps, with thresholds that depend on what happened nearby.
//
// A level is worth sending when it mends more error than its bits cost: at equal slope λ a nonzero that would be a
// surprise must be larger than one among others. The class of an element is the recent activity, which the coder
// sees too. The loop over the elements is `ck_quantize_uniform`.

import CKernels

/// How to quantize: levels are counted in steps.
struct UniformRule {
    var step: Float
    /// In steps, by class: below it nothing is sent.
    var thresholds: [Float]
    /// Elements that are quantized by themselves.
    static let blockCount = 1 << 18
    /// No threshold is lower.
    static let lowestThreshold = CK_UNIFORM_LOWEST
    /// From here on, in steps, an element is an exception.
    static let end = CK_UNIFORM_END

    init(step: Float, threshold: Float) {
        self.step = step
        thresholds = [Float](
            repeating: max(threshold, UniformRule.lowestThreshold), count: Int(CK_ACTIVITY_KINDS))
    }
}

/// What quantizing came to.
struct UniformOutcome {
    /// ‖δ − q(δ)‖² with the centroids as values.
    var error: Double
    var nonzero = 0
    var highest: Int
    /// Elements beyond the last level.
    var beyond: Int
    /// By class: how many elements, and how many of them nonzero.
    var seen: [Int]
    var sent: [Int]
    /// Where members lie: 256ths of a step, of levels 1 to 8, then of all above.
    var places = [Int8](repeating: 0, count: Int(CK_LEVELS_SUMMED))

    fileprivate init(_ tally: ck_tally, step: Float) {
        highest = Int(tally.highest)
        beyond = Int(tally.beyond)
        seen = elements(tally.seen, UInt64.self).map { Int($0) }
        sent = elements(tally.sent, UInt64.self).map { Int($0) }
        let counts = elements(tally.counts, UInt64.self)
        let offsets = elements(tally.offsets, Double.self)
        let squares = elements(tally.squares, Double.self)
        var error = tally.quiet + squares[0]
        for slot in counts.indices.dropFirst() where counts[slot] > 0 {
            let mean = offsets[slot] / Double(counts[slot])
            let place = max(-128, min(127, (mean * 256).rounded()))
            places[slot - 1] = Int8(place)
            let value = place / 256
            error += squares[slot] - 2 * value * offsets[slot] + value * value * Double(counts[slot])
            nonzero += Int(counts[slot])
        }
        self.error = error * Double(step) * Double(step)
    }
}

/// A C array as Swift sees it, a tuple, by its elements.
private func elements<Tuple, Element>(_ tuple: Tuple, _: Element.Type) -> [Element] {
    withUnsafeBytes(of: tuple) { Array($0.bindMemory(to: Element.self)) }
}

/// Quantizes magnitudes in the order of the elements, block by block: nothing is told from one to the next, as in the coder.
///
/// - Parameters:
///   - symbols: written if given.
///   - deltas: those of a range, for a worker; finite.
func quantizeUniform(
    _ count: Int, _ rule: UniformRule, symbols: UnsafeMutablePointer<UInt16>?, threads: Int = 1,
    _ deltas: (Range<Int>, Int) -> UnsafePointer<Float>
) -> UniformOutcome {
    let size = UniformRule.blockCount
    let blocks = (count + size - 1) / size
    let tallies = Results(count: max(blocks, 1), ck_tally())
    inParallel(blocks, threads: threads) { block, worker in
        let range = (block * size)..<min((block + 1) * size, count)
        let first = deltas(range, worker)
        tallies.change(block) {
            ck_quantize_uniform(
                first, range.count, 1 / rule.step, rule.thresholds, symbols.map { $0 + range.lowerBound }, &$0
            )
        }
    }
    var sum = tallies[0]
    for block in 0..<blocks where block > 0 { tallies.change(block) { ck_tally_merge(&sum, &$0) } }
    return UniformOutcome(sum, step: rule.step)
}
