import CKernels
import Dispatch
import Testing

@testable import LCCheckpoint

/// What vector instructions do is what plain C does, bit for bit.
@Suite(.serialized) struct KernelTests {
    /// Vectors of 256 bits and of 512, where the machine has them.
    enum Vectors: CaseIterable {
        case narrow
        case wide
    }

    /// Runs `body` by vectors and by plain C.
    func both<Result>(_ vectors: Vectors, _ body: () -> Result) -> (vector: Result, plain: Result) {
        defer { ck_use_path(CK_PATH_WIDE) }
        ck_use_path(vectors == .wide ? CK_PATH_WIDE : CK_PATH_VECTORS)
        let vector = body()
        ck_use_path(CK_PATH_PLAIN)
        return (vector, body())
    }

    @Test(arguments: Vectors.allCases) func bothPathsGiveTheSameBits(_ vectors: Vectors) throws {
        var numbers = Numbers(state: 21)
        for count in [1, 63, 64, 1023, 1024, 5000, 140_000] {
            for density in [1, 7, 500] {
                let (base, target) = largeStates(count, density, &numbers)
                for bits in [1, 2, 3, 4, nil] as [Int?] {
                    let settings = CodecSettings(kind: .lc(bits: bits))
                    let frames = both(vectors) { try? encode(target, onto: base, settings) }
                    let vector = try #require(frames.vector)
                    let plain = try #require(frames.plain)
                    #expect(vector.frame.bytes == plain.frame.bytes)
                    #expect(patterns(vector.reconstruction) == patterns(plain.reconstruction))
                    #expect(vector.frame.statistics == plain.frame.statistics)
                    let decoded = both(vectors) { try? apply(vector.frame.bytes, to: base) }
                    #expect(patterns(try #require(decoded.vector)) == patterns(vector.reconstruction))
                    #expect(patterns(try #require(decoded.plain)) == patterns(vector.reconstruction))
                }
            }
        }
    }

    /// Deltas of many scales, with larger ones to come, runs of zeros, −0.0, and what isn't finite.
    private func deltas(_ count: Int, _ numbers: inout Numbers) -> (base: [Float], target: [Float]) {
        var base = [Float](repeating: 0, count: count)
        var target = base
        var scale: Float = 0x1p-40
        for index in 0..<count {
            if index % 3000 == 0 { scale *= numbers.next() % 3 == 0 ? 4 : 1 }
            let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
            target[index] = (index / 5000) % 3 == 2 && numbers.next() % 50 != 0 ? 0 : scale * unit
            if numbers.next() % 900 == 0 { base[index] = -0.0 }
            if numbers.next() % 9000 == 0 { target[index] = numbers.next() % 2 == 0 ? .nan : -.infinity }
        }
        return (base, target)
    }

    /// Negative zeros, and numbers that are none, too: adding zero changes some of them.
    @Test(arguments: Vectors.allCases) func bothPathsAddTheSameValues(_ vectors: Vectors) {
        var numbers = Numbers(state: 22)
        let odd: [UInt32] = [0x8000_0000, 0x7f81_2345, 0xff80_0001, 0x7fc1_2345, 0x7f80_0000, 1, 0x8000_0001]
        for (count, alphabet) in [(31, 4), (32, 4), (1000, 4), (1000, 8), (1000, 300), (4096, 9)] {
            for rarity in [2, 100] as [UInt64] {
                let symbols = (0..<count).map { _ in
                    numbers.next() % rarity == 0 ? UInt16(numbers.next() % UInt64(alphabet)) : 0
                }
                let values = (0..<alphabet).map { Float($0) / 8 }
                let state = (0..<count).map { index in
                    let isOdd = index / 200 % 2 == 0 && numbers.next() % 9 == 0
                    let own = odd[Int(numbers.next() % UInt64(odd.count))]
                    return isOdd ? Float(bitPattern: own) : Float(index) / 16
                }
                let states = both(vectors) {
                    var own = state
                    ck_apply(symbols, count, values, UInt32(alphabet), &own)
                    return patterns(own)
                }
                let isSame = states.vector == states.plain
                #expect(isSame)
                let expected = patterns(zip(state, symbols).map { $0 + values[Int($1)] })
                let isRight = states.plain == expected
                #expect(isRight)
            }
        }
    }

