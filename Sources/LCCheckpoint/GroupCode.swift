import CKernels

// Huffman codes of groups of symbols, for streams whose symbols are independent of each other: a look-up codes several
// symbols at once, and a group's code comes closer to its entropy than its symbols' codes would.

/// A canonical code of all groups of a few symbols, at most eleven bits long.
struct GroupCode: Sendable {
    let alphabet: Int
    /// Symbols in a group.
    let size: Int
    /// Bits of each group's code; 0 for one that doesn't occur. The first symbol counts least in a group's index.
    private let lengths: [UInt8]
    private let codes: [UInt32]

    static let longest = Int(CK_GROUP_BITS)
    /// The most groups.
    static let mostGroups = 512
    private static let sizes = 2...Int(CK_GROUP_SYMBOLS)
    private static let streamCount = 4

    /// The number of groups, or nil where there are too many.
    private static func groups(_ alphabet: Int, _ size: Int) -> Int? {
        var count = 1
        for _ in 0..<size {
            count *= alphabet
            guard count <= mostGroups else { return nil }
        }
        return count
    }

    /// The code that takes the fewest bits if symbols are independent, and the bytes of all blocks; nil for large alphabets, where
    /// only zero occurs, and where no code takes fewer bytes than `most`.
    static func best(counts: [Int], below most: Double = .infinity) -> (code: GroupCode, bytes: Int)? {
        guard counts.dropFirst().contains(where: { $0 > 0 }) else { return nil }
        var best: (code: GroupCode, bytes: Int)?
        let total = Double(counts.reduce(0, +))
        for size in sizes {
            guard let groups = groups(counts.count, size) else { break }
            // No group takes less than a bit.
            guard total / Double(8 * size) < most else { continue }
            let (code, bytes) = GroupCode.fitted(counts: counts, size: size, groups: groups)
            if Double(bytes) < best.map({ Double($0.bytes) }) ?? most { best = (code, bytes) }
        }
        return best
    }

    private static func fitted(counts: [Int], size: Int, groups: Int) -> (code: GroupCode, bytes: Int) {
        let total = Double(counts.reduce(0, +))
        var shares = [Double](repeating: 1, count: groups)
        for index in 0..<groups {
            var rest = index
            for _ in 0..<size {
                let symbol = rest % counts.count
                // Zeros fill up a stream's last group, and so occur in any case.
                shares[index] *= Double(symbol == 0 ? max(1, counts[0]) : counts[symbol]) / total
                rest /= counts.count
            }
        }
        let lengths = optimalLengths(shares, atMost: longest)
        var bits = 0.0
        for (share, length) in zip(shares, lengths) { bits += share * Double(length) }
        let code = GroupCode(alphabet: counts.count, size: size, lengths: lengths)
        return (code, Int(bits * total / Double(size) / 8) + 1 + (groups + 1) / 2)
    }

    /// The lengths of the shortest complete code of which none is above `longest`, by merging packages of groups (Larmore and
    /// Hirschberg 1990).
    private static func optimalLengths(_ shares: [Double], atMost longest: Int) -> [UInt8] {
        let leaves = shares.indices.filter { shares[$0] > 0 }.sorted { (shares[$0], $0) < (shares[$1], $1) }
        var levels: [[Bool]] = []
        var weights: [Double] = []
        for _ in 0..<longest {
            // The leaves, and among them pairs of what the level before has.
            let pairs = stride(from: 0, to: weights.count - 1, by: 2).map { weights[$0] + weights[$0 + 1] }
            var merged: [Double] = []
            var isPair: [Bool] = []
            var (leaf, pair) = (0, 0)
            while leaf < leaves.count || pair < pairs.count {
                let takesPair =
                    leaf == leaves.count || (pair < pairs.count && pairs[pair] < shares[leaves[leaf]])
                merged.append(takesPair ? pairs[pair] : shares[leaves[leaf]])
                isPair.append(takesPair)
                if takesPair { pair += 1 } else { leaf += 1 }
            }
            weights = merged
            levels.append(isPair)
        }
        var lengths = [UInt8](repeating: 0, count: shares.count)
        var taken = 2 * leaves.count - 2
        for isPair in levels.reversed() {
            let pairs = isPair.prefix(taken).reduce(0) { $0 + ($1 ? 1 : 0) }
            for leaf in leaves.prefix(taken - pairs) { lengths[leaf] += 1 }
            taken = 2 * pairs
        }
        return lengths
    }

    private init(alphabet: Int, size: Int, lengths: [UInt8]) {
        self.alphabet = alphabet
        self.size = size
        self.lengths = lengths
        codes = canonicalCodes(lengths).map { $0 & 0xffff | ($0 >> 24) << 16 }
    }

    /// Appends size and lengths.
    func write(into output: inout [UInt8]) {
        output.append(UInt8(size))
        var table = BitWriter()
        for length in lengths { table.append(UInt64(length), count: 4) }
        output.append(contentsOf: table.finish())
    }

    /// Symbols of each stream but the last.
    static func quarter(_ count: Int, size: Int) -> Int {
        (count + streamCount * size - 1) / (streamCount * size) * size
    }

