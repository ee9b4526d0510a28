import CKernels
import Testing

@testable import LCCheckpoint

/// Mixed contexts.
extension KernelTests {
    /// Levels whose size differs from row to row, and symbols of a frame before that tell something of them.
    private func levels(
        _ count: Int, most: Int, density: Int, _ numbers: inout Numbers
    ) -> (symbols: [UInt16], previous: [UInt8]) {
        let symbols = (0..<count).map { index -> UInt16 in
            guard numbers.next() % UInt64(density) == 0 else { return 0 }
            let row = 1 + most * (1 + index / 300 * 7 % 5) / 5
            let level = Int(numbers.next() % UInt64(row)) * Int(numbers.next() % UInt64(row)) / row
            return Level.symbol(magnitude: min(level, most), isNegative: numbers.next() & 1 == 0)
        }
        let previous = symbols.map { numbers.next() % 3 == 0 ? UInt8(min($0, 255)) : 0 }
        return (symbols, previous)
    }

    @Test(arguments: [1, 2, 13, 300, Level.maximum]) func bothPathsMixTheSame(most: Int) {
        var numbers = Numbers(state: 31)
        for count in [0, 1, 7, 8, 255, 256, 257, 5000, 60_000] {
            for (density, hasPrevious) in [(1, false), (1, true), (9, true), (400, false), (400, true)] {
                let (symbols, before) = levels(count, most: most, density: density, &numbers)
                before.withUnsafeBufferPointer { before in
                    let previous = hasPrevious ? before.baseAddress : nil
                    let bodies = both(.narrow) { encode(symbols, previous) }
                    // Not the arrays themselves, which would be printed.
                    let isSame = bodies.vector == bodies.plain
                    #expect(isSame)
                    let read = both(.narrow) { decode(bodies.plain, count, most: most, previous) }
                    let isRead = read.vector == symbols && read.plain == symbols
                    #expect(isRead)
                    // A reader is four bytes ahead, and the last elements may take some more of what is none of theirs.
                    let longer = bodies.plain + [UInt8](repeating: 1, count: 200)
                    let isRefused = decode(longer, count, most: most, previous) == nil
                    #expect(isRefused)
                }
            }
        }
    }

    private func encode(_ symbols: [UInt16], _ previous: UnsafePointer<UInt8>?) -> [UInt8] {
        symbols.withUnsafeBufferPointer {
            let scratch = BlockScratch(count: symbols.count)
            defer { withExtendedLifetime(scratch) {} }
            let block = SymbolView($0, previous: previous)
            return MixedModel.encode(block.sparse(usesPrevious: previous != nil, words: scratch.words))
        }
    }

    /// Long stretches of zeros, of which few questions tell, between symbols that lie anywhere in them, read by the second decoder too.
    @Test func stretchesOfZerosTakeNextToNothing() throws {
        var numbers = Numbers(state: 33)
        for (count, places) in [
            (4096, [0]), (4096, [4095]), (4096, [511, 512]), (4097, [4096]),
            (2000, [7, 8, 63, 64, 575, 1999]),
            (1536, []), (20_000, (0..<12).map { _ in Int(numbers.next() % 20_000) }), (520, [513]),
        ] {
            var symbols = [UInt16](repeating: 0, count: count)
            for place in places { symbols[place] = UInt16(1 + numbers.next() % 6) }
            // Such symbols, and others, were met before.
            let before = symbols.map { $0 == 0 ? UInt8(numbers.next() % 999 == 0 ? 1 : 0) : UInt8($0 % 4) }
            for hasPrevious in [false, true] {
                let body = before.withUnsafeBufferPointer {
                    encode(symbols, hasPrevious ? $0.baseAddress : nil)
                }
                let read = try PlainLevels.decode(
                    body, count: count, previous: hasPrevious ? before.map { Int($0) } : nil)
                #expect(read == symbols.map { Int($0) }, "\(count) symbols")
                #expect(body.count <= 8 + 3 * places.count)
            }
        }
    }

    /// Nil when it can't be read.
    private func decode(
        _ body: [UInt8], _ count: Int, most: Int, _ previous: UnsafePointer<UInt8>?
    ) -> [UInt16]? {
        var symbols = [UInt16](repeating: 7, count: count)
        let isRead = body.withUnsafeBytes { body in
            symbols.withUnsafeMutableBufferPointer { symbols in
                (try? MixedModel.decode(body, alphabet: 2 * most + 1, previous: previous, into: symbols))
                    != nil
            }
        }
        return isRead ? symbols : nil
    }

    /// Any bytes are levels or are refused, whatever instructions read them.
    @Test func bothPathsReadAnyBytesAlike() {
        var numbers = Numbers(state: 32)
        for round in 0..<400 {
            let body = (0..<(round % 60)).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            let previous = (0..<500).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            previous.withUnsafeBufferPointer { previous in
                let own = round % 2 == 0 ? nil : previous.baseAddress
                let read = both(.narrow) {
                    decode(body, 1 + round, most: [3, 40, Level.maximum][round % 3], own)
                }
                let isSame = read.vector == read.plain
                #expect(isSame)
            }
        }
    }
}
