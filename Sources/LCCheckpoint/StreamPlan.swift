import CKernels

/// Chooses how a stream's blocks are coded.
struct StreamPlan {
    var coder: BlockCoder
    var blockSize: BlockSize

    /// Bytes of all blocks together that must not be exceeded: what Huffman's would take.
    var mostBytes: Int
    /// What to fall back on.
    var huffman: HuffmanCode?
    /// Bytes that the stream is expected to take.
    private(set) var estimate = 0.0
    /// Contexts, and so the symbols' order, tell something.
    private(set) var isOrdered = false
    /// Of a complete sample the blocks, where coding them told what they take, and the sample.
    private var coded: [[UInt8]] = []
    private var sample: SymbolView?

    /// - Parameters:
    ///   - sample: symbols to learn from; pieces of the stream end to end. A complete one stays as long as the plan, unless the block
    ///     size is given.
    ///   - isComplete: the sample is the whole stream.
    ///   - counts: of every symbol in the whole stream.
    ///   - blockSize: that of the stream's blocks, if it is given: what a complete sample shows of contexts holds for no other.
    init(
        sample: SymbolView, isComplete: Bool, counts: [Int], entropy: CodecSettings.Entropy,
        blockSize given: BlockSize? = nil
    ) {
        let alphabet = counts.count
        var (total, used) = (0, 0)
        for count in counts {
            total += count
            used += count > 0 ? 1 : 0
        }
        guard used > 1 else {
            coder = .constant(UInt16(counts.firstIndex { $0 > 0 } ?? 0))
            blockSize = given ?? BlockSize(symbols: total, estimatedBytes: 0)
            mostBytes = .max
            return
        }
        if entropy == .huffman, alphabet <= 256, HuffmanCode.headByteCount(alphabet: alphabet) >= total {
            // The lengths alone take as much as the symbols.
            coder = .raw
            blockSize = given ?? BlockSize(symbols: total, estimatedBytes: 0)
            mostBytes = .max
            return
        }
        let code = HuffmanCode(counts: counts)
        let huffmanBytes = code.encodedByteCount(counts: counts)
        huffman = code
        mostBytes = huffmanBytes
        coder = .huffman(code)
        estimate = Double(huffmanBytes)
        blockSize =
            given ?? BlockSize(symbols: total, estimatedBytes: min(estimate, entropyBits(counts) / 8))
        if entropy != .huffman {
            let best = StreamPlan.best(
                sample, isComplete: isComplete, counts: counts, blockSize: blockSize, total: total,
                isQuick: entropy == .quick)
            take(best.model, bytes: best.bytes)
            isOrdered = best.bytes < StreamPlan.tolerance * best.plainBytes
            // Groups are several times as fast, and worth some bytes in a thousand.
            if total >= StreamPlan.manySymbols,
                let groups = GroupCode.best(counts: counts, below: 1.015 * estimate)
            {
                coder = .groups(groups.code)
                estimate = Double(groups.bytes)
            }
        }
        if entropy == .best, isComplete, given == nil { considerWhole(sample, counts: counts) }
        // Noise isn't worth a coder's time for a saving of a few bytes in a thousand.
        if alphabet <= 256, estimate >= Double(total) * 0.998 {
            coder = .raw
            forget()
            mostBytes = .max
        }
    }

