import CKernels
import Testing

@testable import LCCheckpoint

/// Small deltas among which few are larger, these together and apart, and at the edges of groups and pieces.
private func fewLargeDeltas(_ count: Int, seed: UInt64, share: UInt64) -> [Float] {
    var numbers = Numbers(state: seed)
    return (0..<count).map { index in
        let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
        let isEdge = [0, 1, 7, 8].contains((index + 1) % (1 << 14)) || index >= count - 2
        let isLarge = isEdge || numbers.next() % share == 0 || (index / 40 % 97 == 0 && index % 3 == 0)
        return isLarge ? (unit < 0 ? -1 : 1) + 30 * unit * unit * unit * unit * unit : 0.01 * unit
    }
}

private func withVector<Result>(
    _ target: [Float], _ previous: [Float], _ body: (ScopeVector) throws -> Result
) rethrows -> Result {
    var previous = previous
    return try target.withUnsafeBytes { target in
        try previous.withUnsafeMutableBytes { previous in
            try body(
                ScopeVector([
                    SectionSource(name: "p", format: .float32, target: target, reconstruction: previous)
                ]))
        }
    }
}

/// What is packed is quantized as it would be among the others.
extension KernelTests {
    private func entries<Tuple, Entry>(_ tuple: Tuple, _: Entry.Type) -> [Entry] {
        withUnsafeBytes(of: tuple) { Array($0.bindMemory(to: Entry.self)) }
    }

    private struct Packed {
        var targets: [UInt32]
        var previous: [UInt32]
        var groups: [UInt32]
        var symbols: [UInt16]
        var spread: [UInt16]
        var sums: [UInt64]
        var hasNegativeZero: Bool
        var tally: ck_tally
        var restored: [UInt32]
    }

    /// Packs and quantizes one piece, in parts that begin anew.
    private func packed(
        _ target: [Float], _ previous: [Float], _ rule: ck_uniform, floor: Float, values: [Float]
    ) -> Packed {
        let (count, size) = (target.count, LoudGroups.size)
        let room = ListRoom(groups: (count + size - 1) / size)
        var loud = room.groups((count + size - 1) / size)
        ck_list_loud(target, previous, count, floor, &loud)
        room.take(loud.count)
        var (rule, tally) = (rule, ck_tally())
        let (begun, all) = ((1 << 14) / size, (count + size - 1) / size)
        for first in stride(from: 0, to: all, by: begun) {
            let end = min(first + begun, all)
            // Counting kinds, and without writing, it does the same.
            var other = ck_tally()
            ck_quantize_loud(&loud, first, end, &rule, false, true, &other)
            ck_quantize_loud(&loud, first, end, &rule, true, false, &tally)
            for kind in 0..<Int(CK_ACTIVITY_KINDS) {
                withUnsafeMutableBytes(of: &tally.seen) { seen in
                    seen.bindMemory(to: UInt64.self)[kind] += entries(other.seen, UInt64.self)[kind]
                }
                withUnsafeMutableBytes(of: &tally.sent) { sent in
                    sent.bindMemory(to: UInt64.self)[kind] += entries(other.sent, UInt64.self)[kind]
                }
            }
        }
        var spread = [UInt16](repeating: 0, count: all * size)
        var marks = [UInt64](repeating: 0, count: ck_mask_words(count))
        ck_spread_loud(&loud, &spread, &marks)
        for index in spread.indices {
            #expect((marks[index / 64] >> UInt64(index % 64) & 1 == 1) == (spread[index] != 0))
        }
        var restored = previous
        ck_apply_loud(&loud, values, &restored, count)
        func array<Entry>(_ start: UnsafeMutablePointer<Entry>, _ count: Int) -> [Entry] {
            Array(UnsafeBufferPointer(start: start, count: count))
        }
        return Packed(
            targets: patterns(array(loud.targets, size * loud.count)),
            previous: patterns(array(loud.previous, size * loud.count)),
            groups: array(loud.groups, loud.count), symbols: array(loud.symbols, size * loud.count),
            spread: Array(spread.prefix(count)), sums: [loud.sums.error, loud.sums.norm].map(\.bitPattern),
            hasNegativeZero: loud.has_negative_zero, tally: tally, restored: patterns(restored))
    }

