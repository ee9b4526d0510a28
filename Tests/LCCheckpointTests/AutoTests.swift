import Testing

@testable import LCCheckpoint

/// `auto` keeps to its error, whatever the input, and readers agree with the writer bit for bit.
@Suite struct AutoTests {
    private static let errors = [0.5, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6]

    /// A name, a state, and the states that follow it.
    private func sequence(_ name: String, count: Int, steps: Int) -> (first: [Float], rest: [[Float]]) {
        var numbers = Numbers(state: 21)
        func unit() -> Float { Float(Int(numbers.next() % 65_537) - 32_768) / 32_768 }
        let first = (0..<count).map { _ in unit() }
        var live = first
        var rest: [[Float]] = []
        for step in 0..<steps {
            live = live.enumerated().map { index, value in
                let x = unit()
                return switch name {
                case "heavy tails": value + 0.01 * x * x * x * x * x * x * x
                case "even": value + 0.01 * x
                case "all alike": value + (x < 0 ? -0.001 : 0.001)
                case "one element": index == 17 ? value + 1 : value
                case "a part": index % 500 < 32 ? value + 0.01 * x : value
                case "huge": (index + step) % 3 == 0 ? x * .greatestFiniteMagnitude : x * 1e30
                case "tiny": x * 1e-38
                case "subnormal": x * Float(bitPattern: 700)
                case "zeros": 0
                case "wild": Float(bitPattern: UInt32(truncatingIfNeeded: numbers.next()))
                default: value
                }
            }
            rest.append(live)
        }
        return (first, rest)
    }

    private func relativeError(_ target: [Float], _ restored: [Float]) -> Double {
        var (error, norm) = (0.0, 0.0)
        for (one, two) in zip(target, restored) where one.isFinite {
            error += (Double(one) - Double(two)) * (Double(one) - Double(two))
            norm += Double(one) * Double(one)
        }
        return error == 0 ? 0 : squareRoot(error / norm)
    }

    /// Deltas are of binary32: values that it has no room for are carried bit for bit.
    @Test func whatBinary32CannotHoldIsExact() throws {
        let base = (1...300).map { Double($0) * 1e-50 }
        let target = base.map { $0 * 1.5 }
        var state = base
        var encoder = FrameEncoder(kind: .delta, step: 1, baseDigest: Digest(high: 0, low: 0))
        try target.withUnsafeBytes { target in
            try state.withUnsafeMutableBytes { state in
                let source = SectionSource(
                    name: "p", format: .float64, target: target, reconstruction: state)
                try encoder.add(scope: [source], settings: CodecSettings(kind: .auto(error: 1e-3)))
            }
        }
        #expect(state == target)
    }

    @Test(arguments: [
        "heavy tails", "even", "all alike", "one element", "a part", "huge", "tiny", "subnormal", "zeros",
        "wild",
        "still",
    ]) func keepsToItsError(_ name: String) throws {
        for count in [1, 9, 1501] {
            let (first, rest) = sequence(name, count: count, steps: 4)
            for error in AutoTests.errors {
                var chain = Chain(state: first)
                var reader = chain
                var plain = first
                var symbols: [Int] = []
                for target in rest {
                    let frame = try chain.encode(target, CodecSettings(kind: .auto(error: error)))
                    let found = relativeError(target, chain.state)
                    #expect(found <= error, "\(name) of \(count): \(found) for \(error)")
                    #expect(abs(frame.statistics.relativeError - found) <= 1e-6 * found + 1e-12)
                    try reader.apply(frame.bytes)
                    #expect(patterns(reader.state) == patterns(chain.state))
                    for (one, two) in zip(target, chain.state) where !one.isFinite {
                        #expect(one.bitPattern == two.bitPattern)
                    }
                    guard count < 1000 || error == 1e-3 else { continue }
                    plain = try PlainDecoder.decode(frame.bytes, onto: plain, symbols: &symbols)
                    #expect(patterns(plain) == patterns(chain.state))
                }
            }
        }
    }

    @Test func isSmallerThanHuffmanAtTheSameError() throws {
        for name in ["heavy tails", "even", "all alike", "a part"] {
            for bits in [2, 3, 4, nil] {
                let (first, rest) = sequence(name, count: 5001, steps: 4)
                var (paper, own) = (Chain(state: first), Chain(state: first))
                var (paperBytes, ownBytes, error) = (0, 0, 0.0)
                for target in rest {
                    let frame = try paper.encode(
                        target, CodecSettings(kind: .lc(bits: bits), entropy: .huffman))
                    paperBytes += frame.bytes.count
                    error = max(error, 1.000_01 * frame.statistics.relativeError)
                }
                guard error > 0 else { continue }
                for target in rest {
                    ownBytes += try own.encode(target, CodecSettings(kind: .auto(error: error))).bytes.count
                }
                #expect(ownBytes <= paperBytes, "\(name), \(bits ?? 0) bits: \(ownBytes) and \(paperBytes)")
            }
        }
    }

