import CKernels
import Glibc
import Testing

@testable import LCCheckpoint

/// The loops of `auto`.
extension KernelTests {
    private func numbers(_ count: Int, _ seed: UInt64, scale: Float) -> [Float] {
        var numbers = Numbers(state: seed)
        return (0..<count).map { _ in
            let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
            return scale * unit * unit * unit
        }
    }

    @Test(arguments: Vectors.allCases) func bothPathsAddTheSameSquares(_ vectors: Vectors) {
        for count in [0, 1, 3, 4, 5, 8, 1023, 70_001] {
            var target = numbers(count, 5, scale: 3)
            let previous = numbers(count, 6, scale: 3)
            for strange in [nil, 0, count - 1] as [Int?] {
                if let strange, target.indices.contains(strange) { target[strange] = .infinity }
                let found = both(vectors) {
                    var deltas = [Float](repeating: 0, count: count)
                    let sums = ck_deltas(target, previous, count, &deltas)
                    let distance = ck_missed(target, previous, nil, count, [0], 1)
                    return [sums.error, sums.norm, distance].map(\.bitPattern)
                        + patterns(deltas).map { UInt64($0) }
                }
                #expect(found.vector == found.plain)
                let plain = zip(target, previous).reduce(0.0) {
                    $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1)
                }
                #expect(!plain.isFinite || abs(Double(bitPattern: found.plain[0]) - plain) <= 1e-12 * plain)
            }
        }
    }

    /// What the quantizer does, element by element and without haste.
    private func quantize(
        _ deltas: [Float], _ step: Float, usual: Float, _ thresholds: [Float]
    ) -> (symbols: [UInt16], seen: [UInt64], sent: [UInt64], error: Double, beyond: UInt64) {
        var result = (
            symbols: [UInt16](), seen: [UInt64](repeating: 0, count: thresholds.count),
            sent: [UInt64](repeating: 0, count: thresholds.count), error: 0.0, beyond: UInt64(0)
        )
        func octave(_ sum: Double) -> Int {
            [1, 3, 7, 15, 31, 63, 127].filter { sum >= $0 / 16 }.count
        }
        var (fast, slow, total) = (0.0, 0.0, 0.0)
        for (index, delta) in deltas.enumerated() {
            let ratio = (delta * (1 / step)).magnitude
            let isBeyond = ratio >= CK_UNIFORM_END
            let level = isBeyond ? 0 : max(1, Int(ratio + CK_UNIFORM_ROUNDING))
            let kind = 8 * octave(slow) + octave(fast)
            result.seen[kind] += 1
            let isSent = !isBeyond && ratio >= thresholds[kind]
            result.sent[kind] += isSent ? 1 : 0
            result.beyond += isBeyond ? 1 : 0
            if !isBeyond, !isSent { result.error += Double(ratio) * Double(ratio) }
            result.symbols.append(Level.symbol(magnitude: isSent ? level : 0, isNegative: delta < 0))
            let weight = !isBeyond && ratio >= usual ? Double(min(level, 15)) : 0
            fast = 0.75 * fast + weight
            total += weight
            if index % 8 == 7 { (slow, total) = (Double(0.596 as Float) * slow + total, 0) }
        }
        return result
    }

    /// What the patient quantizer does, likewise.
    private func quantizePatiently(
        _ deltas: [Float], _ step: Float, _ thresholds: [Float]
    ) -> (symbols: [UInt16], seen: [UInt64], sent: [UInt64], error: Double, beyond: UInt64) {
        var result = (
            symbols: [UInt16](), seen: [UInt64](repeating: 0, count: thresholds.count),
            sent: [UInt64](repeating: 0, count: thresholds.count), error: 0.0, beyond: UInt64(0)
        )
        var activity = Activity()
        for start in stride(from: 0, to: deltas.count, by: 8) {
            let group = deltas[start..<min(start + 8, deltas.count)].map { ($0 * (1 / step)) }
            let kind = 8 * min(activity.slowClass / 2, 6) + min(activity.fastClass / 2, 6)
            if group.count == 8, group.allSatisfy({ $0.magnitude < CK_UNIFORM_LOWEST }) {
                result.symbols += [UInt16](repeating: 0, count: 8)
                result.seen[kind] += 8
                result.error += group.reduce(0.0) { $0 + Double($1) * Double($1) }
                activity.noteQuietGroup()
                continue
            }
            for ratio in group {
                let kind = 8 * min(activity.slowClass / 2, 6) + min(activity.fastClass / 2, 6)
                result.seen[kind] += 1
                var level = 0
                if ratio.magnitude >= CK_UNIFORM_END {
                    result.beyond += 1
                } else if ratio.magnitude >= thresholds[kind] {
                    level = max(1, Int(ratio.magnitude + CK_UNIFORM_ROUNDING))
                    result.sent[kind] += 1
                } else {
                    result.error += Double(ratio) * Double(ratio)
                }
                activity.note(level)
                result.symbols.append(Level.symbol(magnitude: level, isNegative: ratio < 0))
            }
        }
        return result
    }

    @Test(arguments: [1e-4, 0.02, 0.4, 3, 50, 20_000] as [Float])
    func thePatientQuantizerDoesWhatItSays(scale: Float) {
        let step: Float = 0.25
        var (rule, thresholds) = steppedRule(step: step)
        for count in [0, 1, 7, 8, 9, 4099] {
            let deltas = numbers(count, 9, scale: scale)
            let expected = quantizePatiently(deltas, step, thresholds)
            for previous in [nil, [Float](repeating: 0, count: count)] {
                var symbols = [UInt16](repeating: 7, count: count)
                var tally = ck_tally()
                ck_quantize_patiently(deltas, previous, count, &rule, &symbols, true, &tally)
                #expect(symbols == expected.symbols)
                #expect(tally.beyond == expected.beyond)
                #expect(Int(tally.highest) == expected.symbols.map(Level.magnitude).max() ?? 0)
                let seen = withUnsafeBytes(of: tally.seen) { Array($0.bindMemory(to: UInt64.self)) }
                let sent = withUnsafeBytes(of: tally.sent) { Array($0.bindMemory(to: UInt64.self)) }
                #expect(seen == expected.seen)
                #expect(sent == expected.sent)
            }
        }
    }

    /// A rule whose thresholds differ from kind to kind.
    private func steppedRule(step: Float) -> (ck_uniform, [Float]) {
        var rule = ck_uniform()
        var thresholds = [Float](repeating: 0.5, count: Int(CK_ACTIVITY_KINDS))
        for kind in thresholds.indices { thresholds[kind] += Float(kind % 9) / 8 }
        rule.inverse = 1 / step
        rule.usual = 0.75
        withUnsafeMutableBytes(of: &rule.thresholds) { bytes in
            thresholds.withUnsafeBytes { bytes.copyMemory(from: $0) }
        }
        return (rule, thresholds)
    }

    @Test func bothSidesCountTheSameLevels() {
        #expect(CK_UNIFORM_END == Float(Level.maximum) + 0.5)
        #expect(Int(CK_LEVELS_SUMMED) == UniformValues.ownPlaces + 1)
    }

    /// More than is moved before memory is given back, in several scopes and streams.
    @Test func aLargeFrameIsPutTogetherWhole() throws {
        var numbers = Numbers(state: 3)
        let size = 10 << 20
        func room() -> UnsafeMutableRawBufferPointer { .allocate(byteCount: size, alignment: 8) }
        let states = [room(), room()]
        let restored = [room(), room()]
        defer { for memory in states + restored { memory.deallocate() } }
        var encoder = FrameEncoder(kind: .base, step: 0, baseDigest: nil)
        for (index, format) in [ElementFormat.float64, .float32].enumerated() {
            for word in states[index].bindMemory(to: UInt64.self).indices {
                states[index].storeBytes(of: numbers.next(), toByteOffset: 8 * word, as: UInt64.self)
            }
            try encoder.add(
                scope: [
                    SectionSource(
                        name: "s\(index)", format: format, target: UnsafeRawBufferPointer(states[index]),
                        reconstruction: restored[index])
                ], settings: CodecSettings(kind: .exact))
        }
        let bytes = encoder.finish().bytes
        #expect(bytes.count > 2 * size - size / 8)
        for memory in restored { memory.initializeMemory(as: UInt8.self, repeating: 0) }
        _ = try bytes.withUnsafeBytes { bytes throws(CodecError) in
            try Frame(parsing: bytes).apply(toBytes: restored, expectingBase: Digest?.none)
        }
        for (one, other) in zip(states, restored) {
            #expect(memcmp(one.baseAddress!, other.baseAddress!, size) == 0)
        }
    }

    /// Everything that a tally says, bit by bit.
    private func words(_ tally: ck_tally) -> [UInt64] {
        func words<Tuple>(_ tuple: Tuple) -> [UInt64] {
            withUnsafeBytes(of: tuple) { Array($0.bindMemory(to: UInt64.self)) }
        }
        return [tally.squares.bitPattern, tally.beyond, UInt64(tally.highest)]
            + words(tally.offsets) + words(tally.counts) + words(tally.seen) + words(tally.sent)
    }

    @Test(arguments: [1e-4, 0.02, 0.4, 3, 50, 20_000] as [Float], Vectors.allCases)
    func theQuantizerDoesWhatItSays(scale: Float, _ vectors: Vectors) {
        let step: Float = 0.25
        var (rule, thresholds) = steppedRule(step: step)
        for count in [0, 1, 7, 8, 9, 4096, 8203] {
            let deltas = numbers(count, 9, scale: scale)
            let expected = quantize(deltas, step, usual: 0.75, thresholds)
            let zeros = [Float](repeating: 0, count: count)
            for previous in [nil, zeros] {
                for countsKinds in [true, false] {
                    let found = both(vectors) {
                        var symbols = [UInt16](repeating: 7, count: count)
                        var tally = ck_tally()
                        ck_quantize_uniform(deltas, previous, count, &rule, &symbols, countsKinds, &tally)
                        return (symbols: symbols, tally: tally)
                    }
                    let tally = found.vector.tally
                    #expect(found.vector.symbols == expected.symbols)
                    #expect(found.plain.symbols == expected.symbols)
                    #expect(words(tally) == words(found.plain.tally))
                    #expect(tally.beyond == expected.beyond)
                    #expect(Int(tally.highest) == expected.symbols.map(Level.magnitude).max() ?? 0)
                    let seen = withUnsafeBytes(of: tally.seen) { Array($0.bindMemory(to: UInt64.self)) }
                    let sent = withUnsafeBytes(of: tally.sent) { Array($0.bindMemory(to: UInt64.self)) }
                    #expect(!countsKinds || seen == expected.seen)
                    #expect(!countsKinds || sent == expected.sent)
                    // Without symbols, and of two parts, it counts the same.
                    var halves = ck_tally()
                    var own = tally
                    ck_quantize_uniform(deltas, previous, count, &rule, nil, countsKinds, &halves)
                    #expect(words(halves) == words(tally))
                    ck_tally_merge(&halves, &own)
                    #expect(halves.squares == 2 * own.squares)
                }
            }
        }
    }

    /// The error by centroids is that of the values that are written.
    @Test(arguments: [0.02, 0.4, 3, 20] as [Float], Vectors.allCases)
    func theErrorIsThatOfTheCentroids(scale: Float, _ vectors: Vectors) {
        let deltas = numbers(100_000, 3, scale: scale)
        let rule = UniformRule(step: 0.25, threshold: 0.625)
        var symbols = [UInt16](repeating: 0, count: deltas.count)
        let outcome = deltas.withUnsafeBufferPointer { deltas in
            quantizeUniform(deltas.count, rule, symbols: &symbols) { range, _ in
                (deltas.baseAddress! + range.lowerBound, nil)
            }
        }
        let values = UniformValues(rule, outcome).table
        let zeros = [Float](repeating: 0, count: deltas.count)
        let found = both(vectors) {
            ck_missed(deltas, zeros, symbols, deltas.count, values, UInt32(values.count))
        }
        #expect(found.vector == found.plain)
        #expect(abs(found.plain - outcome.error) <= 1e-5 * found.plain)
        let plain = zip(deltas, symbols).reduce(0.0) { sum, pair in
            let miss = Double(pair.0) - Double(values[Int(pair.1)])
            return sum + miss * miss
        }
        #expect(abs(found.plain - plain) <= 1e-9 * plain)
        #expect(outcome.nonzero == symbols.filter { $0 != 0 }.count)
    }

    /// The exponents that are kept are told by their range: a wider one leads to loops that take several times as long.
    @Test func bucketsKnowTheirExponents() throws {
        let deltas = numbers(10_000, 4, scale: 1)
        let zeros = [Float](repeating: 0, count: deltas.count)
        for bits in [1, 2, 3, 4] {
            let buckets = deltas.withUnsafeBytes { deltas in
                zeros.withUnsafeBytes { zeros in
                    BucketTable(
                        ScopeVector([
                            SectionSource(
                                name: "p", format: .float32, target: deltas,
                                reconstruction: UnsafeMutableRawBufferPointer(mutating: zeros))
                        ]), bits: bits, threads: 1)
                }
            }
            let exponents = buckets.values.dropFirst().map { $0.bitPattern >> 23 & 255 }
            #expect(buckets.lowest == exponents.min())
            #expect(buckets.highest == exponents.max())
        }
    }
}

/// How much has lately happened: a fast and a slow decaying sum of levels, as docs/formats/auto.md has it.
private struct Activity {
    var fast: Int32 = 0
    var slow: Int32 = 0

    mutating func note(_ magnitude: Int) {
        let weight = Int32(truncatingIfNeeded: min(magnitude, 15)) << 4
        fast = (fast &* 3) >> 2 &+ weight
        slow = slow &- slow >> 4 &+ weight
    }

    /// Eight zeros.
    mutating func noteQuietGroup() {
        fast >>= 3
        slow = slow &- (slow &* 3) >> 3
    }

    /// 0 to 15.
    var fastClass: Int { min(halfOctave(fast), 15) }
    /// 0 to 17.
    var slowClass: Int { min(halfOctave(slow), 17) }
}

/// 0 for 0, else 1 + two for each octave and one for its upper half.
private func halfOctave(_ value: Int32) -> Int {
    guard value > 0 else { return 0 }
    let exponent = 31 - value.leadingZeroBitCount
    return exponent == 0 ? 1 : 1 + 2 * exponent + Int(value >> Int32(exponent - 1) & 1)
}
