// How the levels of a scope are coded: with mixed contexts, which take the least where streams are short, change as they go or are
// sparse, or with tables, which take a fraction of the time.

/// How a stream of levels is coded.
enum LevelPlan {
    /// Nothing is sent.
    case constant
    case mixed
    case tables(StreamPlan)
    /// What a plan for all of the symbols came to, of which few aren't zero.
    case sparse(StreamPlan, SymbolView)
    /// By classes of their size.
    case scaled(ScaledModel)

    /// Elements up to which time doesn't matter, and mixed contexts are taken unseen.
    static let shortCount = 1 << 14
    /// Beyond this mixed contexts have to show what they save; up to here it is enough that order tells something.
    static let patientCount = 1 << 20
    /// Where no more are sent, and fewer than one symbol in so many, a plan looks at all of them: pieces show too few. More are worth
    /// mixed contexts, whatever time these take.
    private static let fewSent = 1 << 14
    private static let sparseness = 32
    /// Questions that mixed contexts may ask whatever their number, some twenty milliseconds of them, and for each symbol of a longer
    /// stream: with more, encoding would take more than three times as long as with tables.
    private static let affordableCount = 1 << 21
    private static let affordableShare = 3
    /// Classes of levels are for streams in which at least one symbol in so many is sent: they look at each zero.
    private static let density = 4
    /// They take longer than groups, and aren't worth their time for less.
    private static let gain = 0.985

    /// - Parameter counts: of every symbol.
    init(_ symbols: SymbolView, counts: [Int], threads: Int) {
        self = counts.count > 1 ? .mixed : .constant
        let sent = symbols.count - counts[0]
        let work = MixedModel.work(symbols.count, nonzero: sent)
        guard counts.count > 1, work > LevelPlan.shortCount else { return }
        let hasTables = counts.count <= maximumAlphabet
        if hasTables, symbols.count > CountedCode.most, sent <= LevelPlan.fewSent,
            sent * LevelPlan.sparseness < symbols.count
        {
            let view = symbols.marked
            self = .sparse(
                StreamPlan(sample: view, isComplete: true, counts: counts, entropy: .best), view)
            return
        }
        let isAffordable =
            MixedModel.questions(of: counts)
            <= max(LevelPlan.affordableCount, LevelPlan.affordableShare * symbols.count)
        guard hasTables || !isAffordable else { return }
        let sample = sampled(symbols)
        var bytes = Double.infinity
        if hasTables {
            let plan = StreamPlan(sample: sample, isComplete: false, counts: counts, entropy: .best)
            // Where neither neighbours nor the frame before tell anything, and it is the same everywhere, there is nothing to mix.
            let mixed = BlockCoder.mixed(usesPrevious: symbols.previous != nil)
            let piece = min(ScaledModel.piece, sample.count / 32)
            let isMixed =
                isAffordable
                && (plan.isOrdered || !isEven(sample, piece: piece, alphabet: counts.count))
                && (symbols.count <= LevelPlan.patientCount
                    || isSmaller(mixed, than: plan.coder, for: symbols, threads: threads))
            guard !isMixed else { return }
            self = .tables(plan)
            bytes = plan.estimate
        }
        guard !isAffordable || sent * LevelPlan.density > symbols.count else { return }
        let scaled = ScaledModel.best(sample, counts: counts)
        if scaled.bytes < LevelPlan.gain * bytes { self = .scaled(scaled.model) }
    }

    /// Mixed contexts are taken, of a stream that isn't long.
    var isMixed: Bool {
        switch self {
        case .mixed: true
        case .sparse(let plan, let view):
            if case .mixed = plan.coder { view.count <= LevelPlan.patientCount } else { false }
        case .constant, .tables, .scaled: false
        }
    }