    @Test(arguments: [3, 200, 5000] as [UInt64], Vectors.allCases)
    func packedGroupsAreQuantizedAsTheWhole(share: UInt64, _ vectors: Vectors) {
        var rule = ck_uniform()
        rule.inverse = 2
        rule.usual = 1.25
        withUnsafeMutableBytes(of: &rule.thresholds) { bytes in
            let thresholds = bytes.bindMemory(to: Float.self)
            for kind in thresholds.indices { thresholds[kind] = 2.5 - 1.5 * Float(kind % 11) / 10 }
        }
        let values = UniformValues(step: 0.5, highest: 100, places: [Int8](repeating: 3, count: 9)).table
        for (count, hasNegativeZero) in [(8, true), (13, false), (1 << 16, false), (40_003, true)] {
            let deltas = fewLargeDeltas(count, seed: share + UInt64(count), share: share)
            var previous = fewLargeDeltas(count, seed: 3, share: 2)
            if hasNegativeZero { previous[count - 1] = -0.0 }
            let target = zip(previous, deltas).map { $0 + $1 }
            let found = both(vectors) { packed(target, previous, rule, floor: 0.499, values: values) }
            let (own, plain) = (found.vector, found.plain)
            #expect(own.targets == plain.targets && own.previous == plain.previous)
            #expect(own.groups == plain.groups && own.symbols == plain.symbols)
            #expect(own.sums == plain.sums && own.restored == plain.restored)
            #expect(own.hasNegativeZero == hasNegativeZero && plain.hasNegativeZero == hasNegativeZero)
            #expect(own.tally.squares == plain.tally.squares)
            #expect(entries(own.tally.offsets, Double.self) == entries(plain.tally.offsets, Double.self))
            // As the whole.
            var symbols = [UInt16](repeating: 0, count: count)
            var (tally, kinds) = (ck_tally(), ck_tally())
            for start in stride(from: 0, to: count, by: 1 << 14) {
                let end = min(start + 1 << 14, count)
                let parts = [target, previous].map { Array($0[start..<end]) }
                var own = Array(symbols[start..<end])
                ck_quantize_uniform(parts[0], parts[1], end - start, &rule, &own, false, &tally)
                ck_quantize_uniform(parts[0], parts[1], end - start, &rule, nil, true, &kinds)
                symbols.replaceSubrange(start..<end, with: own)
            }
            #expect(own.spread == symbols)
            #expect(entries(own.tally.counts, UInt64.self) == entries(tally.counts, UInt64.self))
            #expect(own.tally.highest == tally.highest && own.tally.beyond == tally.beyond)
            #expect(entries(own.tally.sent, UInt64.self) == entries(kinds.sent, UInt64.self))
            #expect(plain.tally.seen.0 == own.tally.seen.0)
            // Groups are filled up.
            if count % 8 == 0 {
                #expect(entries(own.tally.seen, UInt64.self) == entries(kinds.seen, UInt64.self))
            }
            let squares = own.tally.squares + 4 * Double(bitPattern: own.sums[0])
            #expect(abs(squares - tally.squares) <= 1e-5 * tally.squares)
            var restored = previous
            ck_apply(symbols, count, values, UInt32(values.count), &restored)
            #expect(own.restored == patterns(restored))
        }
    }

    @Test(arguments: Vectors.allCases) func whatIsNoNumberIsLoud(_ vectors: Vectors) {
        for strange in [Float.nan, .infinity, -.infinity] {
            for place in [0, 5, 16, 39, 41] {
                var target = [Float](repeating: 1, count: 42)
                let previous = target
                target[place] = strange
                var rule = ck_uniform()
                rule.inverse = 1
                withUnsafeMutableBytes(of: &rule.thresholds) { bytes in
                    bytes.bindMemory(to: Float.self).update(repeating: 2)
                }
                let found = both(vectors) { packed(target, previous, rule, floor: 0.5, values: [0]) }
                #expect(found.vector.groups == [UInt32(place / 8)])
                #expect(found.plain.groups == [UInt32(place / 8)])
                #expect(!Double(bitPattern: found.vector.sums[1]).isFinite)
            }
        }
    }
}

/// `auto` where little is sent of much.
@Suite struct LoudGroupTests {
    private static let count = 1 << 17 + 13

    private func errors(_ target: [Float], _ restored: [Float]) -> (error: Double, norm: Double) {
        zip(target, restored).reduce(into: (0, 0)) { sums, pair in
            guard pair.0.isFinite else { return }
            let miss = Double(pair.0) - Double(pair.1)
            sums.0 += miss * miss
            sums.1 += Double(pair.0) * Double(pair.0)
        }
    }

    private func isPacked(_ target: [Float], _ previous: [Float], _ error: Double) -> Bool {
        withVector(target, previous) { LoudGroups.listing($0, error: error, threads: 1) != nil }
    }