    /// Where deltas are nearly alike and the error leaves room for next to nothing, few of many levels occur.
    @Test func fewOfManyLevelsAreListed() throws {
        var numbers = Numbers(state: 21)
        let first = (0..<8000).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
        var chain = Chain(state: first)
        var target = first
        for _ in 0..<6 {
            for index in target.indices { target[index] += 1e-3 * Float(Int(numbers.next() % 3) - 1) }
            let frame = try chain.encode(target, CodecSettings(kind: .auto(error: 1e-7)))
            // Three values of each that are about as frequent; 1.59 bits, and what rounding makes of them.
            #expect(frame.bytes.count < 8000 * 3 / 8)
            let misses = zip(target, chain.state).map { Double($0) - Double($1) }
            let norm = target.reduce(0.0) { $0 + Double($1) * Double($1) }
            #expect(misses.reduce(0.0) { $0 + $1 * $1 }.squareRoot() <= 1e-7 * norm.squareRoot())
        }
    }

    /// All that is large enough to be sent is beyond the last level, and so is carried; the rest may be dropped.
    @Test func whatIsSentMayAllBeCarried() throws {
        var numbers = Numbers(state: 23)
        let first = [Float](repeating: 0, count: 6400)
        let step: Float = 0x1p-14
        var target = first
        for index in 0..<100 { target[64 * index] = 1 + step * Float(Int(numbers.next() % 801) - 400) / 100 }
        target[63] = 2 * step
        let norm = target.reduce(0.0) { $0 + Double($1) * Double($1) }
        for budget in [2, 4, 5, 8] {
            let error = (Double(budget) * Double(step * step) / norm).squareRoot()
            let (frame, state) = try encode(target, onto: first, CodecSettings(kind: .auto(error: error)))
            #expect(try apply(frame.bytes, to: first) == state)
            #expect(frame.statistics.relativeError <= error)
        }
    }

