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
    /// Elements that are written at a time.
    private static let step = 256

    /// A block of levels; a reader needs the same previous symbols, which are clipped to 255.
    static func encode(_ symbols: UnsafeBufferPointer<UInt16>, previous: UnsafePointer<UInt8>?) -> [UInt8] {
        guard let first = symbols.baseAddress else { return [] }
        precondition(
            symbols.allSatisfy { Level.magnitude($0) <= Level.maximum }, "levels are at most \(Level.maximum)"
        )
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: step * Int(CK_MIXED_ELEMENT) + 4)
        defer { room.deallocate() }
        var bytes: [UInt8] = []
        withMixer(hasPrevious: previous != nil) { mixer in
            while mixer.next < symbols.count {
                let end = min(mixer.next + step, symbols.count)
                let count = ck_mixed_encode(&mixer, first, previous, symbols.count, end, room)
                bytes.append(contentsOf: UnsafeBufferPointer(start: room, count: count))
            }
            let count = ck_mixed_finish(&mixer, room)
            bytes.append(contentsOf: UnsafeBufferPointer(start: room, count: count))
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
                UInt32(alphabet / 2), first, symbols.count)
        }
        // An even alphabet lacks the negative of its highest level.
        guard fits, alphabet % 2 == 1 || symbols.allSatisfy({ Int($0) < alphabet }) else {
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
                reciprocals: reciprocals, last: (0, 0, 0), fast: 0, slow: 0, group_end: 0, next: 0, low: 0,
                range: 0)
            ck_mixer_begin(&mixer, hasPrevious)
            return body(&mixer)
        }
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
