import Training

/// Which elements a partial checkpoint brings up to date: the others keep what the checkpoint before says of them.
///
/// The baselines that LC-Checkpoint is compared with, as policies of a running cluster. What is chosen is carried bit for bit; a
/// restore yields a running checkpoint, in which elements are of different ages. Optimizer slots follow the choice of their
/// parameters, so that what belongs to one element is of one age.
public struct PartialSelection: Sendable, Hashable {
    public enum Rule: Sendable, Hashable {
        /// The elements that differ most from the checkpoint, one by one.
        case topN
        /// Blocks of consecutive elements (SCAR: Qiao et al., "Fault Tolerance in Iterative-Convergent Machine Learning", 2019).
        case blocks(size: Int, Order)
    }

    /// Which blocks come first.
    public enum Order: Sendable, Hashable {
        /// The largest L2 distance from the checkpoint.
        case priority
        /// Each in turn.
        case roundRobin
        /// Drawn without replacement, from the seed and the step.
        case random(seed: UInt64)
    }

    public var rule: Rule
    /// The share of the elements, or of the blocks, that one checkpoint holds: above 0, at most 1; at least one.
    public var fraction: Double

    /// - Precondition: `fraction` lies in (0, 1], and a block has at least one element.
    public init(rule: Rule, fraction: Double) {
        precondition(fraction > 0 && fraction <= 1, "a share above 0 and at most 1")
        if case .blocks(let size, _) = rule { precondition(size > 0, "a block has at least one element") }
        self.rule = rule
        self.fraction = fraction
    }

    /// The chosen elements as ranges, ascending and apart.
    ///
    /// - Parameters:
    ///   - target: the live parameters.
    ///   - saved: what the checkpoint before says of them; as many.
    ///   - turn: counts checkpoints, for the orders that go by it.
    /// - Complexity: O(n), for blocks O(n + b log b) with b blocks.
    func chosen(
        target: UnsafeBufferPointer<Float>, saved: UnsafeBufferPointer<Float>, turn: UInt64
    ) -> [Range<Int>] {
        precondition(target.count == saved.count)
        guard !target.isEmpty else { return [] }
        switch rule {
        case .topN: return largest(target, saved)
        case .blocks(let size, let order):
            let blocks = (target.count + size - 1) / size
            let count = wanted(of: blocks)
            let numbers: [Int] =
                switch order {
                case .priority: farthest(count, target, saved, size)
                case .roundRobin:
                    (0..<count).map { Int((turn &* UInt64(count) &+ UInt64($0)) % UInt64(blocks)) }
                case .random(let seed): drawn(count, of: blocks, seed: seed, turn: turn)
                }
            return numbers.sorted().map { $0 * size..<min(($0 + 1) * size, target.count) }
        }
    }

    private func wanted(of count: Int) -> Int {
        max(1, min(count, Int((Double(count) * fraction).rounded())))
    }

    /// The bits of |u − ũ|, which ascend as the distances do; what isn't a number is the farthest.
    private func distance(_ a: Float, _ b: Float) -> UInt32 { (a - b).bitPattern & 0x7FFF_FFFF }

    /// The `wanted` elements of the largest change; of equal ones the first.
    private func largest(_ target: UnsafeBufferPointer<Float>, _ saved: UnsafeBufferPointer<Float>) -> [Range<
        Int
    >] {
        let wanted = wanted(of: target.count)
        // The distance above which fewer than `wanted` elements lie, eleven bits of it from each histogram: small enough
        // that short vectors don't spend their time on empty cells.
        var above = 0
        var threshold: UInt32 = 0
        for (shift, known) in [(UInt32(20), UInt32(31)), (9, 20), (0, 9)] {
            var counts = [Int](repeating: 0, count: 1 << 11)
            for index in target.indices {
                let bits = distance(target[index], saved[index])
                if bits >> known != threshold >> known { continue }
                counts[Int(bits >> shift & (1 << (known - shift) - 1))] += 1
            }
            var digit = 1 << (known - shift) - 1
            while digit > 0, above + counts[digit] < wanted {
                above += counts[digit]
                digit -= 1
            }
            threshold |= UInt32(digit) << shift
        }
        var equal = wanted - above
        var ranges: [Range<Int>] = []
        for index in target.indices {
            let bits = distance(target[index], saved[index])
            guard bits > threshold || bits == threshold && equal > 0 else { continue }
            if bits == threshold { equal -= 1 }
            if let last = ranges.last, last.upperBound == index {
                ranges[ranges.count - 1] = last.lowerBound..<index + 1
            } else {
                ranges.append(index..<index + 1)
            }
        }
        return ranges
    }

    private func farthest(
        _ count: Int, _ target: UnsafeBufferPointer<Float>, _ saved: UnsafeBufferPointer<Float>, _ size: Int
    ) -> [Int] {
        let distances = stride(from: 0, to: target.count, by: size).map { start -> Double in
            var sum = 0.0
            for index in start..<min(start + size, target.count) {
                let change = Double(target[index]) - Double(saved[index])
                sum += change * change
            }
            return sum.isNaN ? .infinity : sum
        }
        return Array(distances.indices.sorted { (-distances[$0], $0) < (-distances[$1], $1) }.prefix(count))
    }

    private func drawn(_ count: Int, of blocks: Int, seed: UInt64, turn: UInt64) -> [Int] {
        var generator = SplitMix64(seed: seed, stream: turn)
        var numbers = Array(0..<blocks)
        for place in 0..<count {
            numbers.swapAt(place, place + Int(generator.below(UInt64(blocks - place))))
        }
        return Array(numbers.prefix(count))
    }
}
