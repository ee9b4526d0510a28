// Canonical Huffman codes, at most 24 bits long, in four bit streams that can be decoded side by side.
//
// Codes are given by increasing length, and by increasing symbol within a length, as in DEFLATE (RFC 1951, 3.2.2).
// A code's first bit is the first in its stream; streams fill bytes from the least significant bit.

/// The longest code.
let maximumCodeLength = 24
/// The streams of a block; stream q has the symbols from q·⌈n/4⌉ on.
private let streamCount = 4
/// Codes up to this length are decoded by one look-up.
private let lookupBits = 11

/// The lengths and bits of a canonical code.
struct HuffmanCode: Sendable {
    /// Bits of each symbol's code; 0 for one that doesn't occur.
    let lengths: [UInt8]

    /// - Precondition: at least two symbols occur.
    init(counts: [Int]) {
        lengths = HuffmanCode.limited(HuffmanCode.optimal(counts), counts)
    }

    /// Huffman's lengths by the method of two queues: leaves by count, and inner nodes, which come up by count.
    private static func optimal(_ counts: [Int]) -> [Int] {
        let leaves = counts.indices.filter { counts[$0] > 0 }
            .sorted { (counts[$0], $0) < (counts[$1], $1) }
        var weights: [Int] = []
        var parents = [Int](repeating: 0, count: 2 * leaves.count - 1)
        var nextLeaf = 0
        var nextInner = 0
        func smallest() -> (node: Int, weight: Int) {
            if nextInner == weights.count
                || (nextLeaf < leaves.count && counts[leaves[nextLeaf]] <= weights[nextInner])
            {
                defer { nextLeaf += 1 }
                return (nextLeaf, counts[leaves[nextLeaf]])
            }
            defer { nextInner += 1 }
            return (leaves.count + nextInner, weights[nextInner])
        }
        for inner in 0..<(leaves.count - 1) {
            let left = smallest()
            let right = smallest()
            parents[left.node] = leaves.count + inner
            parents[right.node] = leaves.count + inner
            weights.append(left.weight + right.weight)
        }
        var depths = [Int](repeating: 0, count: parents.count)
        var lengths = [Int](repeating: 0, count: counts.count)
        for node in stride(from: parents.count - 2, through: 0, by: -1) {
            depths[node] = depths[parents[node]] + 1
            if node < leaves.count { lengths[leaves[node]] = depths[node] }
        }
        return lengths
    }

    /// Shortens codes that are too long and pays for it with the rarest of the others.
    private static func limited(_ lengths: [Int], _ counts: [Int]) -> [UInt8] {
        var lengths = lengths.map { min($0, maximumCodeLength) }
        var room = 1 << maximumCodeLength
        for length in lengths where length > 0 { room -= 1 << (maximumCodeLength - length) }
        while room < 0 {
            // The longest code that can still grow frees the least room at the least cost.
            var rarest = -1
            for (symbol, length) in lengths.enumerated() where length > 0 && length < maximumCodeLength {
                if rarest < 0 || (length, -counts[symbol]) > (lengths[rarest], -counts[rarest]) {
                    rarest = symbol
                }
            }
            lengths[rarest] += 1
            room += 1 << (maximumCodeLength - lengths[rarest])
        }
        while room > 0 {
            // Hand out what is left over; there is always a code of the greatest length that is left unpaired.
            var symbol = -1
            for (candidate, length) in lengths.enumerated() where length > 1 {
                let cost = 1 << (maximumCodeLength - length)
                if cost <= room, symbol < 0 || cost > 1 << (maximumCodeLength - lengths[symbol]) {
                    symbol = candidate
                }
            }
            room -= 1 << (maximumCodeLength - lengths[symbol])
            lengths[symbol] -= 1
        }
        return lengths.map { UInt8($0) }
    }

    /// Bytes of head and bodies, or at most a few fewer (streams' ends are rounded up to bytes).
    func encodedByteCount(counts: [Int]) -> Int {
        var bits = 0
        for (count, length) in zip(counts, lengths) { bits += count * Int(length) }
        return HuffmanCode.headByteCount(alphabet: lengths.count) + streamCount - 1 + (bits + 7) / 8
    }

    /// Bytes of the lengths.
    static func headByteCount(alphabet: Int) -> Int { (5 * alphabet + 7) / 8 }

    /// Appends the lengths.
    func write(into output: inout [UInt8]) {
        var table = BitWriter()
        for length in lengths { table.append(UInt64(length), count: 5) }
        output.append(contentsOf: table.finish())
    }

