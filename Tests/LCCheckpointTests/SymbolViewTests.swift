import CKernels
import Testing

@testable import LCCheckpoint

@Suite struct SymbolViewTests {
    /// Symbols of which few aren't zero, in clusters, with all of them there and with anything in zeros' places.
    private func withViews(
        _ count: Int, alphabet: Int, hasPrevious: Bool, _ numbers: inout Numbers,
        _ body: (_ dense: SymbolView, _ sparse: SymbolView) throws -> Void
    ) rethrows {
        var symbols = [UInt16](repeating: 0, count: count)
        var previous = [UInt8](repeating: 0, count: count)
        for index in 0..<count where numbers.next() % (index / 700 % 3 == 0 ? 20 : 900) == 0 {
            symbols[index] = UInt16(numbers.next() % UInt64(alphabet))
            previous[min(count - 1, index + Int(numbers.next() % 2))] = UInt8(numbers.next() % 9)
        }
        var words = [UInt64](repeating: 0, count: ck_mask_words(count))
        var other = symbols
        for index in 0..<count {
            if symbols[index] == 0 { other[index] = 0x7fff } else { words[index / 64] |= 1 << (index % 64) }
        }
        try symbols.withUnsafeBufferPointer { symbols in
            try other.withUnsafeBufferPointer { other in
                try previous.withUnsafeBufferPointer { previous in
                    try words.withUnsafeBufferPointer { words in
                        let before = hasPrevious ? previous.baseAddress : nil
                        try body(
                            SymbolView(symbols, previous: before),
                            SymbolView(other, previous: before, nonzero: words.baseAddress))
                    }
                }
            }
        }
    }

    @Test(arguments: [2, 4, 8, 255]) func zerosNeedNotBeThere(alphabet: Int) {
        var numbers = Numbers(state: UInt64(alphabet))
        for (count, hasPrevious) in [(70_000, false), (131_072, true), (200_001, true), (262_145, false)] {
            withViews(count, alphabet: alphabet, hasPrevious: hasPrevious, &numbers) { dense, sparse in
                let counts = dense.histogram(0..<count, alphabet: alphabet)
                #expect(sparse.histogram(0..<count, alphabet: alphabet) == counts)
                #expect(sparse.nonzeroCount == dense.nonzeroCount)
                #expect(dense.hasSameSymbols(as: sparse) && sparse.hasSameSymbols(as: dense))
                let plans = [dense, sparse].map {
                    StreamPlan(sample: $0, isComplete: true, counts: counts, entropy: .best)
                }
                var heads: [[UInt8]] = [[], []]
                for (index, plan) in plans.enumerated() {
                    plan.coder.write(plan.blockSize, into: &heads[index])
                }
                #expect(heads[0] == heads[1])
                // Every coder that takes them, whatever the plan takes.
                let survey = ContextSurvey(
                    sparse, counts: counts, blockSize: plans[0].blockSize, isBlind: false)
                let models = survey.candidates().map { survey.model($0.contexts).0 }.filter(\.isSparse)
                #expect(!models.isEmpty)
                let contexts = models.map { BlockCoder.contexts($0) }
                for coder in contexts + [.mixed(usesPrevious: hasPrevious)] {
                    #expect(coder.takesNonzero)
                    let bodies = [dense, sparse].map {
                        encodeBlocks($0, coder, plans[0].blockSize, threads: 1).blocks
                    }
                    let isSame = bodies[0] == bodies[1]
                    #expect(isSame)
                }
            }
        }
    }

    /// What was coded for the plan is taken for the symbols that it was coded for, and for no others.
    @Test func changedSymbolsAreCodedAnew() throws {
        var numbers = Numbers(state: 3)
        let alphabet = 7
        var kept = 0
        for count in [500, 5000, 40_000] {
            try withViews(count, alphabet: alphabet, hasPrevious: false, &numbers) { view, _ in
                let counts = view.histogram(0..<count, alphabet: alphabet)
                let plan = StreamPlan(sample: view, isComplete: true, counts: counts, entropy: .best)
                guard plan.body(of: 0, view[plan.blockSize.range(0, of: count)]) != nil else { return }
                kept += 1
                for place in [0, count / 2, count - 1] {
                    var changed = Array(view.symbols)
                    changed[place] = changed[place] == 1 ? 2 : 1
                    let decoded = try changed.withUnsafeBufferPointer { changed in
                        let own = SymbolView(changed, previous: nil)
                        let blocks = (0..<plan.blockSize.blocks(of: count)).map {
                            plan.body(of: $0, own[plan.blockSize.range($0, of: count)])
                        }
                        #expect(blocks.contains(nil))
                        return try decode(plan.encode(own, threads: 1), count, alphabet)
                    }
                    #expect(decoded == changed)
                }
                #expect(
                    try decode(plan.encode(view, threads: 1), count, alphabet)
                        == Array(view.symbols))
            }
        }
        #expect(kept > 0)
    }

    private func decode(_ stream: EncodedStream, _ count: Int, _ alphabet: Int) throws -> [UInt16] {
        var bytes: [UInt8] = []
        stream.write(into: &bytes)
        var decoded = [UInt16](repeating: 9999, count: count)
        try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            try decoded.withUnsafeMutableBufferPointer {
                try decodeSymbols(&reader, alphabet: alphabet, into: $0)
            }
        }
        return decoded
    }

    /// Values that are multiples of a large power of two are told in few bits, whatever their exponents are, and come back whole.
    @Test func valuesAreToldWithoutTheZerosTheyEndIn() throws {
        var numbers = Numbers(state: 5)
        for unit in [Float(0x1p-10), 0x1p-20, 0x1p-60] {
            var sizes: [Int] = []
            for isFine in [false, true] {
                let values = (0..<600).map { _ in
                    let whole = Float(Int(numbers.next() % 4095) - 2047)
                    return isFine ? whole * unit * 1.000_001 : whole * unit
                }
                let base = [Float](repeating: 0, count: values.count)
                let (frame, state) = try encode(values, onto: base, CodecSettings(kind: .lc(bits: nil)))
                #expect(try apply(frame.bytes, to: base) == state)
                sizes.append(frame.bytes.count - Int(frame.statistics.entropyBits * 75))
            }
            // Some twenty buckets of up to twelve bits instead of 23.
            #expect(sizes[0] + 15 < sizes[1])
        }
    }
}