    /// - Parameter alphabet: symbols that there may be.
    func encode(_ symbols: SymbolView, alphabet: Int, threads: Int) -> EncodedStream {
        var blockSize = BlockSize(symbols: symbols.count, estimatedBytes: 0)
        blockSize.log2 = min(blockSize.log2, BlockSize.mixedLog2)
        let stream: EncodedStream
        switch self {
        case .constant:
            return EncodedStream(coder: .constant(0), blockSize: blockSize, blocks: [])
        case .mixed:
            stream = encodeBlocks(
                symbols, .mixed(usesPrevious: symbols.previous != nil), blockSize, threads: threads)
        case .tables(let plan): stream = plan.encode(symbols, threads: threads)
        case .sparse(let plan, let view): return plan.encode(view, threads: threads)
        case .scaled(let model):
            let size = BlockSize(symbols: symbols.count, estimatedBytes: Double(symbols.count))
            return encodeBlocks(symbols, .scaled(model), size, threads: threads)
        }
        // What suits short streams, or the few symbols of long ones.
        let own = Double(stream.writtenByteCount)
        var best = (coder: stream.coder, body: [UInt8]?.none, bytes: own)
        if symbols.count <= CountedCode.most,
            let counted = CountedCode.coder(symbols.dense, alphabet: alphabet, below: best.bytes)
        {
            best = (counted.coder, counted.body, counted.bytes)
        }
        if let sample = GapCode.Sample(symbols) {
            let gaps = GapCode.best(sample, alphabet: alphabet)
            if gaps.bytes < best.bytes { best = (.gaps(gaps.code), nil, gaps.bytes) }
        }
        guard best.bytes < own else { return stream }
        if let body = best.body {
            return EncodedStream(coder: best.coder, blockSize: blockSize, blocks: [body])
        }
        return encodeBlocks(symbols, best.coder, blockSize, threads: 1)
    }
}

/// Symbols that a plan is learnt from, if an eighth of them is more.
private let plannedCount = 1 << 19

/// Pieces of a stream that stand for all of it, end to end: an eighth of the symbols, evenly spread, fewer if there are many and more if
/// there are few.
///
/// - Parameter symbols: more than a few pieces.
private func sampled(_ symbols: SymbolView) -> SymbolView {
    let piece = ScaledModel.piece
    let step = max(1, min(8, symbols.count >> 16), symbols.count / plannedCount) * piece
    let starts = Array(stride(from: 0, to: symbols.count - piece, by: step))
    let memory = SampleMemory(count: starts.count * piece, hasPrevious: symbols.previous != nil)
    for (index, start) in starts.enumerated() {
        let own = symbols[start..<(start + piece)]
        own.copy(to: memory.symbols.baseAddress.unsafelyUnwrapped + index * piece)
        guard let previous = own.previous, let above = memory.above.baseAddress else { continue }
        (above + index * piece).update(from: previous, count: piece)
    }
    return SymbolView(
        UnsafeBufferPointer(memory.symbols), previous: memory.above.baseAddress.map { .init($0) },
        owner: memory)
}

/// What a sample is in.
private final class SampleMemory {
    let symbols: UnsafeMutableBufferPointer<UInt16>
    /// Without an address if there is none.
    let above: UnsafeMutableBufferPointer<UInt8>

    init(count: Int, hasPrevious: Bool) {
        symbols = .allocate(capacity: count)
        above = hasPrevious ? .allocate(capacity: count) : .init(start: nil, count: 0)
    }

    deinit {
        symbols.deallocate()
        above.deallocate()
    }
}

/// Elements of a block that two coders are compared by: what a block takes is foretold by its first and second part of as many.
private let probeCount = 1 << 15

/// Whether a coder takes clearly less than another, by one block in sixteen; by two of these, a third and two thirds of the
/// way, where they leave no doubt.
private func isSmaller(
    _ coder: BlockCoder, than other: BlockCoder, for symbols: SymbolView, threads: Int
) -> Bool {
    let size = 1 << BlockSize.mixedLog2
    let starts = Array(stride(from: size, to: symbols.count - size + 1, by: 16 * size))
    let sizes = Results(count: starts.count, (0, 0))
    // Coders that learn as they go take the most at the start.
    func byteCount(_ coder: BlockCoder, from start: Int, _ scratch: BlockScratch) -> Int {
        let counts = [probeCount, 2 * probeCount].map { count in
            var bytes: [UInt8] = []
            coder.encode(symbols[start..<(start + count)], scratch: scratch, into: &bytes)
            return bytes.count
        }
        return counts[0] + (size / probeCount - 1) * (counts[1] - counts[0])
    }
    func share(of blocks: [Int]) -> Double {
        inParallel(blocks.count, threads: threads) { index, _ in
            let scratch = BlockScratch(count: 2 * probeCount)
            let start = starts[blocks[index]]
            sizes[blocks[index]] = (
                byteCount(coder, from: start, scratch), byteCount(other, from: start, scratch)
            )
        }
        let sums = sizes.all.reduce((0, 0)) { ($0.0 + $1.0, $0.1 + $1.1) }
        return Double(sums.0) / Double(sums.1)
    }
    let limit = 0.98
    let few = starts.count < 3 ? Array(starts.indices) : [starts.count / 3, 2 * starts.count / 3]
    let first = share(of: few)
    guard abs(first - limit) < 0.03, few.count < starts.count else { return first < limit }
    return share(of: starts.indices.filter { !few.contains($0) }) < limit
}
