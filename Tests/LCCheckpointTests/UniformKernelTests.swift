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

    @Test func bothPathsAddTheSameSquares() {
        for count in [0, 1, 3, 4, 5, 8, 1023, 70_001] {
            var target = numbers(count, 5, scale: 3)
            let previous = numbers(count, 6, scale: 3)
            for strange in [nil, 0, count - 1] as [Int?] {
                if let strange, target.indices.contains(strange) { target[strange] = .infinity }
                let found = both {
                    var deltas = [Float](repeating: 0, count: count)
                    let sums = ck_deltas(target, previous, count, &deltas)
                    let distance = ck_squared_distance(target, previous, count)
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
        _ deltas: [Float], _ step: Float, _ thresholds: [Float]
    ) -> (symbols: [UInt16], seen: [UInt64], sent: [UInt64], error: Double, beyond: UInt64) {
        var result = (
            symbols: [UInt16](), seen: [UInt64](repeating: 0, count: thresholds.count),
            sent: [UInt64](repeating: 0, count: thresholds.count), error: 0.0, beyond: UInt64(0)
        )
        var activity = Activity()
        for start in stride(from: 0, to: deltas.count, by: 8) {
            let group = deltas[start..<min(start + 8, deltas.count)].map { ($0 * (1 / step)) }
            let kind = min(activity.fastClass / 2, 6) * 7 + min(activity.slowClass / 2, 6)
            if group.count == 8, group.allSatisfy({ $0.magnitude < CK_UNIFORM_LOWEST }) {
                result.symbols += [UInt16](repeating: 0, count: 8)
                result.seen[kind] += 8
                result.error += group.reduce(0.0) { $0 + Double($1) * Double($1) }
                activity.noteQuietGroup()
                continue
            }
            for ratio in group {
                let kind = min(activity.fastClass / 2, 6) * 7 + min(activity.slowClass / 2, 6)
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

    @Test(arguments: [1e-4, 0.02, 0.4, 3, 50, 20_000] as [Float])
    func theQuantizerDoesWhatItSays(scale: Float) {
        var thresholds = [Float](repeating: 0.5, count: Int(CK_ACTIVITY_KINDS))
        for kind in thresholds.indices { thresholds[kind] += Float(kind % 9) / 8 }
        for count in [0, 1, 7, 8, 9, 4099] {
            let step: Float = 0.25
            let deltas = numbers(count, 9, scale: scale)
            let expected = quantize(deltas, step, thresholds)
            var symbols = [UInt16](repeating: 7, count: count)
            var tally = ck_tally()
            ck_quantize_uniform(deltas, count, 1 / step, thresholds, &symbols, &tally)
            #expect(symbols == expected.symbols)
            #expect(tally.beyond == expected.beyond)
            #expect(Int(tally.highest) == expected.symbols.map(Level.magnitude).max() ?? 0)
            let seen = withUnsafeBytes(of: tally.seen) { Array($0.bindMemory(to: UInt64.self)) }
            let sent = withUnsafeBytes(of: tally.sent) { Array($0.bindMemory(to: UInt64.self)) }
            #expect(seen == expected.seen)
            #expect(sent == expected.sent)
            #expect(abs(tally.quiet + tally.squares.0 - expected.error) <= 1e-6 * expected.error)
            // Without symbols, and of two parts, it counts the same.
            var halves = ck_tally()
            ck_quantize_uniform(deltas, count, 1 / step, thresholds, nil, &halves)
            ck_tally_merge(&halves, &tally)
            let twice = withUnsafeBytes(of: halves.counts) { Array($0.bindMemory(to: UInt64.self)) }
            let once = withUnsafeBytes(of: tally.counts) { Array($0.bindMemory(to: UInt64.self)) }
            #expect(twice == once.map { 2 * $0 })
        }
    }
}
