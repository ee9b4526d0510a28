import CKernels
import Testing

@testable import LCCheckpoint

@Suite struct CoderTests {
    private func roundTrip(_ symbols: [UInt16], alphabet: Int, _ entropy: CodecSettings.Entropy) throws -> Int
    {
        var bytes: [UInt8] = []
        symbols.withUnsafeBufferPointer {
            encodeSymbols($0, counts: histogram($0, alphabet: alphabet), entropy: entropy, into: &bytes)
        }
        var decoded = [UInt16](repeating: 9999, count: symbols.count)
        try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            try decoded.withUnsafeMutableBufferPointer {
                try decodeSymbols(&reader, alphabet: alphabet, into: $0)
            }
            #expect(reader.isAtEnd)
        }
        #expect(decoded == symbols)
        return bytes.count
    }

    /// Symbols that follow their left neighbours and the symbols before them, at many densities.
    @Test(arguments: [2, 3, 8, 16, 17, 300])
    func contextsAndRunsGiveTheSymbolsBack(alphabet: Int) throws {
        var numbers = Numbers(state: UInt64(alphabet))
        for count in [1, 63, 64, 65, 127, 128, 129, 1000, 4096, 4101, 70_001] {
            for rarity in [1, 2, 8, 50, 1000] {
                var previous = [UInt8](repeating: 0, count: count)
                var symbols = [UInt16](repeating: 0, count: count)
                for index in 0..<count {
                    let near = previous[index] != 0 || (index > 0 && symbols[index - 1] != 0)
                    if numbers.next() % UInt64(near ? max(rarity / 8, 1) : rarity) == 0 {
                        symbols[index] = UInt16(numbers.next() % UInt64(alphabet))
                    }
                    if numbers.next() % UInt64(rarity) == 0 {
                        previous[index] = UInt8(numbers.next() % UInt64(min(alphabet, 256)))
                    }
                }
                var bytes: [UInt8] = []
                let counts = symbols.withUnsafeBufferPointer { histogram($0, alphabet: alphabet) }
                symbols.withUnsafeBufferPointer { symbols in
                    encodeSymbols(
                        symbols, counts: counts, entropy: .best, previous: previous, threads: 2, into: &bytes)
                }
                var decoded = [UInt16](repeating: 9999, count: count)
                try bytes.withUnsafeBytes { bytes in
                    var reader = ByteReader(bytes)
                    try decoded.withUnsafeMutableBufferPointer {
                        try decodeSymbols(&reader, alphabet: alphabet, previous: previous, into: $0)
                    }
                    #expect(reader.isAtEnd)
                }
                #expect(decoded == symbols)
                #expect(Double(bytes.count) <= 1.02 * entropyBits(counts) / 8 + 48 + Double(2 * alphabet))
            }
        }
    }

    @Test(arguments: [2, 4, 8, 32, 256, 509])
    func everyCoderGivesTheSymbolsBack(alphabet: Int) throws {
        var numbers = Numbers(state: UInt64(alphabet))
        for count in [0, 1, 2, 3, 4, 5, 15, 100, 1001, 4095, 4096, 4099, 20_000] {
            for skew in [0, 1, 3, 8, 20] {
                let symbols = (0..<count).map { _ -> UInt16 in
                    var symbol = numbers.next() % UInt64(alphabet)
                    for _ in 0..<skew { symbol = min(symbol, numbers.next() % UInt64(alphabet)) }
                    return UInt16(symbol)
                }
                let best = try roundTrip(symbols, alphabet: alphabet, .best)
                let huffman = try roundTrip(symbols, alphabet: alphabet, .huffman)
                #expect(best <= huffman)
            }
        }
    }

    @Test func fibonacciCountsStayWithinTheLongestCode() throws {
        var counts = [1, 1]
        while counts.count < 40 { counts.append(counts[counts.count - 1] + counts[counts.count - 2]) }
        let lengths = HuffmanCode(counts: counts).lengths
        #expect(lengths.allSatisfy { (1...UInt8(maximumCodeLength)).contains($0) })
        #expect(lengths.reduce(0) { $0 + 1 << (maximumCodeLength - Int($1)) } == 1 << maximumCodeLength)
    }

    @Test func arithmeticIsClose() {
        #expect(abs(log2(8) - 3) < 1e-12)
        #expect(abs(log2(0.1) + 3.321928094887362) < 1e-12)
        #expect(abs(squareRoot(2) - 1.4142135623730951) < 1e-15)
        #expect(abs(squareRoot(1e-300) / 1e-150 - 1) < 1e-12)
    }

    /// Two lists that are encoded at once give the bytes that each gives alone.
    @Test func listsAreEncodedInPairs() throws {
        var numbers = Numbers(state: 12)
        let counts = [1_000_000, 3000, 40, 7] as [UInt32]
        var runs = [UInt32](repeating: 1, count: Int(CK_RUN_TOKENS))
        for token in 10..<30 { runs[token] = 50 }
        let model = SymbolModel(
            alphabet: 4,
            contexts: SymbolContexts(left: .none, above: .none, wide: false, usesPrevious: false),
            map: [0], tables: [0] + counts.dropFirst(), runs: runs, present: [])
        let scratch = BlockScratch(count: 1)
        func lists(_ sizes: [Int]) -> [ck_few] {
            sizes.map { size in
                let own = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, 2 * size))
                var place: UInt32 = 0
                for index in 0..<size {
                    place += UInt32(numbers.next() % 40)
                    own[index] = place
                    own[size + index] = 1 + UInt32(numbers.next() % 3)
                    place += 1
                }
                let targets = UnsafeMutablePointer<Float>.allocate(capacity: 1)
                return ck_few(
                    places: own, deltas: own + size, targets: targets, count: size, sums: ck_sums(),
                    has_negative_zero: false)
            }
        }
        for (one, two) in [
            ([100], [100]), ([0, 50], [1000, 3]), ([7, 0, 0, 900], [0]), ([0], [0]), ([1], [1500, 1]),
        ] {
            let (first, second) = (lists(one), lists(two))
            defer {
                for few in first + second {
                    few.places.deallocate()
                    few.targets.deallocate()
                }
            }
            first.withUnsafeBufferPointer { first in
                second.withUnsafeBufferPointer { second in
                    let alone = [first, second].map { model.encode([$0], scratch: scratch)[0] }
                    #expect(model.encode([first, second], scratch: scratch) == alone)
                    #expect(model.encode([second, first], scratch: scratch) == alone.reversed())
                    #expect(alone.map(\.isEmpty) == [one, two].map { $0.reduce(0, +) == 0 })
                }
            }
        }
    }

    /// Few changes in a large state: its tables must not be made from pieces that no run fits into.
    @Test(arguments: [(1_500_000, 250), (3_000_000, 400), (600_000, 20)])
    func fewAmongManyTakeLittle(_ count: Int, _ moved: Int) throws {
        var numbers = Numbers(state: 44)
        let base = [Float](repeating: 0, count: count)
        var target = base
        for _ in 0..<moved {
            let sign: Float = numbers.next() % 3 == 0 ? 1 : -1
            target[Int(numbers.next() % UInt64(count))] = sign * Float(1 + numbers.next() % 4)
        }
        let frame = try encode(target, onto: base, CodecSettings(kind: .lc(bits: 2))).frame
        let entropy = frame.statistics.entropyBits * Double(count) / 8
        #expect(Double(frame.bytes.count) <= 1.02 * entropy + 160)
    }

    /// Changes that lie together, where pieces spread evenly don't meet them, or meet little else.
    @Test(
        arguments: [
            (10_000_000, 1000, 1_100_000..<2_090_000), (9_000_000, 2000, 2_100_000..<8_300_000),
            (4_000_000, 30_000, 16_384..<49_152), (4_000_000, 3000, 0..<4096),
            (5_000_000, 40, 4_999_000..<5_000_000),
        ] as [(Int, Int, Range<Int>)])
    func changesThatLieTogetherTakeLittle(_ count: Int, _ moved: Int, _ place: Range<Int>) throws {
        var numbers = Numbers(state: 45)
        let base = [Float](repeating: 0, count: count)
        var target = base
        for _ in 0..<moved {
            let index = place.lowerBound + Int(numbers.next() % UInt64(place.count))
            target[index] = [1, -1, 0.5][Int(numbers.next() % 3)]
        }
        let frame = try encode(target, onto: base, CodecSettings(kind: .lc(bits: 2))).frame
        let entropy = frame.statistics.entropyBits * Double(count) / 8
        #expect(Double(frame.bytes.count) <= 1.02 * entropy + 160)
    }

    /// Zeros among zeros are counted together, or one by one: the counts are the same.
    @Test(arguments: [2, 8, 17, 300])
    func sparseContextsAreCountedAlike(alphabet: Int) {
        var numbers = Numbers(state: UInt64(100 + alphabet))
        for count in [1, 63, 64, 65, 128, 4101, 40_000] {
            for rarity in [1, 8, 100, 3000] {
                func rare(_ limit: Int) -> UInt64 {
                    numbers.next() % UInt64(rarity) == 0 ? numbers.next() % UInt64(limit) : 0
                }
                let symbols = (0..<count).map { _ in UInt16(rare(alphabet)) }
                // The rarest lie where words begin and end.
                let above = (0..<count).map { index in
                    rarity < 3000
                        ? UInt8(rare(min(alphabet, 256)))
                        : (index + 1) % 64 < 2 && numbers.next() % 20 == 0 ? 1 : 0
                }
                let classes = SymbolClasses.balanced(
                    symbols.withUnsafeBufferPointer { histogram($0, alphabet: alphabet) })
                for left in [.none, classes] {
                    for (wide, looksBack) in [(false, false), (false, true), (true, false), (true, true)] {
                        let contexts = SymbolContexts(
                            left: left, above: looksBack ? .zero : .none, wide: wide, usesPrevious: looksBack)
                        let model = SymbolModel(
                            alphabet: alphabet, contexts: contexts, map: [], tables: [], runs: nil,
                            present: [])
                        let scratch = BlockScratch(count: count)
                        let empty = [UInt32](repeating: 0, count: contexts.count * alphabet)
                        var (dense, sparse) = (empty, empty)
                        symbols.withUnsafeBufferPointer { symbols in
                            above.withUnsafeBufferPointer { above in
                                let back = looksBack ? above.baseAddress : nil
                                var block = SymbolView(symbols, previous: back).sparse(
                                    usesPrevious: true, words: scratch.words)
                                model.withKernel {
                                    ck_count_contexts(
                                        $0, symbols.baseAddress!, back, count, scratch.contexts, &dense)
                                    ck_count_sparse_contexts($0, &block, &sparse)
                                }
                            }
                        }
                        #expect(dense == sparse)
                        #expect(dense.reduce(0, +) == UInt32(count))
                    }
                }
            }
        }
    }

    /// Mixed contexts take many times as long, so they are for streams whose order tells something.
    @Test func mixedContextsAreForWhatHasAnOrder() {
        var numbers = Numbers(state: 7)
        let count = 1 << 17
        func symbol(of rarity: Int) -> UInt16 {
            numbers.next() % UInt64(rarity) == 0 ? UInt16(1 + numbers.next() % 6) : 0
        }
        let even = (0..<count).map { _ in symbol(of: 5) }
        let uneven = (0..<count).map { symbol(of: $0 / 8192 % 2 == 0 ? 3 : 40) }
        let following = even.indices.map { even[$0 - $0 % 4] }
        let full = (0..<count).map { _ in UInt16(1 + numbers.next() % 6 * (numbers.next() % 2)) }
        // Zeros are the same everywhere, signs aren't.
        let drifting = (0..<count).map { index in
            let own = symbol(of: 4)
            return own == 0 ? 0 : 2 + own / 2 * 2 - (numbers.next() % 8 < index >> 14 ? 1 : 0)
        }
        for (symbols, isOrdered) in [
            (even, false), (full, false), (uneven, true), (following, true), (drifting, true),
        ] {
            symbols.withUnsafeBufferPointer { symbols in
                let counts = histogram(symbols, alphabet: 9)
                let plan = StreamPlan(
                    sample: SymbolView(symbols, previous: nil), isComplete: true, counts: counts,
                    entropy: .best)
                var isMixed = false
                if case .mixed = plan.coder { isMixed = true }
                // Tables may take less all the same.
                #expect(isOrdered || !isMixed)
                #expect(
                    LevelPlan(SymbolView(symbols, previous: nil), counts: counts, threads: 1).isMixed
                        == isOrdered)
            }
        }
    }
}
