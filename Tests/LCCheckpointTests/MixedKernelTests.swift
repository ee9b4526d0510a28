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
                    let bodies = both(.narrow) {
                        symbols.withUnsafeBufferPointer { MixedModel.encode($0, previous: previous) }
                    }
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
