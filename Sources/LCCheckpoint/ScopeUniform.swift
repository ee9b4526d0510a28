import CKernels

// A scope encoded so that it misses its target by at most a given relative error: see UniformSearch.swift for how the
// quantizer is found, UniformScope.swift for its symbols, MixedModel.swift for how they are coded.

/// Symbols that were found, how often each occurs, and how they would be coded.
private struct UniformAttempt {
    var found: UniformSymbols
    var counts: [Int]
    /// With the previous frame's, if they are looked at.
    var symbols: SymbolView
    var plan: LevelPlan

    /// The symbols that occur, but for zero's, if numbers of these are clearly cheaper than levels.
    ///
    /// Levels are coded by their size: where deltas are nearly alike, and steps much finer, that is many bits for few levels.
    var listed: [Int]? {
        let listed = counts.indices.dropFirst().filter { counts[$0] > 0 }
        guard !listed.isEmpty, listed.count < maximumAlphabet, listed.count < found.values.highest else {
            return nil
        }
        let own = entropyBits(counts) + 12 * Double(listed.count)
        return own < 0.9 * MixedModel.bits(of: counts) ? listed : nil
    }

    /// Codes the symbols by their numbers, which they become.
    func encode(_ scope: borrowing UniformScope, listed: [Int], threads: Int) -> EncodedStream {
        var numbers = [UInt16](repeating: 0, count: counts.count)
        for (index, symbol) in listed.enumerated() { numbers[symbol] = UInt16(index + 1) }
        scope.replaceSymbols { numbers[Int($0)] }
        let own = scope.view(previous: symbols.previous)
        let ownCounts = [counts[0]] + listed.map { counts[$0] }
        let plan =
            own.count > LevelPlan.patientCount
            ? LevelPlan(own, counts: ownCounts, threads: threads)
            : .tables(StreamPlan(sample: own, isComplete: true, counts: ownCounts, entropy: .best))
        return plan.encode(own, alphabet: ownCounts.count, threads: threads)
    }
}

/// What `auto` came to for one scope.
struct UniformResult {
    var head: UniformHead
    var exceptions: [ExceptionalElement]
    var stream: EncodedStream
    var usesPrevious: Bool
    var entropyBits: Double
    /// Sums of squares between the elements themselves.
    var error: Double
    var norm: Double
}

/// What keeps to an error in the fewest bytes.
enum UniformFindings {
    case levels(UniformResult)
    case buckets(BucketTable)
    /// Buckets must take less than the exact bits.
    case neither(mostBits: Double)
}

