/// Reads the blocks of a stream. It has look-ups that take a thousand times as much memory as the stream's head, so it is made
/// when the stream is decoded, not when it is parsed.
struct StreamDecoder: Sendable {
    private enum Coder: Sendable {
        case constant(UInt16)
        case huffman(HuffmanDecoder)
        case contexts(SymbolModel)
        case raw
        case mixed
        case groups(GroupDecoder)
        case gaps(GapCode)
        case counted
        case scaled(ScaledModel)
    }

    private let stream: SymbolStream
    private let coder: Coder

    init(_ stream: SymbolStream) {
        self.stream = stream
        coder =
            switch stream.coder {
            case .constant(let symbol): .constant(symbol)
            case .huffman(let lengths): .huffman(HuffmanDecoder(lengths: lengths))
            case .contexts(let model): .contexts(model.prepared())
            case .raw: .raw
            case .mixed: .mixed
            case .groups(let code): .groups(GroupDecoder(code))
            case .gaps(let code): .gaps(code)
            case .counted: .counted
            case .scaled(let model): .scaled(model.prepared())
            }
    }

    /// Reads one block of a frame as a list of what isn't zero; nil where the coder doesn't lend itself to it.
    ///
    /// - Parameter previous: the previous frame's symbols of the same elements.
    func decodeList(
        block: Int, of frame: UnsafeRawBufferPointer, count: Int, previous: UnsafePointer<UInt8>?,
        scratch: BlockScratch
    ) throws(CodecError) -> SymbolList? {
        switch coder {
        case .constant(0):
            let nothing = scratch.numbers(1)
            return SymbolList(places: nothing, symbols: nothing, count: 0)
        case .contexts(let model) where model.isSparse:
            return try model.decodeSparse(
                body(block, of: frame), count: count, previous: try needed(previous), scratch: scratch)
        case .gaps(let code):
            return try code.decode(body(block, of: frame), count: count, scratch: scratch)
        case .constant, .contexts, .huffman, .raw, .mixed, .groups, .counted, .scaled: return nil
        }
    }

    /// Reads one block of a frame.
    ///
    /// - Parameters:
    ///   - symbols: as many as the block has.
    ///   - previous: the previous frame's symbols of the same elements.
    func decode(
        block: Int, of frame: UnsafeRawBufferPointer, previous: UnsafePointer<UInt8>?, scratch: BlockScratch,
        into symbols: UnsafeMutableBufferPointer<UInt16>
    ) throws(CodecError) {
        if let found = try decodeList(
            block: block, of: frame, count: symbols.count, previous: previous, scratch: scratch)
        {
            symbols.update(repeating: 0)
            for index in 0..<found.count { symbols[Int(found.places[index])] = UInt16(found.symbols[index]) }
            return
        }
        if case .constant(let symbol) = coder { return symbols.update(repeating: symbol) }
        let body = body(block, of: frame)
        switch coder {
        case .constant, .gaps: break
        case .huffman(let decoder): try decoder.decode(body, into: symbols)
        case .groups(let decoder): try decoder.decode(body, scratch: scratch, into: symbols)
        case .contexts(let model):
            try model.decode(body, previous: try needed(previous), scratch: scratch, into: symbols)
        case .mixed:
            try MixedModel.decode(
                body, alphabet: stream.alphabet, previous: try needed(previous), into: symbols)
        case .scaled(let model): try model.decode(body, previous: try needed(previous), into: symbols)
        case .counted: try CountedCode.decode(body, alphabet: stream.alphabet, into: symbols)
        case .raw:
            guard body.count == symbols.count else {
                throw .malformed("frame is damaged: \(body.count) raw symbols and not \(symbols.count)")
            }
            var most: UInt8 = 0
            for index in symbols.indices {
                symbols[index] = UInt16(body[index])
                most = max(most, body[index])
            }
            guard Int(most) < stream.alphabet || body.isEmpty else {
                throw .malformed("frame is damaged: raw symbol \(most) of an alphabet of \(stream.alphabet)")
            }
        }
    }

    private func body(_ block: Int, of frame: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: frame[stream.bodies[block]])
    }

    /// The previous symbols, if the stream uses them.
    private func needed(_ previous: UnsafePointer<UInt8>?) throws(CodecError) -> UnsafePointer<UInt8>? {
        guard stream.usesPrevious else { return nil }
        guard let previous else {
            throw CodecError(.baseMismatch, "the frame needs the symbols of the frame before it")
        }
        return previous
    }
}

/// The symbols of a block that aren't zero, by their places in it.
struct SymbolList {
    var places: UnsafePointer<UInt32>
    var symbols: UnsafePointer<UInt32>
    var count: Int
}
