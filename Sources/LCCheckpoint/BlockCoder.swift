import CKernels

// What writes a stream of symbols: its coder, and its blocks once they are coded.

/// What codes the blocks of a stream.
enum BlockCoder: Sendable {
    case constant(UInt16)
    case huffman(HuffmanCode)
    case contexts(SymbolModel)
    case raw
    case mixed(usesPrevious: Bool)
    case groups(GroupCode)
    case gaps(GapCode)
    case counted(alphabet: Int)
    case scaled(ScaledModel)

    /// The previous frame's symbols are needed.
    var usesPrevious: Bool {
        switch self {
        case .constant, .huffman, .raw, .groups, .gaps, .counted: false
        case .contexts(let model): model.contexts.usesPrevious
        case .mixed(let usesPrevious): usesPrevious
        case .scaled(let model): model.usesPrevious
        }
    }

    /// Blocks can be coded from lists of what isn't zero.
    var takesLists: Bool {
        switch self {
        case .contexts(let model): model.takesLists
        case .gaps: true
        case .constant, .huffman, .raw, .mixed, .groups, .counted, .scaled: false
        }
    }

    /// Of blocks' symbols those that are zero need not be there.
    var takesNonzero: Bool {
        switch self {
        case .contexts(let model): model.isSparse
        case .mixed, .gaps, .constant: true
        case .huffman, .raw, .groups, .counted, .scaled: false
        }
    }

    /// The bodies of one or two blocks that are listed by pieces.
    ///
    /// - Precondition: `takesLists`.
    func encode(_ blocks: [UnsafeBufferPointer<ck_few>], scratch: BlockScratch) -> [[UInt8]] {
        switch self {
        case .contexts(let model): model.encode(blocks, scratch: scratch)
        case .gaps(let code): blocks.map { code.encode($0) }
        case .constant, .huffman, .raw, .mixed, .groups, .counted, .scaled:
            preconditionFailure("a coder that takes no lists")
        }
    }

    private var kind: StreamCoder {
        switch self {
        case .constant: .constant
        case .huffman: .huffman
        case .contexts: .contexts
        case .raw: .raw
        case .mixed: .mixed
        case .groups: .groups
        case .gaps: .gaps
        case .counted: .counted
        case .scaled: .scaled
        }
    }

    /// The stream's head, up to the blocks' lengths.
    func write(_ blockSize: BlockSize, into output: inout [UInt8]) {
        var first = kind.rawValue
        if case .mixed(usesPrevious: true) = self { first = StreamCoder.mixedPrevious }
        if case .constant = self {} else { first |= blockSize.code << StreamCoder.blockSizeShift }
        output.append(first)
        switch self {
        case .constant(let symbol): output.append(varint: UInt64(symbol))
        case .huffman(let code): code.write(into: &output)
        case .contexts(let model): output.append(contentsOf: model.head)
        case .raw, .mixed, .counted: break
        case .groups(let code): code.write(into: &output)
        case .gaps(let code): output.append(code.head)
        case .scaled(let model): output.append(contentsOf: model.head)
        }
    }

    /// Appends a block's body.
    func encode(_ block: SymbolView, scratch: BlockScratch, into output: inout [UInt8]) {
        let block = takesNonzero ? block : block.filled
        withExtendedLifetime(block) {
            switch self {
            case .constant: break
            case .huffman(let code): code.encode(block.dense, into: &output)
            case .contexts(let model): model.encode(block, scratch: scratch, into: &output)
            case .raw: output.append(contentsOf: block.dense.lazy.map { UInt8(truncatingIfNeeded: $0) })
            case .mixed(let usesPrevious):
                output += MixedModel.encode(block.sparse(usesPrevious: usesPrevious, words: scratch.words))
            case .groups(let code): code.encode(block.dense, scratch: scratch, into: &output)
            case .gaps(let code): output += code.encode(block)
            case .counted(let alphabet):
                output += CountedCode.encode(block.dense, alphabet: alphabet, scratch: scratch)
            case .scaled(let model): model.encode(block, scratch: scratch, into: &output)
            }
        }
    }
}

/// A stream that is being written: its head, and its blocks as they were coded.
struct EncodedStream {
    var coder: BlockCoder
    var blockSize: BlockSize
    var blocks: [[UInt8]]

    var byteCount: Int { blocks.reduce(0) { $0 + $1.count } }

    /// The blocks as they are written: a constant needs none.
    var bodies: [[UInt8]] {
        if case .constant = coder { return [] }
        return blocks
    }

    /// Appends everything before the blocks.
    ///
    /// - Parameter isLast: nothing follows the stream, so its last block's length needn't be said.
    func writeHead(isLast: Bool, into output: inout [UInt8]) {
        coder.write(blockSize, into: &output)
        if case .constant = coder { return }
        for block in isLast ? blocks.dropLast() : blocks[...] { output.append(varint: UInt64(block.count)) }
        if blocks.isEmpty, !isLast { output.append(varint: 0) }
    }

    /// Bytes of the stream as it is written where nothing follows it: its head, and its blocks.
    var writtenByteCount: Int {
        var head: [UInt8] = []
        writeHead(isLast: true, into: &head)
        return head.count + byteCount
    }

    /// Appends the stream, which nothing follows.
    func write(into output: inout [UInt8]) {
        writeHead(isLast: true, into: &output)
        for body in bodies { output.append(contentsOf: body) }
    }
}
