import CKernels

// A scope encoded so that it misses its target by at most a given relative error: see UniformSearch.swift for how the
// quantizer is found, MixedModel.swift for how its symbols are coded.

/// Elements that are converted and compared at a time.
private let pieceCount = 1 << 16

/// What an `auto` scope says before its symbols.
struct UniformHead {
    /// √(‖u − ũ‖² / ‖u‖²) as the writer found it, rounded up.
    var error: Float
    /// The error is measured, and the deltas are taken, between square roots.
    var isRoot: Bool
    var values: UniformValues

    func write(into output: inout [UInt8]) {
        output.append(isRoot ? 1 : 0)
        output.append(littleEndian: error.bitPattern)
        values.write(into: &output)
    }

    init(error: Double, isRoot: Bool, values: UniformValues) {
        let nearest = Float(error)
        self.error = Double(nearest) < error ? nearest.nextUp : nearest
        self.isRoot = isRoot
        self.values = values
    }

    init(_ reader: inout ByteReader) throws(CodecError) {
        let flags = try reader.byte("domain")
        guard flags < 2 else {
            throw CodecError(.unsupported, "frame has deltas of kind \(flags), unknown to this version")
        }
        isRoot = flags == 1
        error = Float(bitPattern: try reader.integer(UInt32.self, "relative error"))
        guard error >= 0, error < .infinity else {
            throw .malformed("frame is damaged: a relative error of \(error)")
        }
        values = try UniformValues(&reader)
    }
}

/// A scope that is being encoded: its deltas, its symbols, and what has to be carried as it is.
private struct UniformScope: ~Copyable {
    let vector: ScopeVector
    let deltas: UnsafeMutableBufferPointer<Float>
    let symbols: UnsafeMutableBufferPointer<UInt16>
    /// ‖δ‖² and ‖u‖² over the finite elements.
    private(set) var energy = 0.0
    private(set) var norm = 0.0
    /// Elements whose deltas aren't finite, in order.
    private var nonfinite: [Int] = []
    private let room: UnsafeMutablePointer<Float>

    init(_ vector: ScopeVector) {
        self.vector = vector
        let count = vector.layout.count
        deltas = .allocate(capacity: count)
        symbols = .allocate(capacity: count)
        symbols.initialize(repeating: 0)
        room = .allocate(capacity: 3 * min(pieceCount, max(count, 1)))
        for range in pieces {
            let target = vector.target(range, room)
            let restored = vector.reconstruction(range, room + range.count).floats
            let out = deltas.baseAddress.unsafelyUnwrapped + range.lowerBound
            for index in 0..<range.count { out[index] = target[index] - restored[index] }
            var sums = (
                energy: sumOfSquares(range.count) { out[$0] }, norm: sumOfSquares(range.count) { target[$0] }
            )
            if !sums.energy.isFinite || !sums.norm.isFinite {
                sums = (0, 0)
                for index in 0..<range.count {
                    if target[index].isFinite { sums.norm += Double(target[index]) * Double(target[index]) }
                    if out[index].isFinite {
                        sums.energy += Double(out[index]) * Double(out[index])
                    } else {
                        out[index] = 0
                        nonfinite.append(range.lowerBound + index)
                    }
                }
            }
            energy += sums.energy
            norm += sums.norm
        }
    }

    deinit {
        deltas.deallocate()
        symbols.deallocate()
        room.deallocate()
    }

    private var pieces: [Range<Int>] {
        stride(from: 0, to: vector.layout.count, by: pieceCount).map {
            $0..<min($0 + pieceCount, vector.layout.count)
        }
    }

    /// What the symbols of `rule` restore with these values: ‖u − ũ‖², and the elements that must be carried.
    ///
    /// - Parameters:
    ///   - hasExceptions: deltas beyond the last level occur.
    ///   - storing: change the reconstruction.
    func restore(
        _ rule: UniformRule?, _ values: [Float], hasExceptions: Bool, storing: Bool
    ) -> (error: Double, carried: [Int]) {
        var error = 0.0
        var carried: [Int] = []
        var next = 0
        let inverse = rule.map { 1 / $0.step } ?? 0
        for range in pieces {
            let target = vector.target(range, room)
            let (restored, isDirect) = vector.reconstruction(range, room + range.count)
            let result = storing ? restored : room + 2 * range.count
            if !storing { result.update(from: restored, count: range.count) }
            let first = symbols.baseAddress.unsafelyUnwrapped + range.lowerBound
            ck_apply(first, range.count, values, UInt32(values.count), result)
            vector.round(range, result)
            if storing, !isDirect { vector.store(range, result) }
            if storing { continue }
            if !hasExceptions, nonfinite.isEmpty, !vector.layout.isRoot {
                let sum = sumOfSquares(range.count) { Double(target[$0]) - Double(result[$0]) }
                if sum.isFinite {
                    error += sum
                    continue
                }
            }
            for index in 0..<range.count {
                let element = range.lowerBound + index
                let isNonfinite = next < nonfinite.count && nonfinite[next] == element
                if isNonfinite { next += 1 }
                let miss =
                    Double(target[index]) - Double(vector.layout.isRoot ? root(result[index]) : result[index])
                // A sum may overflow where the delta didn't: a restore must not yield infinity for a finite value.
                if isNonfinite || !miss.isFinite || (deltas[element] * inverse).magnitude >= UniformRule.end {
                    carried.append(element)
                } else {
                    error += miss * miss
                }
            }
        }
        return (error, carried)
    }
}

