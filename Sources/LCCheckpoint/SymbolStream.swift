// A scope's symbols: what all blocks share, the blocks' sizes, the blocks.
//
// Invariants: blocks hold as many symbols each, a power of two, but for the last; none needs another. A stream is
// read to its last byte, and every table is checked before it is used. docs/formats/frame.md describes the bytes.

/// Largest alphabet, but for what needs no table of symbols.
let maximumAlphabet = 1024

/// How a stream of symbols is coded.
enum StreamCoder: UInt8 {
    /// One symbol, repeated: no blocks.
    case constant = 0
    /// Canonical Huffman, the paper's coder.
    case huffman = 1
    /// rANS with contexts, zeros by runs where they prevail.
    case contexts = 2
    /// A byte for each symbol.
    case raw = 3
    /// Levels by arithmetic coding with mixed contexts.
    case mixed = 4
    /// Huffman codes of groups of symbols.
    case groups = 5
    /// The few that aren't zero, each by the zeros before it.
    case gaps = 6
    /// Each by how often it is still to come.
    case counted = 7
    /// Levels by classes of their size, in the context of how large the last ones were.
    case scaled = 8

    /// Of a stream's first byte: the coder's bits; those of mixed contexts that use the previous frame's symbols; where the block
    /// size begins.
    static let mask: UInt8 = 15
    static let mixedPrevious: UInt8 = 12
    static let blockSizeShift: UInt8 = 4
}

/// Blocks of 2^k symbols.
struct BlockSize: Hashable {
    static let smallest = 16
    static let largest = 22
    /// Of mixed contexts: a block begins with a model that knows nothing, so blocks are large.
    static let mixedLog2 = 18
    var log2: Int
    var count: Int { 1 << log2 }

    /// As small as lets a block take some thousand bytes: its overhead is a dozen.
    init(symbols: Int, estimatedBytes: Double) {
        log2 = BlockSize.smallest
        while log2 < BlockSize.largest, symbols > count,
            estimatedBytes * Double(count) / Double(symbols) < 4096
        {
            log2 += 1
        }
    }

    /// Reads what `code` is.
    init(code: UInt8) throws(CodecError) {
        log2 = BlockSize.smallest + Int(code)
        guard log2 <= BlockSize.largest else {
            throw .malformed("frame is damaged: blocks of 2^\(log2) symbols")
        }
    }

    /// As it is written.
    var code: UInt8 { UInt8(log2 - BlockSize.smallest) }

    /// Blocks of a stream.
    func blocks(of symbols: Int) -> Int { (symbols + count - 1) >> log2 }

    func range(_ block: Int, of symbols: Int) -> Range<Int> {
        (block << log2)..<min((block + 1) << log2, symbols)
    }
}

/// Where the blocks of a stream lie, and what reads them.
struct SymbolStream: Sendable {
    /// The previous frame's symbols are needed.
    let usesPrevious: Bool
    let alphabet: Int
    let symbolCount: Int
    let coder: Coder
    let blockSize: BlockSize
    /// Body of each block, within the frame; none for a constant stream.
    let bodies: [Range<Int>]

    enum Coder: Sendable {
        case constant(UInt16)
        /// Code lengths.
        case huffman([UInt8])
        case contexts(SymbolModel)
        case raw
        case mixed
        case groups(GroupLengths)
        case gaps(GapCode)
        case counted
        case scaled(ScaledModel)
    }

