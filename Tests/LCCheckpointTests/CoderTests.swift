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
}
