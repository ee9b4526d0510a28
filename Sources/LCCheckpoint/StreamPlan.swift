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

    /// - Parameters:
    ///   - sample: symbols to learn from; pieces of the stream end to end.
    ///   - previous: the previous frame's symbols of the same elements.
    ///   - isComplete: the sample is the whole stream.
    ///   - counts: of every symbol in the whole stream.
    ///   - blockSize: that of the stream's blocks, if it is given: what a complete sample shows of contexts holds for no other.
    init(
        sample: UnsafeBufferPointer<UInt16>, previous: UnsafePointer<UInt8>?, isComplete: Bool, counts: [Int],
        entropy: CodecSettings.Entropy, blockSize given: BlockSize? = nil
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
                sample, previous, isComplete: isComplete, counts: counts, blockSize: blockSize, total: total,
                isQuick: entropy == .quick)
            take(best.model, bytes: best.bytes)
            // Groups are several times as fast, and worth some bytes in a thousand.
            if total >= StreamPlan.manySymbols, let groups = GroupCode.best(counts: counts),
                Double(groups.bytes) < 1.015 * estimate
            {
                coder = .groups(groups.code)
                estimate = Double(groups.bytes)
            }
        }
        if entropy == .best, isComplete, given == nil,
            total <= StreamPlan.fewSymbols || total / 8 + 8 * (total - counts[0]) <= StreamPlan.fewSymbols
        {
            let mixed = StreamPlan.mixed(sample, previous, total: total)
            if Double(mixed.bytes) < estimate {
                (coder, blockSize) = (mixed.coder, mixed.blockSize)
                estimate = Double(mixed.bytes)
            }
        }
        if entropy == .best, isComplete, given == nil, total - counts[0] <= GapCode.most,
            let sample = GapCode.Sample(sample)
        {
            consider(sample, alphabet: alphabet)
        }
        // Noise isn't worth a coder's time for a saving of a few bytes in a thousand.
        if alphabet <= 256, estimate >= Double(total) * 0.998 {
            coder = .raw
            mostBytes = .max
        }
    }

    /// Takes a model if it takes fewer bytes.
    mutating func take(_ model: SymbolModel, bytes: Double) {
        guard bytes < estimate else { return }
        coder = .contexts(model)
        estimate = bytes
    }

    /// Takes gaps if they take fewer bytes.
    mutating func consider(_ sample: GapCode.Sample, alphabet: Int) {
        let gaps = GapCode.best(sample, alphabet: alphabet)
        guard gaps.bytes < estimate else { return }
        coder = .gaps(gaps.code)
        estimate = gaps.bytes
    }

    /// Below this a coder's time doesn't matter.
    private static let manySymbols = 1 << 16

    /// Up to here mixed contexts, which take some ten nanoseconds a symbol, are tried as well; eight zeros among zeros are as quick
    /// as one. They learn as they go, so there is no head to pay for, which is much of what a small tensor takes.
    private static let fewSymbols = 1 << BlockSize.mixedLog2

    /// What mixed contexts take, with the symbols of the frame before or without.
    private static func mixed(
        _ symbols: UnsafeBufferPointer<UInt16>, _ previous: UnsafePointer<UInt8>?, total: Int
    ) -> (coder: BlockCoder, blockSize: BlockSize, bytes: Int) {
        var blockSize = BlockSize(symbols: total, estimatedBytes: 0)
        blockSize.log2 = BlockSize.mixedLog2
        let streams = (previous == nil ? [false] : [false, true]).map {
            encodeBlocks(symbols, .mixed(usesPrevious: $0), blockSize, previous: previous, threads: 1)
        }
        let best = streams.min { $0.byteCount < $1.byteCount } ?? streams[0]
        var head: [UInt8] = []
        best.writeHead(isLast: true, into: &head)
        return (best.coder, blockSize, best.byteCount + head.count)
    }

    /// The model with the least estimated bytes.
    private static func best(
        _ sample: UnsafeBufferPointer<UInt16>, _ previous: UnsafePointer<UInt8>?, isComplete: Bool,
        counts: [Int], blockSize: BlockSize, total: Int, isQuick: Bool
    ) -> (model: SymbolModel, bytes: Double) {
        // What isn't in an incomplete sample may occur all the same, if it occurs at all.
        let survey = ContextSurvey(
            sample, previous, counts: counts, blockSize: isComplete ? blockSize : nil, isBlind: isQuick)
        let candidates = survey.candidates().sorted { $0.bits < $1.bits }
        var best: (model: SymbolModel, bits: Double)?
        let scale = Double(total) / Double(max(sample.count, 1))
        // Without contexts zeros need not be looked at, which is worth some bytes in a thousand.
        let tolerance = total >= manySymbols ? 0.995 : 1
        let plain = candidates.filter { $0.contexts.count == 1 }
        for candidate in plain + candidates.prefix(3).filter({ $0.contexts.count > 1 }) {
            let (model, bits) = survey.model(candidate.contexts)
            let whole = bits * scale + Double(8 * model.head.count)
            if best.map({ whole < $0.bits * ($0.model.contexts.count == 1 ? tolerance : 1) }) ?? true {
                best = (model, whole)
            }
        }
        guard let best else { preconditionFailure("there is always the model without contexts") }
        return (best.model, best.bits / 8 + 16)
    }
}