    /// Encodes two steps with one thread and with two, and checks what they restore.
    private func check(_ base: [Float], _ target: [Float], _ error: Double) throws {
        var writers = [1, 2].map { Chain(state: base, threads: $0) }
        var reader = Chain(state: base)
        for step in 1...2 {
            let live = step == 1 ? target : zip(target, base).map { $0 + 0.5 * ($0 - $1) }
            let frames = try writers.indices.map {
                try writers[$0].encode(live, CodecSettings(kind: .auto(error: error)))
            }
            #expect(frames[0].bytes == frames[1].bytes)
            try reader.apply(frames[0].bytes)
            for writer in writers {
                #expect(patterns(writer.state) == patterns(reader.state))
                let history = writer.context?.history?.symbols(
                    scope: 0, count: live.count, of: digest(writer.state))
                #expect(history != nil)
                #expect(
                    history
                        == reader.context?.history?.symbols(
                            scope: 0, count: live.count, of: digest(reader.state)))
            }
            let sums = errors(live, reader.state)
            #expect(sums.error <= error * error * sums.norm)
            let claimed = frames[0].statistics.relativeError
            #expect(claimed * claimed * sums.norm >= sums.error * (1 - 1e-9))
            #expect(claimed * claimed * sums.norm <= sums.error * (1 + 1e-6) + 1e-30)
            for (one, two) in zip(live, reader.state) where !one.isFinite {
                #expect(one.bitPattern == two.bitPattern)
            }
        }
    }

    private func base(_ seed: UInt64) -> [Float] {
        var numbers = Numbers(state: seed)
        return (0..<LoudGroupTests.count).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 100 }
    }

    @Test(arguments: [300, 3000] as [UInt64], [0.05, 0.02, 0.005])
    func keepsToItsError(share: UInt64, error: Double) throws {
        var base = base(share)
        for index in stride(from: 3, to: base.count, by: 700) { base[index] = -0.0 }
        let target = zip(base, fewLargeDeltas(base.count, seed: 9, share: share)).map { $0 + $1 }
        #expect(isPacked(target, base, error))
        try check(base, target, error)
    }

    /// Frames are those of a quantizer that looks at every element, with the same rule.
    @Test func symbolsAreThoseOfTheWhole() throws {
        let base = base(5)
        let target = zip(base, fewLargeDeltas(base.count, seed: 6, share: 900)).map { $0 + $1 }
        try withVector(target, base) { vector in
            var rule = UniformRule(step: 0.5, threshold: 1.5)
            for kind in rule.thresholds.indices { rule.thresholds[kind] -= Float(kind % 8) / 10 }
            let room = UnsafeMutablePointer<UInt16>.allocate(capacity: base.count + 8)
            defer { room.deallocate() }
            var whole = [UInt16](repeating: 0, count: base.count)
            let scratch = BlockScratch(count: 0)
            defer { withExtendedLifetime(scratch) {} }
            let expected = quantizeUniform(base.count, rule, symbols: &whole) { range, _ in
                vector.targetAndReconstruction(range, into: scratch)
            }
            for threads in [1, 2] {
                let loud = try #require(
                    LoudGroups(vector, floor: 0.9 * rule.lowest, most: base.count / 8, threads: threads))
                let outcome = loud.quantize(rule, writes: true, threads: threads)
                let view = loud.view(room, previous: nil, threads: threads)
                let filled = view.filled
                withExtendedLifetime(filled) { #expect(filled.dense.elementsEqual(whole)) }
                #expect(outcome.nonzero == expected.nonzero && outcome.highest == expected.highest)
                #expect(abs(outcome.error - expected.error) <= 1e-5 * expected.error)
                let alphabet = 2 * outcome.highest + 1
                #expect(
                    loud.histogram(alphabet: alphabet) == view.histogram(0..<base.count, alphabet: alphabet))
                #expect(loud.packed < base.count / 4)
            }
            #expect(LoudGroups(vector, floor: rule.lowest, most: 100, threads: 2) == nil)
        }
    }

    /// What a sample sees of the change is nothing like the rest.
    @Test(arguments: ["rare", "rare and huge", "quiet sample", "loud sample"])
    func samplesMayMislead(_ name: String) throws {
        let count = LoudGroupTests.count
        let base = base(8)
        // Where the samples are that are looked at.
        let runs = (count / 16) / 1024
        let starts = (0..<runs).map { (count - 1024) / (runs - 1) * $0 }
        let isSeen = starts.reduce(into: [Bool](repeating: false, count: count)) { seen, start in
            for index in start..<(start + 1024) { seen[index] = true }
        }
        var numbers = Numbers(state: 4)
        let target = base.indices.map { index -> Float in
            let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
            return switch name {
            case "rare": base[index] + (!isSeen[index] && index % 5000 == 11 ? 40 * unit : 0)
            case "rare and huge":
                base[index] + (!isSeen[index] && index % 5000 == 11 ? 1e9 * unit : 1e-7 * unit)
            case "quiet sample": base[index] + (isSeen[index] ? 0 : unit)
            default: base[index] + (isSeen[index] ? unit : index % 4000 == 9 ? 30 * unit : 0)
            }
        }
        for error in [0.05, 0.01, 1e-4] { try check(base, target, error) }
    }

    @Test func whatIsNotFiniteIsLookedAtWhole() throws {
        let base = base(7)
        var target = zip(base, fewLargeDeltas(base.count, seed: 6, share: 900)).map { $0 + $1 }
        #expect(isPacked(target, base, 0.02))
        for strange in [Float.nan, .infinity, .greatestFiniteMagnitude] {
            target[70_000] = strange
            var own = base
            // A delta that overflows.
            if strange.isFinite { own[70_000] = -strange }
            #expect(!isPacked(target, own, 0.02))
            try check(own, target, 0.02)
        }
    }
}