    /// Appends a block's body.
    func encode(_ symbols: UnsafeBufferPointer<UInt16>, into output: inout [UInt8]) {
        let codes = canonicalCodes(lengths)
        let quarter = (symbols.count + streamCount - 1) / streamCount
        let capacity = quarter * 3 + 16
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
        defer { buffer.deallocate() }
        var streams: [[UInt8]] = []
        for stream in 0..<streamCount {
            let start = min(stream * quarter, symbols.count)
            let part = UnsafeBufferPointer(rebasing: symbols[start..<min(start + quarter, symbols.count)])
            let count = codes.withUnsafeBufferPointer { pack(part, codes: $0, into: buffer) }
            streams.append(Array(UnsafeRawBufferPointer(start: buffer, count: count)))
        }
        for stream in streams.dropLast() { output.append(varint: UInt64(stream.count)) }
        for stream in streams { output.append(contentsOf: stream) }
    }

    /// Packs a stream's codes; returns its bytes. `buffer` has three bytes a symbol and 16 more.
    private func pack(
        _ symbols: UnsafeBufferPointer<UInt16>, codes: UnsafeBufferPointer<UInt32>,
        into buffer: UnsafeMutableRawPointer
    ) -> Int {
        var position = 0
        var pending: UInt64 = 0
        var pendingBits: UInt64 = 0
        for symbol in symbols {
            let code = codes[Int(symbol)]
            pending |= UInt64(code & 0xff_ffff) << pendingBits
            pendingBits += UInt64(code >> 24)
            if pendingBits >= 32 {
                buffer.storeBytes(
                    of: UInt32(truncatingIfNeeded: pending).littleEndian, toByteOffset: position,
                    as: UInt32.self)
                position += 4
                pending >>= 32
                pendingBits -= 32
            }
        }
        while pendingBits > 0 {
            buffer.storeBytes(of: UInt8(truncatingIfNeeded: pending), toByteOffset: position, as: UInt8.self)
            position += 1
            pending >>= 8
            pendingBits = pendingBits > 8 ? pendingBits - 8 : 0
        }
        return position
    }
}

/// Each symbol's code with its first bit lowest, in bits 0–23, and its length in bits 24–31.
func canonicalCodes(_ lengths: [UInt8]) -> [UInt32] {
    var next = firstCodes(lengths)
    return lengths.map { length in
        guard length > 0 else { return 0 }
        defer { next[Int(length)] += 1 }
        return reversed(next[Int(length)], bits: Int(length)) | UInt32(length) << 24
    }
}

/// The first code of each length.
private func firstCodes(_ lengths: [UInt8]) -> [UInt32] {
    var counts = [UInt32](repeating: 0, count: maximumCodeLength + 1)
    for length in lengths where length > 0 { counts[Int(length)] += 1 }
    var first = [UInt32](repeating: 0, count: maximumCodeLength + 1)
    for length in 1...maximumCodeLength { first[length] = (first[length - 1] + counts[length - 1]) << 1 }
    return first
}

private func reversed(_ code: UInt32, bits: Int) -> UInt32 {
    var result: UInt32 = 0
    for bit in 0..<bits where code & 1 << UInt32(bit) != 0 { result |= 1 << UInt32(bits - 1 - bit) }
    return result
}

/// Look-ups for decoding.
struct HuffmanDecoder: Sendable {
    /// By the next `lookupBits` bits: symbol in bits 0–15, length in 16–31; 0 for a longer code.
    var short = [UInt32](repeating: 0, count: 1 << lookupBits)
    /// Symbols by length, then by symbol; and for each length where its codes begin.
    var ordered: [UInt16] = []
    var first: [UInt32] = []
    var counts = [UInt32](repeating: 0, count: maximumCodeLength + 1)
    var offsets = [Int](repeating: 0, count: maximumCodeLength + 1)

    /// - Precondition: the lengths' Kraft sum is 1.
    init(lengths: [UInt8]) {
        first = firstCodes(lengths)
        for length in 1...maximumCodeLength {
            offsets[length] = ordered.count
            for (symbol, own) in lengths.enumerated() where Int(own) == length {
                ordered.append(UInt16(symbol))
            }
            counts[length] = UInt32(ordered.count - offsets[length])
        }
        for (symbol, code) in canonicalCodes(lengths).enumerated() {
            let length = Int(code >> 24)
            guard length > 0, length <= lookupBits else { continue }
            for index in stride(from: Int(code & 0xff_ffff), to: 1 << lookupBits, by: 1 << length) {
                short[index] = UInt32(symbol) | UInt32(length) << 16
            }
        }
    }