/// Counts of symbols by the widest contexts, and what follows from them for narrower ones.
struct ContextSurvey {
    let sample: UnsafeBufferPointer<UInt16>
    let previous: UnsafePointer<UInt8>?
    let alphabet: Int
    private let widest: SymbolContexts
    /// Symbols that must be given a frequency in every table; empty when the sample is complete.
    private let present: [Bool]
    /// The blocks of a complete sample.
    let blockSize: BlockSize?
    private let counts: [UInt32]
    /// Of the widest contexts and of the symbols, those that occur: few where the stream is short.
    private let occurring: [Int]
    private let used: [Int]
    let scratch: BlockScratch

    /// - Parameters:
    ///   - wholeCounts: of every symbol in the whole stream.
    ///   - blockSize: of the stream, if the sample is all of it.
    ///   - isBlind: the only context is none.
    init(
        _ sample: UnsafeBufferPointer<UInt16>, _ previous: UnsafePointer<UInt8>?, counts wholeCounts: [Int],
        blockSize: BlockSize?, isBlind: Bool
    ) {
        self.sample = sample
        self.previous = previous
        self.blockSize = blockSize
        alphabet = wholeCounts.count
        present = blockSize == nil ? wholeCounts.map { $0 > 0 } : []
        scratch = BlockScratch(count: sample.count)
        let symbols = histogram(sample, alphabet: alphabet)
        used = symbols.indices.filter { symbols[$0] > 0 }
        if isBlind {
            widest = SymbolContexts(left: .none, above: .none, wide: false, usesPrevious: false)
            counts = symbols.map { UInt32($0) }
            occurring = [0]
            return
        }
        let classes = SymbolClasses.balanced(symbols)
        var above = SymbolClasses.none
        if previous != nil {
            // Classes of a byte, which a large symbol is clipped to.
            above = classes
            if above.layout == .each, alphabet > 16 { above = .zero }
        }
        widest = SymbolContexts(left: classes, above: above, wide: true, usesPrevious: previous != nil)
        var tally = [UInt32](repeating: 0, count: widest.count * alphabet)
        if let first = sample.baseAddress {
            let model = SymbolModel(
                alphabet: alphabet, contexts: widest, map: [], tables: [], runs: nil, present: [])
            let memory = scratch.contexts
            model.withKernel { ck_count_contexts($0, first, previous, sample.count, memory, &tally) }
        }
        let size = alphabet
        let used = used
        occurring = (0..<widest.count).filter { context in used.contains { tally[context * size + $0] > 0 } }
        counts = tally
    }

    /// Every narrower set of contexts, with about the bits that it takes.
    func candidates() -> [(contexts: SymbolContexts, bits: Double)] {
        guard widest.count > 1 else {
            let known = used.map { counts[$0] }
            return [(widest, bits(known, [known.reduce(0, +)]))]
        }
        var result: [(SymbolContexts, Double)] = []
        let sides: [SymbolClasses] =
            widest.left.count > 2 ? [.none, .zero, widest.left] : [.none, widest.left]
        for left in sides {
            for above in previous == nil ? [.none] : sides {
                for wide in [false, true] {
                    let contexts = SymbolContexts(
                        left: left, above: above, wide: wide,
                        usesPrevious: previous != nil && (above.count > 1 || wide))
                    let sums = narrowed(contexts)
                    result.append((contexts, bits(sums.counts, sums.totals)))
                }
            }
        }
        return result
    }

