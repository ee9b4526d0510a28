// Range asymmetric numeral systems (Duda 2013, arXiv 1311.2540) with static frequencies.
//
// States lie in [2^15, 2^31) and shed 16 bits at a time. Symbol i belongs to state i mod S, S being 1 or 4, so that
// four chains of dependent arithmetic run side by side.

private let lowestState: UInt32 = 1 << 15
/// Below this many symbols a single state is used: three more would cost 12 bytes.
private let fewSymbols = 4096

/// Frequencies that sum to 2^scaleBits, and the coder for them.
struct RansModel {
    let scaleBits: Int
    let frequencies: [UInt32]
    /// Body bytes, to within a few bytes.
    let estimatedByteCount: Int
    private let table: [UInt8]
    private let stateCount: Int

    /// - Precondition: at least two symbols occur.
    init(counts: [Int], symbolCount: Int) {
        let used = counts.reduce(0) { $0 + ($1 > 0 ? 1 : 0) }
        scaleBits = RansModel.scale(used: used, symbolCount: symbolCount)
        frequencies = RansModel.normalize(counts, total: symbolCount, scale: 1 << scaleBits)
        stateCount = symbolCount < fewSymbols ? 1 : 4
        var bits = 0.0
        for (count, frequency) in zip(counts, frequencies) where count > 0 {
            bits += Double(count) * (Double(scaleBits) - log2(Double(frequency)))
        }
        table = RansModel.serialize(frequencies)
        estimatedByteCount = 1 + table.count + 4 * stateCount + Int(bits / 8)
    }

    private static func scale(used: Int, symbolCount: Int) -> Int {
        var bits = 8
        while bits < 14, 1 << (2 * bits - 6) < symbolCount { bits += 1 }
        while 1 << bits < 4 * used, bits < 14 { bits += 1 }
        return bits
    }

    /// Every symbol that occurs keeps at least one slot.
    private static func normalize(_ counts: [Int], total: Int, scale: Int) -> [UInt32] {
        var frequencies = counts.map { count -> Int in
            guard count > 0 else { return 0 }
            return max(1, Int(Double(count) * Double(scale) / Double(total) + 0.5))
        }
        var excess = frequencies.reduce(0, +) - scale
        while excess != 0 {
            var largest = 0
            for index in frequencies.indices where frequencies[index] > frequencies[largest] {
                largest = index
            }
            let step = excess < 0 ? excess : min(excess, max(1, frequencies[largest] / 8))
            frequencies[largest] -= step
            excess -= step
        }
        return frequencies.map { UInt32($0) }
    }

    /// The number of symbols up to the last that occurs, then each frequency plus one in Elias gamma.
    private static func serialize(_ frequencies: [UInt32]) -> [UInt8] {
        let count = (frequencies.lastIndex { $0 > 0 } ?? 0) + 1
        var bytes: [UInt8] = []
        bytes.append(varint: UInt64(count))
        var writer = BitWriter()
        for frequency in frequencies[..<count] { writer.append(gamma: UInt64(frequency) + 1) }
        bytes.append(contentsOf: writer.finish())
        return bytes
    }

    /// What encoding a symbol takes: a division by the frequency as a multiplication.
    private struct Step {
        var limit: UInt32
        var reciprocal: UInt32
        var shift: UInt32
        var bias: UInt32
        var complement: UInt32
    }

    private func steps() -> [Step] {
        let scale = UInt32(1) << UInt32(scaleBits)
        var start: UInt32 = 0
        return frequencies.map { frequency in
            defer { start += frequency }
            guard frequency > 0 else {
                return Step(limit: 0, reciprocal: 0, shift: 0, bias: 0, complement: 0)
            }
            let limit = ((lowestState >> UInt32(scaleBits)) << 16) * frequency
            if frequency == 1 {
                // ⌊x·(2³² − 1)/2³²⌋ = x − 1, so the bias makes up for one complement.
                return Step(
                    limit: limit, reciprocal: .max, shift: 0, bias: start + scale - 1, complement: scale - 1)
            }
            // With 2^(s−1) < f ≤ 2^s, ⌊x / f⌋ = ⌊x·⌈2^(s+31) / f⌉ / 2^(s+31)⌋ for x < 2^31.
            var bits: UInt32 = 0
            while frequency > 1 << bits { bits += 1 }
            let reciprocal = (UInt64(1) << UInt64(bits + 31) + UInt64(frequency) - 1) / UInt64(frequency)
            return Step(
                limit: limit, reciprocal: UInt32(reciprocal), shift: bits - 1, bias: start,
                complement: scale - frequency)
        }
    }