/// In four sums side by side, as one would wait for itself.
@inline(__always)
private func sumOfSquares<Value: BinaryFloatingPoint>(_ count: Int, _ value: (Int) -> Value) -> Double {
    var sums = (0.0, 0.0, 0.0, 0.0)
    @inline(__always) func square(_ index: Int) -> Double {
        let value = Double(value(index))
        return value * value
    }
    var index = 0
    while index + 4 <= count {
        sums.0 += square(index)
        sums.1 += square(index + 1)
        sums.2 += square(index + 2)
        sums.3 += square(index + 3)
        index += 4
    }
    while index < count {
        sums.0 += square(index)
        index += 1
    }
    return sums.0 + sums.1 + sums.2 + sums.3
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

/// Encodes a scope to a relative error and updates the reconstructions.
///
/// - Parameters:
///   - previous: the previous frame's symbols.
///   - history: where this frame's symbols are left, clipped to 255.
/// - Returns: nil when only buckets or the exact bits meet the error, or take less; then nothing has changed.
func encodeUniform(
    _ vector: ScopeVector, error bound: Double, previous: UnsafePointer<UInt8>?,
    history: UnsafeMutablePointer<UInt8>?, threads: Int
) -> UniformResult? {
    let count = vector.layout.count
    // What rounding float64 to float32 takes away is part of the error.
    let lost = vector.layout.formats.contains(.float64) ? 0x1p-24 : 0
    guard bound > 2 * lost else { return nil }
    let scope = UniformScope(vector)
    let budget = (bound - lost) * (bound - lost) * scope.norm * (1 - 1e-9)
    var rule: UniformRule?
    var values = UniformValues(step: 0, highest: 0, places: [])
    var counts = [count]
    var goal = budget
    // Nothing is sent if nothing needs to be; what is sent otherwise is looked at below.
    var restored = (error: scope.energy, carried: [Int]())
    if scope.energy <= 1.001 * budget {
        restored = scope.restore(nil, [0], hasExceptions: false, storing: false)
    }
    // Rounding to half types may add to the error: then the goal is lowered.
    var attempt = 0
    while restored.error > budget {
        guard attempt < 8, goal > 0, scope.energy > goal, let symbols = scope.symbols.baseAddress,
            let (found, outcome) = searchUniform(
                UnsafeBufferPointer(scope.deltas), budget: goal, symbols: symbols)
        else { return nil }
        rule = found
        values = UniformValues(found, outcome)
        guard values.highest == 0 || values.magnitude(values.highest).isFinite else { return nil }
        restored = scope.restore(
            rule, values.table, hasExceptions: outcome.beyond > 0, storing: false)
        goal *= 0.97 * min(1, budget / max(restored.error, .leastNormalMagnitude))
        attempt += 1
    }
    let symbols = UnsafeBufferPointer(scope.symbols)
    if values.highest > 0 { counts = histogram(symbols, alphabet: 2 * values.highest + 1) }
    if let history, let first = symbols.baseAddress { ck_clip(first, count, history) }
    // What is rare doesn't follow from what was there before.
    let own = Double(count - counts[0]) > 0.04 * Double(count) ? previous : nil
    let stream = encodeLevels(symbols, counts: counts, previous: own, threads: threads)
    // Where deltas are nearly all alike, buckets may say the same in less.
    if 4 * stream.byteCount > count, !vector.layout.isRoot {
        let buckets = BucketTable(vector, bits: nil, threads: threads)
        let bits = LCCheckpoint.entropyBits(buckets.counts)
        if bits < 8 * Double(stream.byteCount), relativeError(vector, buckets) <= bound { return nil }
    }
    _ = scope.restore(rule, values.table, hasExceptions: false, storing: true)
    let exceptions = restored.carried.map { index in
        let pattern = vector.pattern(index)
        vector.set(index, pattern)
        return ExceptionalElement(index: index, pattern: pattern)
    }
    let relative = scope.norm > 0 ? squareRoot(restored.error / scope.norm) : 0
    let sums = vector.layout.isRoot ? squaredError(vector.withoutRoots) : (restored.error, scope.norm)
    return UniformResult(
        head: UniformHead(error: relative, isRoot: vector.layout.isRoot, values: values),
        exceptions: exceptions, stream: stream, usesPrevious: stream.coder.usesPrevious,
        entropyBits: entropyBits(counts), error: sums.0, norm: sums.1)
}

/// ‖u − ũ‖ / ‖u‖ that a quantizer would leave, without changing anything.
func relativeError(_ vector: ScopeVector, _ quantizer: BucketTable) -> Double {
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

/// Elements below which time doesn't matter.
private let patientCount = 1 << 20

/// Codes levels in blocks: with mixed contexts, unless that would take long.
private func encodeLevels(
    _ symbols: UnsafeBufferPointer<UInt16>, counts: [Int], previous: UnsafePointer<UInt8>?, threads: Int
) -> EncodedStream {
    // A block begins with a model that knows nothing, so blocks are large.
    var blockSize = BlockSize(symbols: symbols.count, estimatedBytes: 0)
    blockSize.log2 = min(blockSize.log2, 18)
    guard counts.count > 1 else {
        return EncodedStream(coder: .constant(0), blockSize: blockSize, blocks: [])
    }
    var questions = 0
    for symbol in counts.indices {
        let magnitude = Level.magnitude(UInt16(symbol))
        questions += counts[symbol] * (magnitude == 0 ? 1 : 2 + min(magnitude, 16))
    }
    guard symbols.count > patientCount, 2 * questions > 3 * symbols.count, counts.count <= maximumAlphabet
    else {
        return encodeBlocks(
            symbols, .mixed(usesPrevious: previous != nil), blockSize, previous: previous, threads: threads)
    }
    let plan = StreamPlan(
        sample: symbols, previous: previous, isComplete: true, counts: counts, entropy: .best)
    return encodeBlocks(symbols, plan.coder, plan.blockSize, previous: previous, threads: threads)
}