    /// The counts of the symbols that occur in narrower contexts, context by context, and each context's sum of them.
    private func narrowed(_ contexts: SymbolContexts) -> (counts: [UInt32], totals: [UInt32]) {
        var sums = [UInt32](repeating: 0, count: contexts.count * used.count)
        var totals = [UInt32](repeating: 0, count: contexts.count)
        for context in occurring {
            let near = context % widest.nearCount
            let above = context / widest.nearCount % widest.above.count
            let left = context / widest.nearCount / widest.above.count
            let ownLeft = contexts.left.count == 1 ? 0 : min(left, contexts.left.count - 1)
            let ownAbove = contexts.above.count == 1 ? 0 : min(above, contexts.above.count - 1)
            let from = context * alphabet
            let own =
                (ownLeft * contexts.above.count + ownAbove) * contexts.nearCount + (contexts.wide ? near : 0)
            for (index, symbol) in used.enumerated() {
                sums[own * used.count + index] += counts[from + symbol]
                totals[own] += counts[from + symbol]
            }
        }
        return (sums, totals)
    }

    /// Entropy and tables, if contexts shared none; `counts` are of the symbols that occur, `totals` of the contexts.
    private func bits(_ counts: [UInt32], _ totals: [UInt32]) -> Double {
        let alphabet = used.count
        var bits = 0.0
        for (context, total) in totals.enumerated() where total > 0 {
            var own = 0.0
            var met = 0
            for symbol in 0..<alphabet {
                let count = counts[context * alphabet + symbol]
                guard count > 0 else { continue }
                own -= ck_nlog2n(count)
                met += 1
            }
            // A context with a table of its own is the exception: most share one.
            bits += own + ck_nlog2n(total) + min(3 * Double(met), 0.3 * own.magnitude + 4)
        }
        return bits
    }

    /// A model and the bits that the sample takes with it, its head left out.
    func model(_ contexts: SymbolContexts) -> (SymbolModel, bits: Double) {
        // Symbols by their place among those that occur: tables of bytes are mostly empty where the stream is short.
        var own = narrowed(contexts).counts
        countEdges(contexts, into: &own)
        var cold: UInt32 = 0
        for symbol in used.indices { cold += own[symbol] }
        let coldZeros = used.first == 0 ? own[0] : 0
        // Runs are for where they are long: elsewhere a symbol each is as short, and quicker.
        var runs: [UInt32]?
        var runBits = 0.0
        if Double(coldZeros) > 0.85 * Double(cold), Double(cold) > 0.3 * Double(sample.count) {
            let (tokens, extra) = countRuns(contexts)
            own[0] = 0
            runs = tokens
            runBits = Double(extra) + ck_nlog2n(tokens.reduce(0, +)) - tokens.reduce(0) { $0 + ck_nlog2n($1) }
        }
        var map = [UInt8](repeating: 0, count: contexts.count)
        var dense = [UInt32](repeating: 0, count: SymbolModel.mostTables * used.count)
        var tableCount: UInt32 = 0
        _ = ck_cluster(
            own, UInt32(contexts.count), UInt32(used.count), UInt32(alphabet), UInt32(SymbolModel.mostTables),
            &map, &dense, &tableCount)
        var tables = [UInt32](repeating: 0, count: Int(tableCount) * alphabet)
        var bits = runBits
        for table in 0..<Int(tableCount) {
            var total: UInt32 = 0
            for (index, symbol) in used.enumerated() {
                let count = dense[table * used.count + index]
                tables[table * alphabet + symbol] = count
                total += count
                bits -= ck_nlog2n(count)
            }
            bits += ck_nlog2n(total)
        }
        return (
            SymbolModel(
                alphabet: alphabet, contexts: contexts, map: map, tables: tables, runs: runs,
                present: present),
            bits
        )
    }
}