    /// Appends a block's body.
    func encode(_ symbols: UnsafeBufferPointer<UInt16>, into output: inout [UInt8]) {
        output.append(UInt8(scaleBits) | (stateCount == 4 ? 0x80 : 0))
        output.append(contentsOf: table)
        let words = UnsafeMutablePointer<UInt16>.allocate(capacity: symbols.count)
        defer { words.deallocate() }
        var free = symbols.count
        var states = (lowestState, lowestState, lowestState, lowestState)
        steps().withUnsafeBufferPointer { steps in
            @inline(__always) func put(_ symbol: UInt16, _ state: inout UInt32) {
                let step = steps[Int(symbol)]
                if state >= step.limit {
                    free -= 1
                    words[free] = UInt16(truncatingIfNeeded: state)
                    state >>= 16
                }
                let quotient =
                    UInt32(truncatingIfNeeded: (UInt64(state) * UInt64(step.reciprocal)) >> 32) >> step.shift
                state = state &+ step.bias &+ quotient &* step.complement
            }
            var index = symbols.count
            if stateCount == 1 {
                while index > 0 {
                    index -= 1
                    put(symbols[index], &states.0)
                }
                return
            }
            while index & 3 != 0 {
                index -= 1
                switch index & 3 {
                case 2: put(symbols[index], &states.2)
                case 1: put(symbols[index], &states.1)
                default: put(symbols[index], &states.0)
                }
            }
            while index > 0 {
                index -= 4
                put(symbols[index + 3], &states.3)
                put(symbols[index + 2], &states.2)
                put(symbols[index + 1], &states.1)
                put(symbols[index], &states.0)
            }
        }
        output.append(littleEndian: states.0)
        if stateCount == 4 {
            output.append(littleEndian: states.1)
            output.append(littleEndian: states.2)
            output.append(littleEndian: states.3)
        }
        let used = UnsafeBufferPointer(start: words + free, count: symbols.count - free)
        for index in used.indices { words[free + index] = words[free + index].littleEndian }
        output.append(contentsOf: UnsafeRawBufferPointer(used))
    }
}

/// Reads the body of a `rans` block.
func decodeRans(
    _ body: inout ByteReader, alphabet: Int, into symbols: UnsafeMutableBufferPointer<UInt16>
) throws(CodecError) {
    let head = try body.byte("rANS head")
    let scaleBits = Int(head & 0x7f)
    guard (8...14).contains(scaleBits) else {
        throw .malformed("frame is damaged: frequencies of \(scaleBits) bits")
    }
    let slots = try readSlots(&body, alphabet: alphabet, scaleBits: scaleBits)
    var states = (lowestState, lowestState, lowestState, lowestState)
    states.0 = try readState(&body)
    if head & 0x80 != 0 {
        states.1 = try readState(&body)
        states.2 = try readState(&body)
        states.3 = try readState(&body)
    }
    let words = body.rest
    guard words.count % 2 == 0 else { throw .malformed("frame is damaged: half a word of rANS") }
    var position = 0
    let mask = UInt32(1) << UInt32(scaleBits) - 1
    let wellFed = slots.withUnsafeBufferPointer { slots -> Bool in
        @inline(__always) func take(_ state: inout UInt32) -> UInt16 {
            let slot = slots[Int(state & mask)]
            // A slot: symbol in bits 0–15, frequency in 16–31, offset within the symbol's slots in 32–47.
            state =
                UInt32(truncatingIfNeeded: slot >> 16) & 0xffff &* (state >> UInt32(scaleBits))
                &+ UInt32(truncatingIfNeeded: slot >> 32)
            if state < lowestState {
                guard position < words.count else {
                    // Out of words: remembered by a position past the end; what is decoded from here is dropped.
                    position = words.count + 2
                    return 0
                }
                state =
                    state << 16
                    | UInt32(
                        UInt16(littleEndian: words.loadUnaligned(fromByteOffset: position, as: UInt16.self)))
                position += 2
            }
            return UInt16(truncatingIfNeeded: slot)
        }
        var index = 0
        if head & 0x80 == 0 {
            while index < symbols.count, position <= words.count {
                symbols[index] = take(&states.0)
                index += 1
            }
            return position == words.count
        }
        while index + 4 <= symbols.count, position <= words.count {
            symbols[index] = take(&states.0)
            symbols[index + 1] = take(&states.1)
            symbols[index + 2] = take(&states.2)
            symbols[index + 3] = take(&states.3)
            index += 4
        }
        if index < symbols.count { symbols[index] = take(&states.0) }
        if index + 1 < symbols.count { symbols[index + 1] = take(&states.1) }
        if index + 2 < symbols.count { symbols[index + 2] = take(&states.2) }
        return position == words.count
    }
    guard wellFed, states == (lowestState, lowestState, lowestState, lowestState) else {
        throw .malformed("frame is damaged: rANS doesn't end where it began")
    }
    _ = try body.bytes(words.count, "rANS words")
}

private func readState(_ body: inout ByteReader) throws(CodecError) -> UInt32 {
    let state = try body.integer(UInt32.self, "rANS state")
    guard state >= lowestState, state < 1 << 31 else {
        throw .malformed("frame is damaged: rANS state \(state) is out of range")
    }
    return state
}

/// Reads the frequencies and spreads them over their slots.
private func readSlots(
    _ body: inout ByteReader, alphabet: Int, scaleBits: Int
) throws(CodecError) -> [UInt64] {
    let scale = 1 << scaleBits
    let count = try body.count("frequency count", atMost: alphabet)
    var slots = [UInt64](repeating: 0, count: scale)
    var start = 0
    var bits = BitReader(body.rest)
    for symbol in 0..<count {
        let frequency = Int(try bits.gamma(below: 15, "frequency")) - 1
        guard frequency < scale, start + frequency <= scale else {
            throw .malformed("frame is damaged: frequencies exceed their sum of \(scale)")
        }
        for offset in 0..<frequency {
            slots[start + offset] = UInt64(symbol) | UInt64(frequency) << 16 | UInt64(offset) << 32
        }
        start += frequency
    }
    guard start == scale, bits.paddingIsZero else {
        throw .malformed("frame is damaged: frequencies sum to \(start) and not \(scale)")
    }
    _ = try body.bytes(bits.bytesRead, "frequencies")
    return slots
}