/// Encodes a scope to a relative error and updates the reconstructions.
///
/// - Parameters:
///   - previous: the previous frame's symbols.
///   - history: where this frame's symbols are left, clipped to 255.
///   - digests: of the sections.
/// - Returns: when it isn't levels that take the least, or they can't meet the error, nothing has changed.
func encodeUniform(
    _ vector: ScopeVector, error bound: Double, previous: UnsafePointer<UInt8>?,
    history: UnsafeMutablePointer<UInt8>?, _ digests: SectionDigests, threads: Int
) -> UniformFindings {
    let count = vector.layout.count
    // What rounding float64 to float32 takes away is part of the error.
    let lost = vector.layout.formats.contains(.float64) ? 0x1p-24 : 0
    func neither() -> UniformFindings { .neither(mostBits: exactBits(vector.withoutRoots, threads: threads)) }
    guard bound > 2 * lost else { return neither() }
    var scope = UniformScope(vector, error: bound - lost, threads: threads)
    let budget = (bound - lost) * (bound - lost) * scope.norm * (1 - 1e-9)
    let rawBits = zip(vector.layout.formats, vector.layout.starts.indices).reduce(0.0) { sum, part in
        let elements = vector.layout.starts[part.1 + 1] - vector.layout.starts[part.1]
        return sum + 8 * Double(part.0.byteCount * elements)
    }
    func attempt(isPatient: Bool) -> UniformAttempt? {
        guard let found = scope.quantize(budget: budget, isPatient: isPatient) else { return nil }
        let counts = scope.histogram(alphabet: 2 * found.values.highest + 1)
        // What is rare doesn't follow from what was there before.
        let own = Double(count - counts[0]) > 0.04 * Double(count) ? previous : nil
        let symbols = scope.view(previous: own)
        let plan = LevelPlan(symbols, counts: counts, threads: threads)
        return UniformAttempt(found: found, counts: counts, symbols: symbols, plan: plan)
    }
    // Where time matters mixed contexts are the exception, and only they are worth the other quantizer's time.
    let isShort = count <= LevelPlan.shortCount
    guard var best = attempt(isPatient: isShort) ?? (isShort ? nil : attempt(isPatient: true)) else {
        return neither()
    }
    if !isShort, best.plan.isMixed {
        // What was found in a hurry is there to be found again if patience leads nowhere.
        guard let again = attempt(isPatient: true) ?? attempt(isPatient: false) else { return neither() }
        best = again
    }
    let (values, restored) = (best.found.values, best.found.restored)
    let listed = best.listed
    let head = UniformHead(
        error: scope.norm > 0 ? squareRoot(restored.error / scope.norm) : 0, isRoot: vector.layout.isRoot,
        values: values, listed: listed)
    let stream =
        listed.map { best.encode(scope, listed: $0, threads: threads) }
        ?? best.plan.encode(best.symbols, alphabet: best.counts.count, threads: threads)
    var heads: [UInt8] = []
    head.write(into: &heads)
    stream.writeHead(isLast: true, into: &heads)
    var least = 8 * Double(heads.count + stream.byteCount + 5 * restored.carried.count)
    // Where little is won the exact bits may take less; of a narrow format there are few.
    let isNarrow = vector.layout.formats.contains { $0.byteCount < 4 }
    if least > 0.2 * rawBits || (isNarrow && count <= LevelPlan.patientCount) {
        let exact = exactBits(vector.withoutRoots, threads: threads)
        if exact < least { return .neither(mostBits: exact) }
        least = min(least, exact)
    }
    // Where deltas are nearly all alike, or many are beyond the highest level, buckets may say the same in less.
    if !vector.layout.isRoot,
        let buckets = fewestBuckets(
            vector, error: bound, budget: budget, mostBits: least, threads: threads)
    {
        return .buckets(buckets)
    }
    let exceptions = restored.carried.map {
        ExceptionalElement(index: $0, pattern: vector.pattern($0))
    }
    scope.store(head.table, exceptions: exceptions, history: history, digests)
    let sums = vector.layout.isRoot ? squaredError(vector.withoutRoots) : (restored.error, scope.norm)
    return .levels(
        UniformResult(
            head: head, exceptions: exceptions, stream: stream, usesPrevious: stream.coder.usesPrevious,
            entropyBits: entropyBits(best.counts), error: sums.0, norm: sums.1))
}

/// The buckets that keep to an error in the fewest bits, if they take less than `mostBits` by their symbols' entropy.
///
/// - Parameter budget: what the error comes to as a sum of squares, if it is known: then a look at a sample tells what may do.
func fewestBuckets(
    _ vector: ScopeVector, error: Double, budget: Double?, mostBits: Double, threads: Int
) -> BucketTable? {
    let promising = budget.map { promisingBits(vector, budget: $0, mostBits: mostBits) }
    // Fewer buckets than all miss more.
    if promising == nil,
        relativeError(vector, BucketTable(vector, bits: nil, threads: threads)) > error
    {
        return nil
    }
    for bits in promising ?? everyBits {
        let own = BucketTable(vector, bits: bits, threads: threads)
        guard relativeError(vector, own) <= error else { continue }
        // More buckets would miss less, and take more.
        return entropyBits(own.counts) + own.headBits < mostBits ? own : nil
    }
    return nil
}

/// Bits of promotion, from the fewest buckets to all.
private let everyBits: [Int?] = (1...8).map { $0 } + [nil]
/// Elements that tell which of them are of any use.
private let bucketSample = 1 << 15