    /// The fewest bytes may be the exact ones, and the coder that is wished for is that of buckets alone.
    @Test func isNeverLargerThanExact() throws {
        var numbers = Numbers(state: 24)
        func even() -> Float { Float(Int(numbers.next() % 20_001) - 10_000) / 200_000 }
        let first = (0..<2000).map { _ in even() }
        for format in [ElementFormat.bfloat16, .float16, .float32] {
            let base = narrowed(first, format)
            for scale in [0.02, 0.002] as [Float] {
                let target = narrowed(first.map { $0 + scale * even() }, format)
                var sizes: [Int] = []
                for kind in [.exact, .auto(error: 1e-6), .auto(error: 1e-5)] as [CodecSettings.Kind] {
                    var state = base
                    var encoder = FrameEncoder(kind: .delta, step: 1, baseDigest: Digest(high: 0, low: 0))
                    try target.withUnsafeBytes { target in
                        try state.withUnsafeMutableBytes { state in
                            let source = SectionSource(
                                name: "p", format: format, target: target, reconstruction: state)
                            try encoder.add(scope: [source], settings: CodecSettings(kind: kind))
                        }
                    }
                    sizes.append(encoder.finish().bytes.count)
                }
                #expect(sizes.allSatisfy { $0 <= sizes[0] + 16 }, "\(format), \(scale): \(sizes)")
            }
        }
        var target = [Float](repeating: 1, count: 100_000)
        target[500] = 1.25
        let settings = CodecSettings(kind: .auto(error: 1e-5), entropy: .huffman)
        #expect(
            try encode(target, onto: .init(repeating: 1, count: 100_000), settings).frame.bytes.count < 100)
    }

    private func narrowed(_ values: [Float], _ format: ElementFormat) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: values.count * format.byteCount)
        values.withUnsafeBufferPointer { values in
            bytes.withUnsafeMutableBytes { format.narrow(values, into: $0) }
        }
        return bytes
    }

    /// Errors that need steps much finer than the deltas are still cheaper than the exact bits.
    @Test func fineStepsAreSmallerThanExact() throws {
        var numbers = Numbers(state: 22)
        func even() -> Float { Float(Int(numbers.next() % 20_001) - 10_000) / 10_000 }
        let first = (0..<8000).map { _ in even() }
        let target = first.map { $0 + 5e-3 * even() }
        let (frame, state) = try encode(target, onto: first, CodecSettings(kind: .auto(error: 3e-7)))
        let (exact, _) = try encode(target, onto: first, CodecSettings(kind: .exact))
        #expect(try apply(frame.bytes, to: first) == state)
        #expect(Double(frame.bytes.count) < 0.9 * Double(exact.bytes.count))
        #expect(frame.statistics.relativeError <= 3e-7)
    }

    @Test(arguments: [ElementFormat.float16, .bfloat16, .float64])
    func keepsToItsErrorInOtherFormats(_ format: ElementFormat) throws {
        let (first, rest) = sequence("even", count: 2000, steps: 3)
        func bytes(_ values: [Float]) -> [UInt8] {
            var result = [UInt8](repeating: 0, count: values.count * format.byteCount)
            var rounded = values
            rounded.withUnsafeMutableBufferPointer { format.round($0) }
            rounded.withUnsafeBufferPointer { values in
                result.withUnsafeMutableBytes { format.narrow(values, into: $0) }
            }
            return result
        }
        func floats(_ bytes: [UInt8]) -> [Float] {
            var result = [Float](repeating: 0, count: bytes.count / format.byteCount)
            bytes.withUnsafeBytes { bytes in
                result.withUnsafeMutableBufferPointer { format.widen(bytes, into: $0) }
            }
            return result
        }
        for error in [1e-2, 1e-3, 1e-5, 1e-8] {
            var state = bytes(first)
            for target in rest.map(bytes) {
                let before = state
                let known = StateDigest.of(
                    sections: [
                        (name: "p", format: format, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
                    ],
                    metadata: [])
                var encoder = FrameEncoder(kind: .delta, step: 1, baseDigest: known)
                try target.withUnsafeBytes { target in
                    try state.withUnsafeMutableBytes { state in
                        try encoder.add(
                            scope: [
                                SectionSource(
                                    name: "p", format: format, target: target, reconstruction: state)
                            ], settings: CodecSettings(kind: .auto(error: error)))
                    }
                }
                let frame = encoder.finish()
                #expect(relativeError(floats(target), floats(state)) <= error)
                var restored = before
                try restored.withUnsafeMutableBytes { restored in
                    try frame.bytes.withUnsafeBytes {
                        _ = try Frame(parsing: $0).apply(toBytes: [restored], expectingBase: known)
                    }
                }
                #expect(restored == state)
            }
        }
    }

    /// Sums of squares stay what they are: never negative, and the error is that of their roots.
    @Test func rootsAreNeverNegative() throws {
        let (first, rest) = sequence("heavy tails", count: 3000, steps: 5)
        var chain = Chain(state: first.map { $0 * $0 * $0 * $0 })
        for target in rest.map({ $0.map { $0 * $0 * $0 * $0 } }) {
            let settings = CodecSettings(kind: .auto(error: 1e-2), domain: .squareRoots)
            let frame = try chain.encode(target, settings)
            // The exact bits, which keep to any error, would take several times as much.
            #expect(frame.bytes.count < 4 * target.count / 3)
            #expect(chain.state.allSatisfy { $0 >= 0 })
            #expect(
                relativeError(target.map { $0.squareRoot() }, chain.state.map { $0.squareRoot() })
                    <= 1.0001e-2)
        }
    }

    @Test(arguments: [0, 1, -1, Double.nan, .infinity]) func errorsThatAreNone(_ error: Double) {
        #expect(throws: CodecError.self) {
            try encode([1, 2], onto: [0, 0], CodecSettings(kind: .auto(error: error)))
        }
    }

    @Test func logisticTablesAreInverse() {
        let tables = LogisticTables.shared
        #expect(tables.squash.count == 4096 && tables.stretch.count == 4096)
        for d in -2046...2047 { #expect(tables.squash[d + 2048] >= tables.squash[d + 2047]) }
        for p in 2..<4094 {
            let d = Int(tables.stretch[p])
            #expect(Int(tables.squash[d + 2048] >> 4) >= p)
            if d > -2047 { #expect(Int(tables.squash[d + 2047] >> 4) < p) }
        }
    }

    /// Damage behind a checksum that was made to fit must be an error or the right state, never a trap.
    @Test func hostileFramesNeverTrap() throws {
        var numbers = Numbers(state: 9)
        let (first, rest) = sequence("heavy tails", count: 700, steps: 1)
        let (frame, reconstruction) = try encode(
            rest[0], onto: first, CodecSettings(kind: .auto(error: 1e-3)))
        for _ in 0..<1000 {
            var damaged = frame.bytes
            for _ in 0..<(1 + numbers.next() % 3) {
                damaged[44 + Int(numbers.next() % UInt64(damaged.count - 52))] = UInt8(numbers.next() & 0xff)
            }
            damaged.removeLast(8)
            damaged.append(littleEndian: damaged.withUnsafeBytes { checksum64($0) })
            guard let result = try? apply(damaged, to: first) else { continue }
            #expect(patterns(result) == patterns(reconstruction))
        }
    }

    /// Mixed contexts learn as they go: they are for streams that are not the same everywhere, even where no neighbour tells
    /// anything.
    @Test func unevenStreamsAreMixed() {
        let count = 3 << 19
        for (first, second, isMixed) in [(20, 5, true), (8, 8, false)] as [(UInt64, UInt64, Bool)] {
            var numbers = Numbers(state: 8)
            let symbols = (0..<count).map { index -> UInt16 in
                let word = numbers.next()
                return word % (index < count / 2 ? first : second) == 0 ? UInt16(1 + word >> 60 & 1) : 0
            }
            symbols.withUnsafeBufferPointer { symbols in
                let counts = histogram(symbols, alphabet: 3)
                let plan = LevelPlan(SymbolView(symbols, previous: nil), counts: counts, threads: 1)
                #expect(plan.isMixed == isMixed)
            }
        }
    }
}
