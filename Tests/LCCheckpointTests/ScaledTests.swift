import Testing

@testable import LCCheckpoint

/// Levels by classes of their size.
@Suite struct ScaledTests {
    /// Levels whose scale drifts, and symbols before them that are alike.
    private func symbols(_ count: Int, alphabet: Int, seed: UInt64) -> (own: [UInt16], previous: [UInt8]) {
        var numbers = Numbers(state: seed)
        var previous = [UInt8](repeating: 0, count: count)
        let own = (0..<count).map { index -> UInt16 in
            var scale = UInt64(alphabet)
            for _ in 0..<(index / 700 % 4) { scale = max(2, scale / 6) }
            let symbol = Int(min(numbers.next() % scale, numbers.next() % scale))
            previous[index] = UInt8(min(255, numbers.next() % 3 == 0 ? 0 : symbol))
            return UInt16(symbol)
        }
        return (own, previous)
    }

    private func stream(_ symbols: [UInt16], _ previous: [UInt8]?, alphabet: Int) -> [UInt8] {
        symbols.withUnsafeBufferPointer { own in
            withPointer(to: previous) { previous in
                let view = SymbolView(own, previous: previous)
                let model = ScaledModel.best(view, counts: histogram(own, alphabet: alphabet)).model
                #expect(previous == nil || model.usesPrevious)
                var bytes: [UInt8] = []
                let size = BlockSize(symbols: own.count, estimatedBytes: Double(own.count))
                encodeBlocks(view, .scaled(model), size, threads: 2).write(into: &bytes)
                return bytes
            }
        }
    }

    private func decoded(
        _ bytes: [UInt8], _ previous: [UInt8]?, count: Int, alphabet: Int
    ) throws -> [UInt16] {
        var symbols = [UInt16](repeating: 9999, count: count)
        try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            try symbols.withUnsafeMutableBufferPointer { symbols in
                try withPointer(to: previous) {
                    try decodeSymbols(&reader, alphabet: alphabet, previous: $0, into: symbols)
                }
            }
            #expect(reader.isAtEnd)
        }
        return symbols
    }

    @Test(arguments: [2, 3, 14, 15, 16, 17, 60, 1025, 32_766, 32_767])
    func bothDecodersGiveTheLevelsBack(alphabet: Int) throws {
        for count in [1, 2, 5, 4095, 4096, 4097, 9001, 66_000] {
            let (own, before) = symbols(count, alphabet: alphabet, seed: UInt64(count + alphabet))
            for previous in [nil, before] where previous == nil || count > 4097 {
                let bytes = stream(own, previous, alphabet: alphabet)
                #expect(try decoded(bytes, previous, count: count, alphabet: alphabet) == own)
                guard count < 10_000 else { continue }
                var plain = PlainDecoder(bytes, previous: previous?.map { Int($0) } ?? [])
                #expect(try plain.stream(count, alphabet, isLast: true) == own.map { Int($0) })
            }
        }
    }

    @Test func nothingIsAnEmptyBlock() throws {
        let bytes = stream([], nil, alphabet: 9)
        #expect(try decoded(bytes, nil, count: 0, alphabet: 9) == [])
        #expect(throws: CodecError.self) { try decoded(bytes, nil, count: 1, alphabet: 9) }
        #expect(throws: CodecError.self) { try decoded(bytes + [0, 0x80, 0, 0], nil, count: 0, alphabet: 9) }
    }

    /// Of the classes of two alphabets that share their highest level one symbol belongs to the larger one alone.
    @Test func aLevelBeyondTheAlphabetIsRefused() throws {
        for count in [100, 9001] {
            var (own, _) = symbols(count, alphabet: 1001, seed: 3)
            own[count - 1] = 1000
            let bytes = stream(own, nil, alphabet: 1001)
            #expect(try decoded(bytes, nil, count: count, alphabet: 1001) == own)
            #expect(throws: CodecError.self) { try decoded(bytes, nil, count: count, alphabet: 1000) }
        }
    }

    /// Whatever a block's bytes are, it has its levels or is refused.
    @Test func damageIsRefusedOrGivesLevels() throws {
        var numbers = Numbers(state: 9)
        for count in [300, 5000] {
            let (own, _) = symbols(count, alphabet: 301, seed: 5)
            let bytes = stream(own, nil, alphabet: 301)
            for _ in 0..<60 {
                var damaged = bytes
                let at = Int(numbers.next() % UInt64(bytes.count))
                if numbers.next() % 2 == 0 {
                    damaged[at] ^= UInt8(1 << (numbers.next() % 8))
                } else {
                    damaged.removeLast(bytes.count - at)
                }
                guard damaged != bytes else { continue }
                if let levels = try? decoded(damaged, nil, count: count, alphabet: 301) {
                    #expect(levels.allSatisfy { $0 < 301 })
                    #expect(levels != own)
                }
            }
        }
    }

    /// They take less than the order-0 entropy where scales differ.
    @Test func scalesPay() throws {
        let (own, before) = symbols(66_000, alphabet: 601, seed: 12)
        let bits = own.withUnsafeBufferPointer { entropyBits(histogram($0, alphabet: 601)) }
        let plain = stream(own, nil, alphabet: 601)
        #expect(Double(8 * plain.count) < 0.95 * bits)
        #expect(stream(own, before, alphabet: 601).count < plain.count * 3 / 4)
    }

    /// Many large levels aren't worth a mixer's time, and few are.
    @Test func largeLevelsOfLongStreamsAreScaled() throws {
        let count = 1 << 18
        let (large, _) = symbols(count, alphabet: 401, seed: 2)
        let few = large.map { $0 < 300 ? 0 : $0 }
        for (symbols, isScaled) in [(large, true), (few, false), (Array(large.prefix(1 << 14)), false)] {
            symbols.withUnsafeBufferPointer { symbols in
                let counts = histogram(symbols, alphabet: 401)
                let plan = LevelPlan(SymbolView(symbols, previous: nil), counts: counts, threads: 1)
                let coder = plan.encode(SymbolView(symbols, previous: nil), alphabet: 401, threads: 1).coder
                if case .scaled = coder { #expect(isScaled) } else { #expect(!isScaled) }
            }
        }
    }
}
