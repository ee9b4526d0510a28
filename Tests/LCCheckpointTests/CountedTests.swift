import Testing

@testable import LCCheckpoint

@Suite struct CountedTests {
    /// Symbols of which one in `rarity` isn't zero, small ones most often.
    private func symbols(
        _ count: Int, _ alphabet: Int, rarity: UInt64, _ numbers: inout Numbers
    ) -> [UInt16] {
        (0..<count).map { _ in
            guard numbers.next() % rarity == 0 else { return 0 }
            return UInt16(1 + numbers.next() % (1 + numbers.next() % UInt64(alphabet - 1)))
        }
    }

    private func body(of symbols: [UInt16], _ alphabet: Int) -> [UInt8] {
        symbols.withUnsafeBufferPointer {
            CountedCode.encode($0, alphabet: alphabet, scratch: BlockScratch(count: 0))
        }
    }

    private func decode(_ body: [UInt8], _ count: Int, _ alphabet: Int) throws -> [UInt16] {
        var decoded = [UInt16](repeating: 9999, count: count)
        try body.withUnsafeBytes { body in
            try decoded.withUnsafeMutableBufferPointer {
                try CountedCode.decode(body, alphabet: alphabet, into: $0)
            }
        }
        return decoded
    }

    @Test(arguments: [2, 3, 4, 8, 64, CountedCode.mostAlphabet])
    func countsGiveTheSymbolsBack(alphabet: Int) throws {
        var numbers = Numbers(state: UInt64(alphabet))
        for count in [1, 2, 7, 100, 5000, CountedCode.most] {
            for rarity in [1, 9, 1000, .max] as [UInt64] {
                let symbols = symbols(count, alphabet, rarity: rarity, &numbers)
                let body = body(of: symbols, alphabet)
                let isSame = try decode(body, count, alphabet) == symbols
                #expect(isSame)
                let isPlain =
                    try PlainCounts.decode(body, count: count, alphabet: alphabet) == symbols.map(Int.init)
                #expect(isPlain)
                // No more than the entropy and each count, which is about as long as what knowing it saves.
                let counts = symbols.withUnsafeBufferPointer { histogram($0, alphabet: alphabet) }
                let told = counts.dropFirst().reduce(0.0) { $0 + 2 * log2(Double($1 + 1)) + 1 }
                #expect(8 * Double(body.count) < 1.0005 * entropyBits(counts) + told + 16)
            }
        }
        // All alike, but zero.
        let same = [UInt16](repeating: UInt16(alphabet - 1), count: 1000)
        #expect(try decode(body(of: same, alphabet), 1000, alphabet) == same)
        #expect(body(of: same, alphabet).count < 5 + alphabet / 8)
    }

    /// Small tensors are coded so where neither neighbours nor the frame before tell anything: without a table's head, and by
    /// less than a hundredth more than the entropy.
    @Test func shortStreamsOfChanceAreCounted() throws {
        var numbers = Numbers(state: 8)
        let base = (0..<5000).map { _ -> Float in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
        let target = base.map { (value: Float) -> Float in
            let move = Float(numbers.next() % 1000) / 1000
            return numbers.next() % 12 == 0 ? value + move : value
        }
        let (frame, state) = try encode(target, onto: base, CodecSettings(kind: .lc(bits: 2)))
        let parsed = try frame.bytes.withUnsafeBytes { try Frame(parsing: $0) }
        guard case .quantized(let scope) = parsed.scopes[0].content else { throw PlainDecoder.Refused() }
        #expect(scope.stream.coderName == "counted")
        #expect(try apply(frame.bytes, to: base) == state)
        let entropy = frame.statistics.entropyBits * 5000 / 8
        #expect(Double(scope.stream.bodyBytes) < 1.01 * entropy + 4)
    }

    @Test func damageNeverTraps() throws {
        var numbers = Numbers(state: 9)
        for alphabet in [2, 4, 100] {
            let symbols = symbols(2000, alphabet, rarity: 40, &numbers)
            let body = body(of: symbols, alphabet)
            for place in body.indices {
                for bit in 0..<8 {
                    var damaged = body
                    damaged[place] ^= 1 << UInt8(bit)
                    if let decoded = try? decode(damaged, 2000, alphabet) {
                        #expect(decoded.allSatisfy { Int($0) < alphabet })
                    }
                }
            }
        }
        for round in 0..<2000 {
            let body = (0..<(round % 90)).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            let alphabet = [2, 5, 128][round % 3]
            let own = try? decode(body, 1 + round, alphabet).map(Int.init)
            #expect(own == (try? PlainCounts.decode(body, count: 1 + round, alphabet: alphabet)))
        }
    }
}
