import Testing

@testable import LCCheckpoint

@Suite struct GroupTests {
    private func symbols(_ count: Int, _ alphabet: Int, _ skew: Int, _ numbers: inout Numbers) -> [UInt16] {
        (0..<count).map { _ in
            var symbol = numbers.next() % UInt64(alphabet)
            for _ in 0..<skew { symbol = min(symbol, numbers.next() % UInt64(alphabet)) }
            return UInt16(symbol)
        }
    }

    private func stream(_ symbols: [UInt16], _ code: GroupCode, blockBits: Int) -> [UInt8] {
        var size = BlockSize(symbols: symbols.count, estimatedBytes: 0)
        size.log2 = blockBits
        var bytes: [UInt8] = []
        symbols.withUnsafeBufferPointer {
            encodeBlocks(SymbolView($0, previous: nil), .groups(code), size, threads: 2).write(into: &bytes)
        }
        return bytes
    }

    private func decode(_ bytes: [UInt8], _ count: Int, _ alphabet: Int) throws -> [UInt16] {
        var decoded = [UInt16](repeating: 9999, count: count)
        try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            try decoded.withUnsafeMutableBufferPointer {
                try decodeSymbols(&reader, alphabet: alphabet, into: $0)
            }
            guard reader.isAtEnd else { throw CodecError.malformed("bytes are left") }
        }
        return decoded
    }

    /// Near the entropy, and near what the code promised.
    @Test(arguments: [2, 3, 4, 5, 8, 9, 16, 22])
    func groupsGiveTheSymbolsBack(alphabet: Int) throws {
        var numbers = Numbers(state: UInt64(alphabet))
        for count in [1, 2, 3, 7, 8, 9, 63, 100, 1001, 4096, 70_001, 140_000] {
            for skew in [0, 1, 3, 8] {
                var symbols = symbols(count, alphabet, skew, &numbers)
                symbols[count / 2] = 1
                let counts = symbols.withUnsafeBufferPointer { histogram($0, alphabet: alphabet) }
                let (code, promised) = try #require(GroupCode.best(counts: counts))
                let bytes = stream(symbols, code, blockBits: 16)
                #expect(try decode(bytes, count, alphabet) == symbols)
                #expect(abs(bytes.count - promised) < 40 + count / 200)
            }
        }
    }

    @Test func aLargeVectorOfManyChangesIsCodedInGroups() throws {
        var numbers = Numbers(state: 3)
        let symbols = symbols(100_000, 8, 1, &numbers)
        let counts = symbols.withUnsafeBufferPointer { histogram($0, alphabet: 8) }
        var bytes: [UInt8] = []
        symbols.withUnsafeBufferPointer {
            encodeSymbols($0, counts: counts, entropy: .best, into: &bytes)
        }
        #expect(bytes[0] == StreamCoder.groups.rawValue)
        #expect(Double(bytes.count) <= 1.02 * entropyBits(counts) / 8 + 160)
        #expect(GroupCode.best(counts: [Int](repeating: 1, count: 23)) == nil)
    }

    /// A look-up has a byte for each symbol.
    @Test func aSymbolOfMoreThanAByteIsRefused() {
        // Coder 5, groups of one, two codes of a bit for 0 and 299 of 300 symbols.
        var bytes: [UInt8] = [5, 1] + [UInt8](repeating: 0, count: 150)
        bytes[2] = 1
        bytes[2 + 149] = 0x10
        bytes += [16, 4, 1, 0, 0, 0x02]
        #expect(throws: CodecError.self) { try decode(bytes, 2, 300) }
    }

    /// Damaged streams are refused, or read as other symbols of the alphabet.
    @Test func hostileStreamsNeverTrap() throws {
        var numbers = Numbers(state: 12)
        for alphabet in [3, 8] {
            let symbols = symbols(900, alphabet, 2, &numbers)
            let counts = symbols.withUnsafeBufferPointer { histogram($0, alphabet: alphabet) }
            let bytes = stream(symbols, try #require(GroupCode.best(counts: counts)).code, blockBits: 16)
            for _ in 0..<4000 {
                var damaged = bytes
                let place = Int(numbers.next() % UInt64(damaged.count))
                damaged[place] ^= 1 << UInt8(numbers.next() % 8)
                if numbers.next() % 4 == 0 { damaged.removeLast(1 + Int(numbers.next() % 30)) }
                guard let decoded = try? decode(damaged, symbols.count, alphabet) else { continue }
                #expect(decoded.allSatisfy { $0 < alphabet })
            }
            for count in 0..<bytes.count {
                #expect(throws: CodecError.self) {
                    try decode(Array(bytes[..<count]), symbols.count, alphabet)
                }
            }
        }
    }
}
