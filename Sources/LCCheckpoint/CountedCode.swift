import CKernels

/// Codes symbols by how often each is still to come: their counts, and what the entropy is once these are known. That is the
/// least for short streams of few symbols that neighbours and the frame before tell nothing of.
enum CountedCode {
    /// Symbols in a block, and different ones.
    static let most = Int(CK_COUNTED_MOST)
    static let mostAlphabet = Int(CK_COUNTED_ALPHABET)

    /// The coder of a whole stream, with its one block and the bytes that it takes, if it can be coded so and they are fewer than `limit`.
    static func coder(
        _ symbols: UnsafeBufferPointer<UInt16>, alphabet: Int, below limit: Double
    ) -> (coder: BlockCoder, body: [UInt8], bytes: Double)? {
        guard symbols.count <= most, alphabet > 1, alphabet <= mostAlphabet,
            entropyBits(histogram(symbols, alphabet: alphabet)) / 8 < limit
        else { return nil }
        let body = encode(symbols, alphabet: alphabet, scratch: BlockScratch(count: 0))
        // The stream's first byte.
        let bytes = Double(1 + body.count)
        return bytes < limit ? (.counted(alphabet: alphabet), body, bytes) : nil
    }

    /// A block's body.
    ///
    /// - Precondition: symbols are below `alphabet`, and there are at most as many of both as there may be.
    static func encode(
        _ symbols: UnsafeBufferPointer<UInt16>, alphabet: Int, scratch: BlockScratch
    ) -> [UInt8] {
        guard let first = symbols.baseAddress, !symbols.isEmpty else { return [] }
        precondition(symbols.count <= most && alphabet > 1 && alphabet <= mostAlphabet)
        precondition(symbols.allSatisfy { $0 < alphabet }, "symbols are below the alphabet")
        // Counts take at most 17 · 2 bits each, and symbols hardly more than log₂ of the alphabet.
        let capacity = 1024 + 2 * symbols.count
        let room = scratch.bytes(capacity)
        let count = ck_counted_encode(first, symbols.count, UInt32(alphabet), room, capacity)
        precondition(count >= 0, "counted symbols take less than two bytes each")
        return Array(UnsafeBufferPointer(start: room, count: count))
    }

    /// Reads a block.
    static func decode(
        _ body: UnsafeRawBufferPointer, alphabet: Int, into symbols: UnsafeMutableBufferPointer<UInt16>
    ) throws(CodecError) {
        guard let first = symbols.baseAddress, !symbols.isEmpty else {
            guard body.isEmpty else { throw .malformed("frame is damaged: a block of nothing has bytes") }
            return
        }
        let fits = ck_counted_decode(
            body.bindMemory(to: UInt8.self).baseAddress, body.count, UInt32(alphabet), first, symbols.count)
        guard fits else {
            throw .malformed("frame is damaged: a block doesn't hold its \(symbols.count) symbols")
        }
    }
}
