// Entropy coding of a vector of symbols below `alphabet`.
//
// Invariants: a block says how long it is, is read to its last byte, and yields exactly the number of symbols that
// the reader asked for. Every table is checked before it is used. docs/formats/frame.md describes the bytes.

/// How a block of symbols is coded.
enum SymbolCoder: UInt8 {
    /// One symbol, repeated.
    case constant = 0
    case huffman = 1
    case rans = 2
    /// Runs of zeros and what ends them, each in a block of its own.
    case runs = 3
    /// A byte for each symbol.
    case raw = 4
}

/// Largest alphabet that a block may have: 508 buckets and zero.
let maximumAlphabet = 512

/// Counts each symbol.
func histogram(_ symbols: UnsafeBufferPointer<UInt16>, alphabet: Int) -> [Int] {
    // Four tables: the same symbol twice in a row doesn't wait for the count to come back from memory.
    let tables = UnsafeMutablePointer<UInt32>.allocate(capacity: 4 * alphabet)
    tables.initialize(repeating: 0, count: 4 * alphabet)
    defer { tables.deallocate() }
    var counts = [Int](repeating: 0, count: alphabet)
    var start = 0
    while start < symbols.count {
        let end = min(start + 1 << 30, symbols.count)
        var index = start
        while index + 4 <= end {
            tables[4 * Int(symbols[index])] += 1
            tables[4 * Int(symbols[index + 1]) + 1] += 1
            tables[4 * Int(symbols[index + 2]) + 2] += 1
            tables[4 * Int(symbols[index + 3]) + 3] += 1
            index += 4
        }
        while index < end {
            tables[4 * Int(symbols[index])] += 1
            index += 1
        }
        for entry in 0..<(4 * alphabet) {
            counts[entry / 4] += Int(tables[entry])
            tables[entry] = 0
        }
        start = end
    }
    return counts
}

/// Appends a block with `symbols`, whose `counts` are at hand.
///
/// - Parameter nested: inside a `runs` block, which doesn't nest.
func encodeSymbols(
    _ symbols: UnsafeBufferPointer<UInt16>, counts: [Int], entropy: CodecSettings.Entropy,
    nested: Bool = false, into output: inout [UInt8]
) {
    let used = counts.reduce(0) { $0 + ($1 > 0 ? 1 : 0) }
    if used <= 1 {
        var body: [UInt8] = []
        body.append(varint: UInt64(counts.firstIndex { $0 > 0 } ?? 0))
        return append(block: .constant, body, to: &output)
    }
    let code = HuffmanCode(counts: counts)
    let huffmanBytes = code.encodedByteCount(counts: counts, symbolCount: symbols.count)
    var coder: SymbolCoder = .huffman
    var body: [UInt8] = []
    switch entropy {
    case .huffman: break
    case .best:
        let rans = RansModel(counts: counts, symbolCount: symbols.count)
        // Noise isn't worth a coder's time for a saving of a few bytes in a thousand.
        if counts.count <= 256, huffmanBytes >= symbols.count,
            rans.estimatedByteCount >= symbols.count - symbols.count / 512
        {
            return append(raw: symbols, to: &output)
        }
        var smallest = min(huffmanBytes, rans.estimatedByteCount)
        if !nested, 2 * counts[0] > symbols.count {
            let tokens = RunTokens(symbols, nonzeroCount: symbols.count - counts[0], alphabet: counts.count)
            if tokens.estimatedByteCount <= smallest {
                tokens.encode(into: &body)
                coder = .runs
                smallest = tokens.estimatedByteCount
            }
        }
        if coder == .huffman, rans.estimatedByteCount < huffmanBytes {
            rans.encode(symbols, into: &body)
            coder = .rans
        }
        // The estimate may be a little off, the promise isn't: never larger than Huffman.
        if coder != .huffman, body.count > huffmanBytes {
            body.removeAll(keepingCapacity: true)
            coder = .huffman
        }
    }
    if counts.count <= 256, min(body.isEmpty ? huffmanBytes : body.count, huffmanBytes) >= symbols.count {
        return append(raw: symbols, to: &output)
    }
    if coder == .huffman { code.encode(symbols, into: &body) }
    append(block: coder, body, to: &output)
}

private func append(raw symbols: UnsafeBufferPointer<UInt16>, to output: inout [UInt8]) {
    append(block: .raw, symbols.map { UInt8(truncatingIfNeeded: $0) }, to: &output)
}

private func append(block coder: SymbolCoder, _ body: [UInt8], to output: inout [UInt8]) {
    output.append(coder.rawValue)
    output.append(varint: UInt64(body.count))
    output.append(contentsOf: body)
}

/// Reads a block of `symbols.count` symbols below `alphabet`.
func decodeSymbols(
    _ reader: inout ByteReader, alphabet: Int, nested: Bool = false,
    into symbols: UnsafeMutableBufferPointer<UInt16>
) throws(CodecError) {
    let code = try reader.byte("coder")
    guard let coder = SymbolCoder(rawValue: code) else {
        throw CodecError(.unsupported, "frame needs coder \(code), which this version doesn't know")
    }
    let length = try reader.count("block length", atMost: reader.rest.count)
    var body = ByteReader(try reader.bytes(length, "block"))
    switch coder {
    case .constant:
        let symbol = try body.count("constant symbol", atMost: alphabet - 1)
        symbols.update(repeating: UInt16(symbol))
    case .huffman:
        try decodeHuffman(&body, alphabet: alphabet, into: symbols)
    case .rans:
        try decodeRans(&body, alphabet: alphabet, into: symbols)
    case .runs:
        guard !nested else { throw .malformed("frame is damaged: runs within runs") }
        try decodeRuns(&body, alphabet: alphabet, into: symbols)
    case .raw:
        let bytes = try body.bytes(symbols.count, "raw symbols")
        for index in symbols.indices {
            guard Int(bytes[index]) < alphabet else {
                throw .malformed("frame is damaged: raw symbol \(bytes[index]) of an alphabet of \(alphabet)")
            }
            symbols[index] = UInt16(bytes[index])
        }
    }
    guard body.isAtEnd else {
        throw .malformed("frame is damaged: a block has \(body.rest.count) bytes too many")
    }
}
