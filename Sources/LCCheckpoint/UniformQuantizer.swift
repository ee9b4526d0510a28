// Quantization by a dead zone and uniform steps, with thresholds that depend on what happened nearby.
//
// A level is worth sending when it mends more error than its bits cost: at equal slope λ a nonzero that would be a
// surprise must be larger than one among others. The kind of an element is the recent activity, much as the coder
// sees it. The loop over the elements is `ck_quantize_uniform`.

import CKernels

/// How to quantize: levels are counted in steps.
struct UniformRule {
    var step: Float
    /// In steps: what counts as activity.
    let usualThreshold: Float
    /// In steps, by kind of activity: below it nothing is sent.
    var thresholds: [Float]
    /// Activity is what is sent, which each element has to wait for, and not what a usual threshold would send.
    var isPatient = false
    /// Elements that are looked at together: activity is not told from one piece to the next. They fit the second cache, or are a
    /// block of mixed contexts.
    var pieceCount: Int { isPatient ? 1 << BlockSize.mixedLog2 : 1 << 14 }
    /// No threshold is lower.
    static let lowestThreshold = CK_UNIFORM_LOWEST
    /// From here on, in steps, an element is an exception.
    static let end = CK_UNIFORM_END

    init(step: Float, threshold: Float) {
        self.step = step
        usualThreshold = max(threshold, UniformRule.lowestThreshold)
        thresholds = [Float](repeating: usualThreshold, count: Int(CK_ACTIVITY_KINDS))
    }

    /// The least magnitude that is sent, or counts as activity; a little less, since the kernel divides by the step.
    var lowest: Float { 0.999 * step * min(usualThreshold, thresholds.min() ?? usualThreshold) }

    /// As the kernel takes it.
    fileprivate var kernel: ck_uniform {
        var kernel = ck_uniform()
        kernel.inverse = 1 / step
        kernel.usual = usualThreshold
        withUnsafeMutableBytes(of: &kernel.thresholds) { bytes in
            thresholds.withUnsafeBytes { bytes.copyMemory(from: $0) }
        }
        return kernel
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
    /// By kind of activity, if they were counted: how many elements, and how many of them nonzero.
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
        var error = tally.squares
        for slot in counts.indices.dropFirst() where counts[slot] > 0 {
            let mean = offsets[slot] / Double(counts[slot])
            let place = max(-128, min(127, (mean * 256).rounded()))
            places[slot - 1] = Int8(place)
            let value = place / 256
            error += value * (value * Double(counts[slot]) - 2 * offsets[slot])
            nonzero += Int(counts[slot])
        }
        self.error = error * Double(step) * Double(step)
    }
}

/// A C array as Swift sees it, a tuple, by its elements.
private func elements<Tuple, Element>(_ tuple: Tuple, _: Element.Type) -> [Element] {
    withUnsafeBytes(of: tuple) { Array($0.bindMemory(to: Element.self)) }
}

/// Quantizes elements piece by piece.
///
/// - Parameters:
///   - symbols: written if given.
///   - countsKinds: `seen` and `sent` are wanted.
///   - elements: for a worker, those of a range and what they are compared with, or deltas.
func quantizeUniform(
    _ count: Int, _ rule: UniformRule, symbols: UnsafeMutablePointer<UInt16>?, countsKinds: Bool = false,
    threads: Int = 1,
    _ elements: (Range<Int>, Int) -> (target: UnsafePointer<Float>, previous: UnsafePointer<Float>?)
) -> UniformOutcome {
    let size = rule.pieceCount
    // Pieces whose sums are added up at once.
    let together = max(1, (1 << BlockSize.mixedLog2) / size)
    let blocks = (count + together * size - 1) / (together * size)
    return rule.outcome(blocks: blocks, threads: threads) { block, worker, kernel, tally in
        for start in stride(from: block * together * size, to: count, by: size).prefix(together) {
            let range = start..<min(start + size, count)
            let (target, previous) = elements(range, worker)
            (rule.isPatient ? ck_quantize_patiently : ck_quantize_uniform)(
                target, previous, range.count, &kernel, symbols.map { $0 + range.lowerBound },
                countsKinds, &tally)
        }
    }
}

extension UniformRule {
    /// What quantizing blocks comes to, which are apart.
    func outcome(
        blocks: Int, threads: Int,
        _ quantize: (_ block: Int, _ worker: Int, inout ck_uniform, inout ck_tally) -> Void
    ) -> UniformOutcome {
        let tallies = Results(count: max(blocks, 1), ck_tally())
        inParallel(blocks, threads: threads) { block, worker in
            var kernel = kernel
            tallies.change(block) { quantize(block, worker, &kernel, &$0) }
        }
        var sum = tallies[0]
        for block in 0..<blocks where block > 0 {
            tallies.change(block) { ck_tally_merge(&sum, &$0) }
        }
        return UniformOutcome(sum, step: step)
    }
}