    @Test(arguments: Vectors.allCases) func bothPathsFindTheSameRanges(_ vectors: Vectors) {
        var numbers = Numbers(state: 17)
        for count in [10, 1024, 5000, 60_000] {
            let (base, target) = deltas(count, &numbers)
            for window in [0, 1, 3, 4, 7, 8, 30] as [UInt32] {
                let found = both(vectors) {
                    var ranges = ck_ranges()
                    ck_ranges_clear(&ranges)
                    ck_scan(target, base, count, window, &ranges)
                    return ranges
                }
                #expect(found.vector.top == found.plain.top)
                #expect(found.vector.nonfinite == found.plain.nonfinite)
                let floor = max(1, Int(found.plain.top) - Int(window))
                let known = [found.vector, found.plain].map { ranges in
                    withUnsafeBytes(of: ranges) { raw in
                        // Lowest, highest, counts.
                        [(0, 4), (2048, 4), (4096, 8)].flatMap { start, width in
                            [0, 256].map { sign in
                                let first = start + width * (sign + floor)
                                return Array(raw[first..<(start + width * (sign + 255))])
                            }
                        }
                    }
                }
                #expect(known[0] == known[1])
            }
        }
    }

    @Test(arguments: Vectors.allCases) func bothPathsListTheSameDeltas(_ vectors: Vectors) {
        var numbers = Numbers(state: 18)
        for count in [10, 64, 5000, 65_536] {
            let (base, target) = deltas(count, &numbers)
            for floor in [1, 90, 95, 100, 120] as [UInt32] {
                let listed = both(vectors) {
                    var places = [UInt32](repeating: 0, count: count)
                    var deltas = places
                    var targets = [Float](repeating: 0, count: count)
                    var ranges = ck_ranges()
                    ck_ranges_clear(&ranges)
                    return places.withUnsafeMutableBufferPointer { places in
                        withAll(&deltas, &targets) { deltas, targets in
                            var few = ck_few(
                                places: places.baseAddress.unsafelyUnwrapped,
                                deltas: deltas.baseAddress.unsafelyUnwrapped,
                                targets: targets.baseAddress.unsafelyUnwrapped, count: 0, sums: ck_sums(),
                                has_negative_zero: false)
                            ck_list(target, base, count, floor, &ranges, &few)
                            for index in 0..<few.count {
                                let place = Int(few.places[index])
                                #expect(few.targets[index].bitPattern == target[place].bitPattern)
                            }
                            return [
                                Array(places[..<few.count]), Array(deltas[..<few.count]),
                                [UInt32(few.has_negative_zero ? 1 : 0), ranges.top],
                                [few.sums.error, few.sums.norm].flatMap {
                                    [
                                        UInt32(truncatingIfNeeded: $0.bitPattern),
                                        UInt32($0.bitPattern >> 32),
                                    ]
                                },
                            ]
                        }
                    }
                }
                // A NaN's own bits don't matter.
                #expect(listed.vector[..<3] == listed.plain[..<3])
                if base.count < 1000 { #expect(listed.vector == listed.plain) }
            }
        }
    }

    private func withAll<Result>(
        _ one: inout [UInt32], _ two: inout [Float],
        _ body: (UnsafeMutableBufferPointer<UInt32>, UnsafeMutableBufferPointer<Float>) -> Result
    ) -> Result {
        one.withUnsafeMutableBufferPointer { one in two.withUnsafeMutableBufferPointer { body(one, $0) } }
    }

    /// Zero is added where nothing changes, too.
    @Test(arguments: Vectors.allCases) func negativeZerosBecomePositive(_ vectors: Vectors) throws {
        for rarity in [1, 100] {
            var base = [Float](repeating: 1, count: 140_000)
            for index in stride(from: 7, to: base.count, by: 501) { base[index] = -0.0 }
            let target = base.enumerated().map { index, value in
                index % rarity == 0 ? value + Float(index % 1000) / 1024 : value
            }
            let settings = CodecSettings(kind: .lc(bits: 3))
            let frames = both(vectors) { try? encode(target, onto: base, settings) }
            let vector = try #require(frames.vector)
            #expect(patterns(vector.reconstruction) == patterns(try #require(frames.plain).reconstruction))
            #expect(vector.reconstruction.allSatisfy { $0.bitPattern != 0x8000_0000 })
            let decoded = both(vectors) { try? apply(vector.frame.bytes, to: base) }
            #expect(patterns(try #require(decoded.vector)) == patterns(vector.reconstruction))
            #expect(patterns(try #require(decoded.plain)) == patterns(vector.reconstruction))
        }
    }

    /// Groups of every size, whole batches of them and what is left over.
    @Test(arguments: Vectors.allCases) func bothPathsPackTheSameGroups(_ vectors: Vectors) {
        var numbers = Numbers(state: 31)
        for (alphabet, group) in [(2, 6), (3, 5), (4, 4), (8, 3), (22, 2), (5, 3), (16, 2), (3, 2)] {
            var groups = 1
            for _ in 0..<group { groups *= alphabet }
            let codes = (0..<groups).map { _ -> UInt32 in
                let length = UInt32(numbers.next() % 12)
                return UInt32(truncatingIfNeeded: numbers.next()) & ((1 << length) - 1) | length << 16
            }
            for count in [0, 1, 5, 256 * group, 256 * group - 1, 5000, 20_003] {
                let symbols = (0..<count).map { _ in UInt16(numbers.next() % UInt64(alphabet)) }
                let found = both(vectors) {
                    var bytes = [UInt8](repeating: 0, count: 2 * count + 16)
                    let size = ck_pack_groups(
                        codes, UInt32(alphabet), UInt32(group), symbols, count, &bytes)
                    return Array(bytes[..<size])
                }
                #expect(found.vector == found.plain)
            }
        }
    }

    @Test(arguments: Vectors.allCases) func symbolsAreCounted(_ vectors: Vectors) {
        var numbers = Numbers(state: 32)
        for alphabet in [1, 2, 4, 5, 8, 9, 12, 13, 16, 17, 600] {
            for count in [0, 1, 7, 8, 15, 16, 17, 1000, 600_001] {
                for rarity in [1, 40] where count < 1000 || rarity > 1 || alphabet < 9 {
                    let symbols = (0..<count).map { _ in
                        numbers.next() % UInt64(rarity) == 0 ? UInt16(numbers.next() % UInt64(alphabet)) : 0
                    }
                    var expected = [Int](repeating: 0, count: alphabet)
                    for symbol in symbols { expected[Int(symbol)] += 1 }
                    let found = both(vectors) {
                        symbols.withUnsafeBufferPointer { histogram($0, alphabet: alphabet) }
                    }
                    #expect(found.vector == expected)
                    #expect(found.plain == expected)
                }
            }
        }
    }

    /// What the system's library says, as far as vectors are taken.
    @Test(arguments: Vectors.allCases) func digestsAreThoseOfTheLibrary(_ vectors: Vectors) {
        var numbers = Numbers(state: 33)
        for count in [0, 1, 16, 17, 128, 129, 240, 241, 1024, 1025, 70_001] {
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            let found = both(vectors) { bytes.withUnsafeBytes { Digest.of($0) } }
            #expect(found.vector == found.plain)
            let sums = both(vectors) { bytes.withUnsafeBytes { checksum64($0) } }
            #expect(sums.vector == sums.plain)
        }
    }

    /// Loops at the same time and within each other: every turn is one worker's, once, and no worker is at two turns.
    @Test func loopsGiveEveryTurnToOneWorker() {
        @Sendable func check(_ count: Int, threads: Int, depth: Int) -> Bool {
            let turns = Results(count: count, 0)
            let busy = Results(count: threads, false)
            let isRight = Results(count: count, true)
            inParallel(count, threads: threads) { index, worker in
                isRight[index] = worker < threads && !busy[worker]
                busy[worker] = true
                turns[index] += 1
                if depth > 0, index % 16 == 0, !check(count / 2, threads: threads, depth: depth - 1) {
                    isRight[index] = false
                }
                busy[worker] = false
            }
            return turns.all.allSatisfy { $0 == 1 } && isRight.all.allSatisfy { $0 }
        }
        // Each has a place of its own.
        nonisolated(unsafe) let results = Results(count: 400, false)
        DispatchQueue.concurrentPerform(iterations: 400) { round in
            results[round] = check(round % 70, threads: 1 + round % 5, depth: round % 3)
        }
        #expect(results.all.allSatisfy { $0 })
    }

    /// Lists of several vectors at the same time, in memory that was another's before.
    @Test func listsKeepApart() {
        let rooms = (0..<3).map { _ in ListRoom(count: 1 << 20) }
        var lists: [(few: ck_few, mark: UInt32)] = []
        var numbers = Numbers(state: 34)
        for mark in 0..<(300 as UInt32) {
            let count = Int(numbers.next() % 4096)
            let room = rooms[Int(mark) % 3]
            var few = room.list(4096)
            for index in 0..<count {
                few.places[index] = mark
                few.deltas[index] = mark + 1000
                few.targets[index] = Float(mark)
            }
            few.count = count
            room.take(count)
            lists.append((few, mark))
        }
        withExtendedLifetime(rooms) {
            for (few, mark) in lists {
                #expect((0..<few.count).allSatisfy { few.places[$0] == mark })
                #expect((0..<few.count).allSatisfy { few.deltas[$0] == mark + 1000 })
                #expect((0..<few.count).allSatisfy { few.targets[$0] == Float(mark) })
            }
        }
    }
}
