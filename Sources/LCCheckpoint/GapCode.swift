import CKernels

/// Codes the few symbols that aren't zero by Rice codes: the zeros before each, and how far it is from the first symbol or from
/// the last one of the alphabet, whichever most are near to. There is next to no head, which is most of what a small or nearly unchanged tensor takes otherwise.
struct GapCode: Hashable, Sendable {
    let alphabet: Int
    /// Low bits of a gap, and of a symbol's distance.
    let gapBits: Int
    let symbolBits: Int
    /// Distances are from the last symbol, as suits buckets; else from the first, as suits levels.
    let fromLast: Bool

    /// Symbols that aren't zero up to which it is tried: more pay for tables of frequencies.
    static let most = 1024
    private static let mostGapBits = 22
    private static let mostSymbolBits = 3

    /// What a code is chosen by.
    struct Sample {
        var gaps: [Int] = []
        var symbols: [Int] = []
        private var next = 0

        /// The symbols of a stream, if they are few.
        init?(_ symbols: SymbolView) {
            guard symbols.nonzeroCount <= GapCode.most else { return nil }
            symbols.forEachNonzero(in: 0..<symbols.count) { append($0, Int($1)) }
        }

        /// The deltas of a vector that were listed and have symbols.
        init(_ few: FewDeltas, byKey: [UInt16]) {
            for (place, piece) in few.pieces.enumerated() {
                for index in 0..<piece.count {
                    let symbol = Int(byKey[Int(piece.deltas[index] >> 23)])
                    if symbol != 0 { append(place * Pieces.count + Int(piece.places[index]), symbol) }
                }
            }
        }

        private mutating func append(_ index: Int, _ symbol: Int) {
            gaps.append(index - next)
            symbols.append(symbol)
            next = index + 1
        }
    }

    /// The code that takes the fewest bytes, with about what it takes, its head included.
    static func best(_ sample: Sample, alphabet: Int) -> (code: GapCode, bytes: Double) {
        func cheapest(_ values: [Int], _ most: Int) -> (low: Int, bits: Int) {
            let all = (0...most).map { low in
                (low: low, bits: values.reduce(values.count * (low + 1)) { $0 + $1 >> low })
            }
            return all.min { $0.bits < $1.bits } ?? (0, 0)
        }
        let gaps = cheapest(sample.gaps, mostGapBits)
        let first = alphabet > 2 ? cheapest(sample.symbols.map { $0 - 1 }, mostSymbolBits) : (low: 0, bits: 0)
        let last =
            alphabet > 2
            ? cheapest(sample.symbols.map { alphabet - 1 - $0 }, mostSymbolBits) : (low: 0, bits: 0)
        let symbols = last.bits < first.bits ? last : first
        let count = 2 * (Int.bitWidth - sample.gaps.count.leadingZeroBitCount) - 1
        let code = GapCode(
            alphabet: alphabet, gapBits: gaps.low, symbolBits: symbols.low, fromLast: last.bits < first.bits)
        return (code, 2 + Double(gaps.bits + symbols.bits + max(count, 0) + 7) / 8)
    }

    private init(alphabet: Int, gapBits: Int, symbolBits: Int, fromLast: Bool) {
        self.alphabet = alphabet
        self.gapBits = gapBits
        self.symbolBits = symbolBits
        self.fromLast = fromLast
    }

    /// As it is written.
    var head: UInt8 { UInt8(gapBits | symbolBits << 5 | (fromLast ? 128 : 0)) }

    init(_ reader: inout ByteReader, alphabet: Int) throws(CodecError) {
        let byte = Int(try reader.byte("gaps"))
        self.init(
            alphabet: alphabet, gapBits: byte & 31, symbolBits: byte >> 5 & 3, fromLast: byte & 128 != 0)
        guard alphabet > 1, gapBits <= GapCode.mostGapBits, alphabet > 2 || byte < 32 else {
            throw .malformed(
                "frame is damaged: gaps of \(gapBits) and \(symbolBits) bits among \(alphabet) symbols")
        }
    }

    // MARK: Blocks

    /// A block's body; of zeros alone there is none.
    func encode(_ block: SymbolView) -> [UInt8] {
        var events: [(index: Int, symbol: Int)] = []
        block.forEachNonzero(in: 0..<block.count) { events.append(($0, Int($1))) }
        return encode(events)
    }

    /// The same of a block that is listed by pieces, which have symbols for deltas.
    func encode(_ pieces: UnsafeBufferPointer<ck_few>) -> [UInt8] {
        var events: [(index: Int, symbol: Int)] = []
        for (place, piece) in pieces.enumerated() {
            for index in 0..<piece.count {
                events.append(
                    (place * Pieces.count + Int(piece.places[index]), Int(piece.deltas[index])))
            }
        }
        return encode(events)
    }

    private func encode(_ events: [(index: Int, symbol: Int)]) -> [UInt8] {
        guard !events.isEmpty else { return [] }
        var writer = BitWriter()
        writer.append(gamma: UInt64(events.count))
        var next = 0
        for (index, symbol) in events {
            writer.append(rice: index - next, low: gapBits)
            if alphabet > 2 {
                writer.append(rice: fromLast ? alphabet - 1 - symbol : symbol - 1, low: symbolBits)
            }
            next = index + 1
        }
        return writer.finish()
    }

    /// Reads the body of a block of `count` symbols as a list.
    func decode(
        _ body: UnsafeRawBufferPointer, count: Int, scratch: BlockScratch
    ) throws(CodecError) -> SymbolList {
        guard !body.isEmpty else {
            let nothing = scratch.numbers(1)
            return SymbolList(places: nothing, symbols: nothing, count: 0)
        }
        var bits = BitReader(body)
        let found = Int(try bits.gamma(below: BlockSize.largest + 1, "gaps"))
        // Each takes a bit or more, so the body bounds what is allocated.
        guard found <= min(count, 8 * body.count) else {
            throw .malformed("frame is damaged: \(found) symbols in a block of \(count)")
        }
        let places = scratch.numbers(2 * found)
        let symbols = places + found
        var next = 0
        for index in 0..<found {
            let gap = try bits.rice(low: gapBits, below: count - next, "gap")
            places[index] = UInt32(next + gap)
            next += gap + 1
            let distance = alphabet > 2 ? try bits.rice(low: symbolBits, below: alphabet - 1, "symbol") : 0
            symbols[index] = UInt32(fromLast ? alphabet - 1 - distance : 1 + distance)
        }
        guard bits.paddingIsZero, bits.bytesRead == body.count else {
            throw .malformed("frame is damaged: bits after the gaps")
        }
        return SymbolList(places: places, symbols: symbols, count: found)
    }
}

extension BitWriter {
    /// A Rice code: as many zeros as `value` has of 2^low, a one, and its low bits.
    fileprivate mutating func append(rice value: Int, low: Int) {
        for _ in 0..<(value >> low) { append(0, count: 1) }
        append(1, count: 1)
        append(UInt64(value & (1 << low - 1)), count: low)
    }
}

extension BitReader {
    /// A Rice code's number, below `limit`.
    fileprivate mutating func rice(low: Int, below limit: Int, _ what: String) throws(CodecError) -> Int {
        var value = 0
        while try read(1, what) == 0 {
            value += 1 << low
            guard value < limit else { throw .malformed("frame is damaged: \(what) is out of range") }
        }
        value += Int(try read(low, what))
        guard value < limit else { throw .malformed("frame is damaged: \(what) is out of range") }
        return value
    }
}
