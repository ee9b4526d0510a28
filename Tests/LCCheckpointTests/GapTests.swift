import CKernels
import Testing

@testable import LCCheckpoint

@Suite struct GapTests {
    /// Mostly zeros: one of `rarity` isn't.
    private func symbols(_ count: Int, _ alphabet: Int, rarity: UInt64, _ numbers: inout Numbers) -> [UInt16]
    {
        (0..<count).map { _ in
            numbers.next() % rarity == 0 ? UInt16(1 + numbers.next() % UInt64(alphabet - 1)) : 0
        }
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

    @Test(arguments: [2, 3, 4, 8, 64, 508, 32_767])
    func gapsGiveTheSymbolsBack(alphabet: Int) throws {
        var numbers = Numbers(state: UInt64(alphabet))
        for count in [1, 7, 8, 9, 63, 1001, 70_001, 140_000] {
            for rarity in [1, 9, 1000] as [UInt64] where UInt64(count) / rarity < 1000 {
                let symbols = symbols(count, alphabet, rarity: rarity, &numbers)
                try symbols.withUnsafeBufferPointer { buffer in
                    let sample = try #require(GapCode.Sample(SymbolView(buffer, previous: nil)))
                    let (code, promised) = GapCode.best(sample, alphabet: alphabet)
                    var bytes: [UInt8] = []
                    encodeBlocks(
                        SymbolView(buffer, previous: nil), .gaps(code),
                        BlockSize(symbols: 0, estimatedBytes: 0), threads: 1
                    ).write(into: &bytes)
                    #expect(try decode(bytes, count, alphabet) == symbols)
                    // A length, a count and unused bits of each block.
                    #expect(abs(Double(bytes.count) - promised) < 2 + 4 * Double(count >> 16))
                }
            }
        }
    }

    /// Where next to nothing changes there is next to nothing beside it.
    @Test func aFewChangesTakeLittleMoreThanTheirEntropy() throws {
        var numbers = Numbers(state: 4)
        let base = (0..<100_000).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
        for changes in [1, 10, 100] {
            var target = base
            for _ in 0..<changes { target[Int(numbers.next() % 100_000)] += 0.25 }
            for bits in [1, 3] {
                let (frame, state) = try encode(target, onto: base, CodecSettings(kind: .lc(bits: bits)))
                #expect(try apply(frame.bytes, to: base) == state)
                let entropy = frame.statistics.entropyBits * 100_000 / 8
                #expect(Double(frame.bytes.count) < entropy + 80, "\(changes) changes, \(bits) bits")
            }
        }
    }

    @Test func listsAndSymbolsGiveTheSameBytes() throws {
        var numbers = Numbers(state: 6)
        let symbols = symbols(20_000, 8, rarity: 300, &numbers)
        try symbols.withUnsafeBufferPointer { buffer in
            let sample = try #require(GapCode.Sample(SymbolView(buffer, previous: nil)))
            let code = GapCode.best(sample, alphabet: 8).code
            var pieces: [ck_few] = []
            for start in stride(from: 0, to: symbols.count, by: Pieces.count) {
                let places = symbols[start..<min(start + Pieces.count, symbols.count)].indices
                    .filter { symbols[$0] != 0 }
                let words = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, 2 * places.count))
                for (index, place) in places.enumerated() {
                    words[index] = UInt32(place - start)
                    words[places.count + index] = UInt32(symbols[place])
                }
                let nothing = UnsafeMutablePointer<Float>.allocate(capacity: 1)
                pieces.append(
                    ck_few(
                        places: words, deltas: words + places.count, targets: nothing, count: places.count,
                        sums: ck_sums(), has_negative_zero: false))
            }
            defer {
                for piece in pieces {
                    piece.places.deallocate()
                    piece.targets.deallocate()
                }
            }
            let bytes = pieces.withUnsafeBufferPointer { code.encode($0) }
            #expect(bytes == code.encode(SymbolView(buffer, previous: nil)) && !bytes.isEmpty)
        }
    }

    @Test func damageNeverTraps() throws {
        var numbers = Numbers(state: 5)
        let symbols = symbols(2000, 4, rarity: 100, &numbers)
        var bytes: [UInt8] = []
        try symbols.withUnsafeBufferPointer { buffer in
            let sample = try #require(GapCode.Sample(SymbolView(buffer, previous: nil)))
            encodeBlocks(
                SymbolView(buffer, previous: nil), .gaps(GapCode.best(sample, alphabet: 4).code),
                BlockSize(symbols: 0, estimatedBytes: 0), threads: 1
            ).write(into: &bytes)
        }
        for place in bytes.indices {
            for bit in 0..<8 {
                var damaged = bytes
                damaged[place] ^= 1 << UInt8(bit)
                if let decoded = try? decode(damaged, 2000, 4) { #expect(decoded.allSatisfy { $0 < 4 }) }
            }
            // A head alone is a block of zeros.
            guard place != 2 else { continue }
            #expect(throws: CodecError.self) { _ = try decode(Array(bytes[..<place]), 2000, 4) }
        }
    }
}
