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
            }
    }

    /// Reads one block of a frame as a list of what isn't zero; nil where the coder doesn't lend itself to it.
    func decodeList(
        block: Int, of frame: UnsafeRawBufferPointer, count: Int, scratch: BlockScratch
    ) throws(CodecError) -> SymbolList? {
        switch coder {
        case .constant(0):
            let nothing = scratch.events(1)
            return SymbolList(places: nothing, symbols: nothing, count: 0)
        case .contexts(let model) where model.takesLists:
            return try model.decode(
                UnsafeRawBufferPointer(rebasing: frame[stream.bodies[block]]), count: count, scratch: scratch)
        case .gaps(let code):
            return try code.decode(
                UnsafeRawBufferPointer(rebasing: frame[stream.bodies[block]]), count: count, scratch: scratch)
        case .constant, .contexts, .huffman, .raw, .mixed, .groups, .counted: return nil
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
        if case .constant(let symbol) = coder { return symbols.update(repeating: symbol) }
        let body = UnsafeRawBufferPointer(rebasing: frame[stream.bodies[block]])
        switch coder {
        case .constant: break
        case .huffman(let decoder): try decoder.decode(body, into: symbols)
        case .groups(let decoder): try decoder.decode(body, scratch: scratch, into: symbols)
        case .gaps(let code):
            let found = try code.decode(body, count: symbols.count, scratch: scratch)
            symbols.update(repeating: 0)
            for index in 0..<found.count { symbols[Int(found.places[index])] = UInt16(found.symbols[index]) }
        case .contexts(let model):
            if stream.usesPrevious, previous == nil {
                throw CodecError(.baseMismatch, "the frame needs the symbols of the frame before it")
            }
            try model.decode(body, previous: previous, scratch: scratch, into: symbols)
        case .mixed:
            if stream.usesPrevious, previous == nil {
                throw CodecError(.baseMismatch, "the frame needs the symbols of the frame before it")
            }
            try MixedModel.decode(
                body, alphabet: stream.alphabet, previous: stream.usesPrevious ? previous : nil, into: symbols
            )
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
}

/// The symbols of a block that aren't zero, by their places in it.
struct SymbolList {
    var places: UnsafePointer<UInt32>
    var symbols: UnsafePointer<UInt32>
    var count: Int
}