    /// Takes what has to be tried on the whole stream, or looks at each of its symbols, if that takes fewer bytes.
    private mutating func considerWhole(_ symbols: SymbolView, counts: [Int]) {
        let (total, alphabet) = (symbols.count, counts.count)
        let work = MixedModel.work(total, nonzero: total - counts[0])
        let limit =
            total <= StreamPlan.fewSymbols
            ? StreamPlan.fewSymbols
            : max(StreamPlan.fewSymbols / 4, min(StreamPlan.fewSymbols, total / 32))
        if work <= limit,
            total <= StreamPlan.shortStream || isOrdered
                || !isEven(symbols, piece: total / 32, alphabet: alphabet)
        {
            let mixed = StreamPlan.mixed(symbols, isShort: work <= StreamPlan.shortStream)
            // They take longer to read, too, which a few bytes in a hundred aren't worth.
            let bytes = Double(mixed.writtenByteCount)
            if bytes < (total <= StreamPlan.fewSymbols ? 1 : 0.97) * estimate {
                (coder, blockSize) = (mixed.coder, mixed.blockSize)
                (coded, sample) = (mixed.blocks, symbols)
                estimate = bytes
            }
        }
        if total <= CountedCode.most,
            let counted = CountedCode.coder(symbols.dense, alphabet: alphabet, below: estimate)
        {
            coder = counted.coder
            (coded, sample) = ([counted.body], symbols)
            estimate = counted.bytes
            blockSize.log2 = BlockSize.smallest
        }
        if let sample = GapCode.Sample(symbols) { consider(sample, alphabet: alphabet) }
    }

    /// Codes the stream, by Huffman's code if the sample misled.
    func encode(_ symbols: SymbolView, threads: Int) -> EncodedStream {
        let isSame = !coded.isEmpty && sample?.hasSameSymbols(as: symbols) == true
        let stream =
            isSame
            ? EncodedStream(coder: coder, blockSize: blockSize, blocks: coded)
            : encodeBlocks(symbols, coder, blockSize, threads: threads)
        guard let huffman, stream.byteCount > mostBytes else { return stream }
        return encodeBlocks(symbols, .huffman(huffman), blockSize, threads: threads)
    }

    /// The body of a block whose symbols were coded when the plan was made, and are still the same.
    func body(of block: Int, _ symbols: SymbolView) -> [UInt8]? {
        guard coded.indices.contains(block), let sample else { return nil }
        let range = blockSize.range(block, of: sample.count)
        return range.count == symbols.count && sample[range].hasSameSymbols(as: symbols) ? coded[block] : nil
    }

    /// Lets go of blocks that another coder made.
    private mutating func forget() { (coded, sample) = ([], nil) }

    /// Takes a model if it takes fewer bytes.
    mutating func take(_ model: SymbolModel, bytes: Double) {
        guard bytes < estimate else { return }
        forget()
        coder = .contexts(model)
        estimate = bytes
    }

    /// Takes gaps if they take fewer bytes.
    mutating func consider(_ sample: GapCode.Sample, alphabet: Int) {
        let gaps = GapCode.best(sample, alphabet: alphabet)
        guard gaps.bytes < estimate else { return }
        coder = .gaps(gaps.code)
        forget()
        estimate = gaps.bytes
    }

    /// Without contexts zeros need not be looked at, which is worth some bytes in a thousand.
    private static let tolerance = 0.995
    /// Below this a coder's time doesn't matter.
    private static let manySymbols = 1 << 16

    /// Up to here mixed contexts, which take some ten nanoseconds a symbol, are tried as well: they learn as they go, so there is no head
    /// to pay for, which is much of what a small tensor takes. Of a longer stream where that takes no longer than finding its symbols.
    private static let fewSymbols = 1 << BlockSize.mixedLog2
    /// Beyond this only where the symbols' order tells something: where it doesn't, there is nothing to mix.
    private static let shortStream = 1 << 14

    /// The stream in mixed contexts, with the symbols of the frame before or without. Where these tell nothing a long stream learns to do
    /// without them, and only a short one is worth both attempts.
    private static func mixed(_ symbols: SymbolView, isShort: Bool) -> EncodedStream {
        var blockSize = BlockSize(symbols: symbols.count, estimatedBytes: 0)
        blockSize.log2 = BlockSize.mixedLog2
        let attempts = symbols.previous == nil ? [false] : isShort ? [false, true] : [true]
        let streams = attempts.map {
            encodeBlocks(symbols, .mixed(usesPrevious: $0), blockSize, threads: 1)
        }
        return streams.min { $0.byteCount < $1.byteCount } ?? streams[0]
    }

