import CKernels

// Levels coded by mixed contexts: what an element is told from are the three before it, the activity of the recent past, and what
// happened to the same element in the frame before. The walk itself is in CKernels (mixed.c); writer and reader share it.

/// What a symbol stands for: 0 nothing, 2k − 1 the level +k, 2k the level −k.
enum Level {
    /// Beyond this an element is carried as an exception.
    static let maximum = 16_383

    @inline(__always)
    static func magnitude(_ symbol: UInt16) -> Int { (Int(symbol) + 1) >> 1 }
    @inline(__always)
    static func isNegative(_ symbol: UInt16) -> Bool { symbol != 0 && symbol & 1 == 0 }
    @inline(__always)
    static func symbol(magnitude: Int, isNegative: Bool) -> UInt16 {
        magnitude == 0 ? 0 : UInt16(truncatingIfNeeded: 2 * magnitude - (isNegative ? 0 : 1))
    }
}

/// Codes levels by mixed contexts.
enum MixedModel {
    /// Beyond this levels are told by how many bits they have.
    private static let unaryEnd = 13
    /// Bytes that are written at a time.
    private static let step = 1 << 14

    /// A block of levels; a reader needs the same previous symbols.
    static func encode(_ block: ck_sparse) -> [UInt8] {
        guard block.count > 0 else { return [] }
        var block = block
        let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: step)
        defer { room.deallocate() }
        guard let memory = room.baseAddress else { return [] }
        var bytes: [UInt8] = []
        withMixer(hasPrevious: block.above != nil) { mixer in
            while mixer.next < block.count {
                let count = ck_mixed_encode(
                    &mixer, &block, UInt32(2 * Level.maximum + 1), memory, room.count)
                precondition(count >= 0, "levels are at most \(Level.maximum)")
                bytes.append(contentsOf: room[..<count])
            }
            bytes.append(contentsOf: room[..<ck_mixed_finish(&mixer, memory)])
        }
        return bytes
    }

    /// Reads such a block.
    static func decode(
        _ body: UnsafeRawBufferPointer, alphabet: Int, previous: UnsafePointer<UInt8>?,
        into symbols: UnsafeMutableBufferPointer<UInt16>
    ) throws(CodecError) {
        let fits = withMixer(hasPrevious: previous != nil) { mixer in
            guard let first = symbols.baseAddress else { return body.isEmpty }
            return ck_mixed_decode(
                &mixer, body.bindMemory(to: UInt8.self).baseAddress, body.count, previous,
                UInt32(alphabet), first, symbols.count)
        }
        guard fits else {
            throw .malformed("frame is damaged: a level beyond its highest, or bytes after the last one")
        }
    }

    /// Calls `body` with what begins a block.
    private static func withMixer<Result>(
        hasPrevious: Bool, _ body: (inout ck_mixer) -> Result
    ) -> Result {
        let counters = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(CK_MIXED_COUNTERS))
        let weights = UnsafeMutablePointer<Int32>.allocate(capacity: Int(CK_MIXED_WEIGHTS))
        defer {
            counters.deallocate()
            weights.deallocate()
        }
        return LogisticTables.shared.withPointers { squash, stretch, reciprocals in
            var mixer = ck_mixer(
                counters: counters, weights: weights, squash: squash, stretch: stretch,
                reciprocals: reciprocals, last: (0, 0, 0), fast: 0, slow: 0, next: 0,
                stretches: ck_stretches(),
                low: 0, range: 0)
            ck_mixer_begin(&mixer, hasPrevious)
            return body(&mixer)
        }
    }

    /// About the time that a stream takes, in symbols that don't lie among zeros: long stretches of these take next to none.
    static func work(_ count: Int, nonzero: Int) -> Int { min(count, count / 64 + 16 * nonzero) }

    /// About the questions that a stream takes: of what is sent whether it is, its sign, one for each level up to 12 and, beyond, what an
    /// escape takes; of zeros near to it one each.
    static func questions(of counts: [Int]) -> Int {
        var (questions, sent) = (0, 0)
        for symbol in counts.indices.dropFirst() where counts[symbol] > 0 {
            let level = Level.magnitude(UInt16(symbol))
            let escape =
                level < unaryEnd ? 0 : 2 * (Int.bitWidth - (level - unaryEnd + 1).leadingZeroBitCount)
            questions += counts[symbol] * (2 + min(level, unaryEnd - 1) + escape)
            sent += counts[symbol]
        }
        return questions + min(counts[0], (counts[0] + sent) / 64 + 8 * sent)
    }

    /// About the bits that symbols take if nothing is known of their order: those of the levels' classes, and the bits within them.
    static func bits(of counts: [Int]) -> Double {
        // By sign, and up to 12 by level, beyond by the number of bits.
        var classes = [Int](repeating: 0, count: 64)
        var plain = 0.0
        for symbol in counts.indices where counts[symbol] > 0 {
            let level = Level.magnitude(UInt16(symbol))
            var own = level
            if level >= unaryEnd {
                let width = Int.bitWidth - 1 - (level - unaryEnd + 1).leadingZeroBitCount
                own = unaryEnd + width
                plain += Double(counts[symbol] * width)
            }
            classes[2 * own + (Level.isNegative(UInt16(symbol)) ? 1 : 0)] += counts[symbol]
        }
        return entropyBits(classes) + plain
    }
}