extension ContextSurvey {
    /// Where blocks and lanes begin and end, neighbours are missing that the survey saw: such contexts are counted, too,
    /// so that what occurs in them has a frequency.
    private func countEdges(_ contexts: SymbolContexts, into counts: inout [UInt32]) {
        guard let blockSize else { return }
        var places = [Int](repeating: 0, count: alphabet)
        for (index, symbol) in used.enumerated() { places[symbol] = index }
        let left = contexts.leftTable(alphabet: alphabet)
        let above = contexts.aboveTable
        for block in 0..<blockSize.blocks(of: sample.count) {
            let range = blockSize.range(block, of: sample.count)
            let lane = range.count < 4096 ? range.count : (range.count + 3) / 4
            func note(_ index: Int, before: Int) {
                guard range.contains(index) else { return }
                var context = before > 0 ? Int(left[Int(sample[index - 1])]) : 0
                if contexts.wide, before > 1, sample[index - 2] != 0 { context += 1 }
                if contexts.usesPrevious, let previous {
                    context += Int(above[Int(previous[index])])
                    if contexts.wide {
                        context += index > range.lowerBound && previous[index - 1] != 0 ? 1 : 0
                        context += index + 1 < range.upperBound && previous[index + 1] != 0 ? 1 : 0
                    }
                }
                counts[context * used.count + places[Int(sample[index])]] += 1
            }
            for start in stride(from: range.lowerBound, to: range.upperBound, by: lane) {
                note(start, before: 0)
                note(start + 1, before: 1)
                note(min(start + lane, range.upperBound) - 1, before: lane - 1)
            }
            // A sparse block has no lanes.
            for start in stride(from: range.lowerBound + lane, to: range.upperBound, by: lane) {
                note(start, before: 2)
                note(start + 1, before: 2)
            }
        }
    }

    /// Tokens of runs and the bits that come with them, block by block.
    private func countRuns(_ contexts: SymbolContexts) -> (tokens: [UInt32], extraBits: UInt32) {
        var tokens = [UInt32](repeating: 0, count: Int(CK_RUN_TOKENS))
        var extra: UInt32 = 0
        guard let first = sample.baseAddress else { return (tokens, extra) }
        let model = SymbolModel(
            alphabet: alphabet, contexts: contexts, map: [], tables: [], runs: nil, present: [])
        let ranges =
            blockSize.map { size in
                (0..<size.blocks(of: sample.count)).map { size.range($0, of: sample.count) }
            } ?? [0..<sample.count]
        for range in ranges {
            model.withKernel {
                ck_count_runs(
                    $0, first + range.lowerBound, previous.map { $0 + range.lowerBound }, range.count,
                    scratch.contexts, scratch.words, &tokens, &extra)
            }
        }
        return (tokens, extra)
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
    let plan = StreamPlan(
        sample: symbols, previous: previous, isComplete: true, counts: counts, entropy: entropy)
    var stream = encodeBlocks(symbols, plan.coder, plan.blockSize, previous: previous, threads: threads)
    if let huffman = plan.huffman, stream.byteCount > plan.mostBytes {
        stream = encodeBlocks(symbols, .huffman(huffman), plan.blockSize, previous: nil, threads: threads)
    }
    stream.write(into: &output)
}

func encodeBlocks(
    _ symbols: UnsafeBufferPointer<UInt16>, _ coder: BlockCoder, _ blockSize: BlockSize,
    previous: UnsafePointer<UInt8>?, threads: Int
) -> EncodedStream {
    let count = blockSize.blocks(of: symbols.count)
    let bodies = Results<[UInt8]>(count: count, [])
    let scratches = (0..<max(1, min(threads, count))).map { _ in
        BlockScratch(count: min(blockSize.count, symbols.count))
    }
    inParallel(count, threads: threads) { block, worker in
        let range = blockSize.range(block, of: symbols.count)
        var body: [UInt8] = []
        coder.encode(
            UnsafeBufferPointer(rebasing: symbols[range]), previous: previous.map { $0 + range.lowerBound },
            scratch: scratches[worker], into: &body)
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