    /// Reads heads and sizes, and skips the bodies.
    ///
    /// - Parameters:
    ///   - isLast: the stream ends with the reader's bytes.
    ///   - end: where in the frame the reader's bytes end.
    init(
        _ reader: inout ByteReader, alphabet: Int, symbolCount: Int, isLast: Bool, end: Int
    ) throws(CodecError) {
        self.alphabet = alphabet
        self.symbolCount = symbolCount
        let first = try reader.byte("coder")
        let code = first & StreamCoder.mask
        let looksBack = code == StreamCoder.mixedPrevious
        guard let kind = looksBack ? .mixed : StreamCoder(rawValue: code) else {
            throw CodecError(.unsupported, "frame needs coder \(code), which this version doesn't know")
        }
        guard kind != .constant || first == 0 else {
            throw .malformed("frame is damaged: a constant with blocks")
        }
        guard alphabet <= maximumAlphabet || [.constant, .mixed, .gaps, .scaled].contains(kind) else {
            throw .malformed("frame is damaged: a coder of too few symbols for \(alphabet)")
        }
        var usesPrevious = false
        switch kind {
        case .constant:
            coder = .constant(UInt16(try reader.count("constant symbol", atMost: alphabet - 1)))
            self.usesPrevious = false
            blockSize = BlockSize(symbols: symbolCount, estimatedBytes: 0)
            bodies = []
            return
        case .huffman: coder = .huffman(try HuffmanDecoder.lengths(&reader, alphabet: alphabet))
        case .contexts:
            let model = try SymbolModel(&reader, alphabet: alphabet)
            usesPrevious = model.contexts.usesPrevious
            coder = .contexts(model)
        case .raw:
            guard alphabet <= 256 else { throw .malformed("frame is damaged: raw symbols of two bytes") }
            coder = .raw
        case .mixed:
            guard alphabet > 1 else { throw .malformed("frame is damaged: mixed contexts of one symbol") }
            usesPrevious = looksBack
            coder = .mixed
        case .groups: coder = .groups(try GroupLengths(&reader, alphabet: alphabet))
        case .gaps: coder = .gaps(try GapCode(&reader, alphabet: alphabet))
        case .counted:
            guard alphabet > 1, alphabet <= CountedCode.mostAlphabet else {
                throw .malformed("frame is damaged: counts of \(alphabet) symbols")
            }
            coder = .counted
        case .scaled:
            let model = try ScaledModel(&reader, alphabet: alphabet)
            usesPrevious = model.usesPrevious
            coder = .scaled(model)
        }
        self.usesPrevious = usesPrevious
        blockSize = try BlockSize(code: first >> StreamCoder.blockSizeShift)
        guard kind != .counted || blockSize.count <= CountedCode.most else {
            throw .malformed("frame is damaged: counts in blocks of \(blockSize.count) symbols")
        }
        let count = max(1, blockSize.blocks(of: symbolCount))
        guard count - (isLast ? 1 : 0) <= reader.rest.count else {
            throw .malformed("frame is cut short: \(count) blocks in \(reader.rest.count) bytes")
        }
        var sizes: [Int] = []
        sizes.reserveCapacity(count)
        for _ in 0..<(isLast ? count - 1 : count) {
            sizes.append(try reader.count("block length", atMost: reader.rest.count))
        }
        // Blocks that claim more than there is are found when they are skipped.
        if isLast { sizes.append(max(0, reader.rest.count - sizes.reduce(0, +))) }
        guard symbolCount > 0 || sizes[0] == 0 else {
            throw .malformed("frame is damaged: a block of nothing has bytes")
        }
        var bodies: [Range<Int>] = []
        bodies.reserveCapacity(count)
        for size in sizes {
            let start = end - reader.rest.count
            _ = try reader.bytes(size, "block")
            bodies.append(start..<(start + size))
        }
        self.bodies = bodies
    }

    /// The coder's name.
    var coderName: String {
        switch coder {
        case .constant: "constant"
        case .huffman: "huffman"
        case .contexts(let model): model.isSparse ? "runs" : "rans"
        case .raw: "raw"
        case .mixed: "mixed"
        case .groups: "groups"
        case .gaps: "gaps"
        case .counted: "counted"
        case .scaled: "scaled"
        }
    }

    /// Bytes of all blocks.
    var bodyBytes: Int { bodies.reduce(0) { $0 + $1.count } }
}