    /// The model with the least estimated bytes, and those of the one without contexts.
    private static func best(
        _ sample: SymbolView, isComplete: Bool, counts: [Int], blockSize: BlockSize, total: Int,
        isQuick: Bool
    ) -> (model: SymbolModel, bytes: Double, plainBytes: Double) {
        // What isn't in an incomplete sample may occur all the same, if it occurs at all.
        let survey = ContextSurvey(
            sample, counts: counts, blockSize: isComplete ? blockSize : nil, isBlind: isQuick)
        let candidates = survey.candidates().sorted { $0.bits < $1.bits }
        guard let plainest = candidates.first(where: { $0.contexts.count == 1 }) else {
            preconditionFailure("there is always the model without contexts")
        }
        let scale = Double(total) / Double(max(sample.count, 1))
        func estimated(_ contexts: SymbolContexts) -> (model: SymbolModel, bits: Double) {
            let (model, bits) = survey.model(contexts)
            return (model, bits * scale + Double(8 * model.head.count))
        }
        let plain = estimated(plainest.contexts)
        var best = plain
        let isLarge = total >= manySymbols
        // Those that don't seem to pay are tried where time doesn't matter.
        for candidate in candidates.prefix(3)
        where candidate.contexts.count > 1 && (!isLarge || candidate.bits < plainest.bits) {
            let own = estimated(candidate.contexts)
            let limit = isLarge && best.model.contexts.count == 1 ? tolerance * best.bits : best.bits
            if own.bits < limit { best = own }
        }
        return (best.model, best.bits / 8 + 16, plain.bits / 8 + 16)
    }
}

/// Codes a whole stream whose symbols are at hand, and appends it.
///
/// - Parameters:
///   - counts: of every symbol; the alphabet is as large.
///   - previous: the previous frame's symbols, clipped to 255, or nil.
func encodeSymbols(
    _ symbols: UnsafeBufferPointer<UInt16>, counts: [Int], entropy: CodecSettings.Entropy,
    previous: UnsafePointer<UInt8>? = nil, threads: Int = 1, into output: inout [UInt8]
) {
    let view = SymbolView(symbols, previous: previous)
    let plan = StreamPlan(sample: view, isComplete: true, counts: counts, entropy: entropy)
    plan.encode(view, threads: threads).write(into: &output)
}

func encodeBlocks(
    _ symbols: SymbolView, _ coder: BlockCoder, _ blockSize: BlockSize, threads: Int
) -> EncodedStream {
    let count = blockSize.blocks(of: symbols.count)
    let bodies = Results<[UInt8]>(count: count, [])
    let scratches = (0..<max(1, min(threads, count))).map { _ in
        BlockScratch(count: min(blockSize.count, symbols.count))
    }
    inParallel(count, threads: threads) { block, worker in
        let range = blockSize.range(block, of: symbols.count)
        var body: [UInt8] = []
        coder.encode(symbols[range], scratch: scratches[worker], into: &body)
        bodies[block] = body
    }
    return EncodedStream(coder: coder, blockSize: blockSize, blocks: bodies.all)
}

/// Reads a whole stream of `symbols.count` symbols below `alphabet`, which nothing follows.
func decodeSymbols(
    _ reader: inout ByteReader, alphabet: Int, previous: UnsafePointer<UInt8>? = nil,
    into symbols: UnsafeMutableBufferPointer<UInt16>
) throws(CodecError) {
    let bytes = reader.rest
    let stream = try SymbolStream(
        &reader, alphabet: alphabet, symbolCount: symbols.count, isLast: true, end: bytes.count)
    let scratch = BlockScratch(count: min(stream.blockSize.count, symbols.count))
    let decoder = StreamDecoder(stream)
    for block in 0..<stream.blockSize.blocks(of: symbols.count) {
        let range = stream.blockSize.range(block, of: symbols.count)
        try decoder.decode(
            block: block, of: bytes, previous: previous.map { $0 + range.lowerBound }, scratch: scratch,
            into: UnsafeMutableBufferPointer(rebasing: symbols[range]))
    }
}