/// Bits of promotion that may miss no more than `budget` and take less than `mostBits`, by a sample: each bucket misses its variance at
/// least, and what isn't kept all of it.
private func promisingBits(_ vector: ScopeVector, budget: Double, mostBits: Double) -> [Int?] {
    var tallies = [(count: Double, sum: Double, squares: Double)](repeating: (0, 0, 0), count: keyCount)
    let scale = withSample(vector, bucketSample) { sample in
        for delta in sample {
            let (key, value) = (Int(delta.bitPattern >> 23), Double(delta))
            tallies[key].count += 1
            tallies[key].sum += value
            tallies[key].squares += value * value
        }
        return Double(vector.layout.count) / Double(max(1, sample.count))
    }
    // From the largest exponent on, as buckets are kept; those of exponent 0 never are.
    let keys = stride(from: 254, through: 1, by: -1).flatMap { [$0, $0 + 256] }
        .filter { tallies[$0].count > 0 }
    let all = tallies.reduce((count: 0.0, squares: 0.0)) { ($0.count + $1.count, $0.squares + $1.squares) }
    return everyBits.filter { bits in
        let kept = keys.prefix(bits.map { 1 << $0 - 1 } ?? keyCount)
        guard bits == nil || kept.count < keys.count else { return false }
        var (missed, rest, own) = (all.squares, all.count, 0.0)
        for key in kept {
            let (count, sum, squares) = tallies[key]
            missed -= squares - max(0, squares - sum * sum / count)
            rest -= count
            own -= count * log2(count / all.count)
        }
        if rest > 0 { own -= rest * log2(rest / all.count) }
        // Of few a sample tells too little for two passes over all.
        guard scale == 1 || rest < 0.75 * all.count else { return false }
        let bitCount = own * scale + 31 * Double(kept.count)
        return missed * scale < 1.5 * budget && bitCount < mostBits
    }
}

/// ‖u − ũ‖ / ‖u‖ that a quantizer would leave, without changing anything.
func relativeError(_ vector: ScopeVector, _ quantizer: BucketTable) -> Double {
    let pieceCount = min(Pieces.count, max(vector.layout.count, 1))
    let room = UnsafeMutablePointer<Float>.allocate(capacity: 3 * pieceCount)
    let symbols = UnsafeMutablePointer<UInt16>.allocate(capacity: pieceCount)
    defer {
        room.deallocate()
        symbols.deallocate()
    }
    var sums = (error: 0.0, norm: 0.0)
    for start in stride(from: 0, to: vector.layout.count, by: pieceCount) {
        let range = start..<min(start + pieceCount, vector.layout.count)
        let target = vector.target(range, room)
        let copy = room + 2 * pieceCount
        copy.update(from: vector.reconstruction(range, room + pieceCount).floats, count: range.count)
        _ = quantizer.quantize(target, copy, count: range.count, into: symbols)
        vector.round(range, copy)
        for index in 0..<range.count where target[index].isFinite {
            let live = Double(target[index])
            let miss = live - Double(copy[index])
            // What isn't finite is carried as it is.
            if miss.isFinite { sums.error += miss * miss }
            sums.norm += live * live
        }
    }
    return sums.error == 0 ? 0 : squareRoot(sums.error / sums.norm)
}

/// ‖u − ũ‖² and ‖u‖² over the finite elements.
private func squaredError(_ vector: ScopeVector) -> (Double, Double) {
    let pieceCount = min(Pieces.count, max(vector.layout.count, 1))
    let room = UnsafeMutablePointer<Float>.allocate(capacity: 2 * pieceCount)
    defer { room.deallocate() }
    var sums = (0.0, 0.0)
    for start in stride(from: 0, to: vector.layout.count, by: pieceCount) {
        let range = start..<min(start + pieceCount, vector.layout.count)
        let target = vector.target(range, room)
        let restored = vector.reconstruction(range, room + pieceCount).floats
        for index in 0..<range.count where target[index].isFinite {
            let miss = Double(target[index]) - Double(restored[index])
            sums.0 += miss * miss
            sums.1 += Double(target[index]) * Double(target[index])
        }
    }
    return sums
}