    /// The symbol at the head of `bits`, and its length. Every code is complete, so there is one.
    func long(_ bits: UInt64) -> UInt32 {
        var code: UInt32 = 0
        for length in 1...maximumCodeLength {
            code = code << 1 | UInt32(truncatingIfNeeded: bits >> UInt64(length - 1)) & 1
            if code &- first[length] < counts[length] {
                return UInt32(ordered[offsets[length] + Int(code - first[length])]) | UInt32(length) << 16
            }
        }
        return UInt32(maximumCodeLength) << 16
    }

    /// Reads a stream; false when it has too few or too many bits.
    func decode(stream bytes: UnsafeRawBufferPointer, into symbols: UnsafeMutableBufferPointer<UInt16>)
        -> Bool
    {
        short.withUnsafeBufferPointer { short in
            var position = 0
            var pending: UInt64 = 0
            var pendingBits: UInt64 = 0
            @inline(__always) func next() -> UInt16 {
                var entry = short[Int(truncatingIfNeeded: pending) & (1 << lookupBits - 1)]
                if entry == 0 { entry = long(pending) }
                pending >>= UInt64(entry >> 16)
                pendingBits &-= UInt64(entry >> 16)
                return UInt16(truncatingIfNeeded: entry)
            }
            var index = 0
            while index + 2 <= symbols.count, position + 8 <= bytes.count {
                // Fill up to at least 56 bits, enough for two codes.
                let word = UInt64(
                    littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
                pending |= word << pendingBits
                position += Int(63 - pendingBits) >> 3
                pendingBits |= 56
                symbols[index] = next()
                symbols[index + 1] = next()
                index += 2
            }
            while index < symbols.count {
                // Clear what the fast path looked at and didn't count in.
                pending &= 1 << pendingBits - 1
                while pendingBits <= 48, position < bytes.count {
                    pending |= UInt64(bytes[position]) << pendingBits
                    pendingBits += 8
                    position += 1
                }
                symbols[index] = next()
                // Below zero wraps around: more bits were used than there are.
                guard pendingBits <= 64 else { return false }
                index += 1
            }
            // Every byte is used, and what is left of the last one is zero.
            let bitsUsed = 8 * position - Int(pendingBits)
            guard (bitsUsed + 7) / 8 == bytes.count else { return false }
            return bitsUsed % 8 == 0 || bytes[bytes.count - 1] >> UInt8(bitsUsed % 8) == 0
        }
    }
}

extension HuffmanDecoder {
    /// Reads the lengths, and checks them.
    static func lengths(_ reader: inout ByteReader, alphabet: Int) throws(CodecError) -> [UInt8] {
        var table = BitReader(try reader.bytes(HuffmanCode.headByteCount(alphabet: alphabet), "code lengths"))
        var lengths: [UInt8] = []
        var room = 1 << maximumCodeLength
        for _ in 0..<alphabet {
            let length = Int(try table.read(5, "code length"))
            guard length <= maximumCodeLength else {
                throw .malformed("frame is damaged: a code of \(length) bits")
            }
            if length > 0 { room -= 1 << (maximumCodeLength - length) }
            lengths.append(UInt8(length))
        }
        guard room == 0, table.paddingIsZero else {
            throw .malformed("frame is damaged: the code lengths make no complete code")
        }
        return lengths
    }

    /// Reads a block's body.
    func decode(
        _ bytes: UnsafeRawBufferPointer, into symbols: UnsafeMutableBufferPointer<UInt16>
    ) throws(CodecError) {
        var body = ByteReader(bytes)
        var sizes: [Int] = []
        for _ in 1..<streamCount { sizes.append(try body.count("stream length", atMost: body.rest.count)) }
        let quarter = (symbols.count + streamCount - 1) / streamCount
        for stream in 0..<streamCount {
            let size = stream < sizes.count ? sizes[stream] : body.rest.count
            let bytes = try body.bytes(size, "stream")
            let start = min(stream * quarter, symbols.count)
            let part = UnsafeMutableBufferPointer(
                rebasing: symbols[start..<min(start + quarter, symbols.count)])
            guard decode(stream: bytes, into: part) else {
                throw .malformed("frame is damaged: stream \(stream) doesn't hold its \(part.count) symbols")
            }
        }
    }
}