    /// Appends a block's body.
    func encode(_ symbols: UnsafeBufferPointer<UInt16>, scratch: BlockScratch, into output: inout [UInt8]) {
        guard let first = symbols.baseAddress else { return output.append(contentsOf: [0, 0, 0]) }
        let quarter = GroupCode.quarter(symbols.count, size: size)
        let room = quarter * 2 + 16
        let buffer = scratch.bytes(GroupCode.streamCount * room)
        var sizes: [Int] = []
        for stream in 0..<GroupCode.streamCount {
            let start = min(stream * quarter, symbols.count)
            sizes.append(
                ck_pack_groups(
                    codes, UInt32(alphabet), UInt32(size), first + start, min(quarter, symbols.count - start),
                    buffer + stream * room))
        }
        output.reserveCapacity(output.count + sizes.reduce(0, +) + 16)
        for size in sizes.dropLast() { output.append(varint: UInt64(size)) }
        for (stream, size) in sizes.enumerated() {
            output.append(contentsOf: UnsafeBufferPointer(start: buffer + stream * room, count: size))
        }
    }
}

/// A code of groups as it was read.
struct GroupLengths: Sendable {
    let alphabet: Int
    let size: Int
    let lengths: [UInt8]

    /// Reads and checks a code.
    init(_ reader: inout ByteReader, alphabet: Int) throws(CodecError) {
        self.alphabet = alphabet
        size = Int(try reader.byte("group size"))
        var groups = 1
        for _ in 0..<min(size, 10) where groups <= GroupCode.mostGroups { groups *= alphabet }
        guard (1...Int(CK_GROUP_SYMBOLS)).contains(size), alphabet <= 256, groups <= GroupCode.mostGroups
        else {
            throw .malformed("frame is damaged: groups of \(size) symbols of \(alphabet)")
        }
        var table = BitReader(try reader.bytes((groups + 1) / 2, "code lengths"))
        var lengths: [UInt8] = []
        var room = 1 << GroupCode.longest
        for _ in 0..<groups {
            let length = Int(try table.read(4, "code length"))
            guard length <= GroupCode.longest else {
                throw .malformed("frame is damaged: a group's code of \(length) bits")
            }
            if length > 0 { room -= 1 << (GroupCode.longest - length) }
            lengths.append(UInt8(length))
        }
        guard room == 0, table.paddingIsZero else {
            throw .malformed("frame is damaged: the code lengths make no complete code")
        }
        self.lengths = lengths
    }
}

/// Look-ups for decoding groups.
struct GroupDecoder: Sendable {
    private let size: Int
    private var entries = [UInt64](repeating: 0, count: 1 << GroupCode.longest)
    private var lengths = [UInt8](repeating: 0, count: 1 << GroupCode.longest)

    init(_ code: GroupLengths) {
        size = code.size
        fill(code.lengths, alphabet: code.alphabet)
    }

    private mutating func fill(_ own: [UInt8], alphabet: Int) {
        var singles = [(symbols: UInt64, bits: Int)](repeating: (0, 0), count: entries.count)
        for (group, code) in canonicalCodes(own).enumerated() where code != 0 {
            let bits = Int(code >> 24)
            var symbols: UInt64 = 0
            var rest = group
            for place in 0..<size {
                symbols |= UInt64(rest % alphabet) << UInt64(8 * place)
                rest /= alphabet
            }
            for window in stride(from: Int(code & 0xff_ffff), to: entries.count, by: 1 << bits) {
                singles[window] = (symbols, bits)
            }
        }
        for window in entries.indices {
            var (symbols, bits) = singles[window]
            var count = size
            lengths[window] = UInt8(bits)
            // As many whole groups as the window and six bytes hold.
            while count + size <= Int(CK_GROUP_SYMBOLS) {
                let next = singles[window >> bits]
                guard bits + next.bits <= GroupCode.longest else { break }
                symbols |= next.symbols << UInt64(8 * count)
                bits += next.bits
                count += size
            }
            entries[window] = symbols | UInt64(count) << 48 | UInt64(bits) << 56
        }
    }

    /// Reads a block's body.
    func decode(
        _ body: UnsafeRawBufferPointer, scratch: BlockScratch,
        into symbols: UnsafeMutableBufferPointer<UInt16>
    ) throws(CodecError) {
        var reader = ByteReader(body)
        var sizes: [Int] = []
        for _ in 0..<3 { sizes.append(try reader.count("stream length", atMost: reader.rest.count)) }
        let total = sizes.reduce(0, +)
        guard total <= reader.rest.count else { throw .malformed("frame is cut short: streams of a block") }
        sizes.append(reader.rest.count - total)
        guard let first = symbols.baseAddress, let bytes = reader.rest.baseAddress else {
            guard symbols.isEmpty, body.count == 3 else { throw Self.damaged(symbols.count) }
            return
        }
        var streams: [UnsafePointer<UInt8>] = []
        var next = bytes.assumingMemoryBound(to: UInt8.self)
        for size in sizes {
            streams.append(next)
            next += size
        }
        let quarter = GroupCode.quarter(symbols.count, size: size)
        let fits = ck_unpack_groups(
            entries, lengths, UInt32(size), streams, sizes, quarter, symbols.count,
            scratch.bytes(4 * (quarter + 8)), first)
        guard fits else { throw Self.damaged(symbols.count) }
    }

    private static func damaged(_ count: Int) -> CodecError {
        .malformed("frame is damaged: a block's streams don't hold its \(count) symbols")
    }
}
