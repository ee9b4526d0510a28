import CKernels

// What neighbours and the frame before tell about a stream's symbols, and the model that follows from it.

/// Counts of symbols by the widest contexts, and what follows from them for narrower ones.
struct ContextSurvey {
    let sample: SymbolView
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
    private let scratch: BlockScratch
    /// The sample where most of it is zero.
    private let sparse: ck_sparse

    /// Where fewer than one symbol in so many isn't zero it is quicker to pass over zeros among zeros.
    static let sparseness = 10

    /// - Parameters:
    ///   - wholeCounts: of every symbol in the whole stream.
    ///   - blockSize: of the stream, if the sample is all of it.
    ///   - isBlind: the only context is none.
    init(
        _ sample: SymbolView, counts wholeCounts: [Int], blockSize: BlockSize?, isBlind: Bool
    ) {
        self.sample = sample
        self.blockSize = blockSize
        let previous = isBlind ? nil : sample.previous
        alphabet = wholeCounts.count
        present = blockSize == nil ? wholeCounts.map { $0 > 0 } : []
        scratch = BlockScratch(count: sample.count)
        let symbols =
            blockSize == nil ? sample.histogram(0..<sample.count, alphabet: alphabet) : wholeCounts
        sparse = sample.sparse(usesPrevious: previous != nil, words: scratch.words)
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
        if let first = sample.symbols.baseAddress {
            let model = SymbolModel(
                alphabet: alphabet, contexts: widest, map: [], tables: [], runs: nil, present: [])
            let memory = scratch.contexts
            let isSparse =
                !sample.hasZeros || (sample.count - symbols[0]) * ContextSurvey.sparseness < sample.count
            var own = sparse
            model.withKernel {
                if isSparse {
                    ck_count_sparse_contexts($0, &own, &tally)
                } else {
                    ck_count_contexts($0, first, previous, sample.count, memory, &tally)
                }
            }
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
            for above in sparse.above == nil ? [.none] : sides {
                for wide in [false, true] {
                    let contexts = SymbolContexts(
                        left: left, above: above, wide: wide,
                        usesPrevious: sparse.above != nil && (above.count > 1 || wide))
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
        var dense = [UInt32](repeating: 0, count: ContextTables.most * used.count)
        var tableCount: UInt32 = 0
        _ = ck_cluster(
            own, UInt32(contexts.count), UInt32(used.count), UInt32(alphabet), UInt32(ContextTables.most),
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
                var context = before > 0 ? Int(left[Int(sample.symbol(index - 1))]) : 0
                if contexts.wide, before > 1, sample.symbol(index - 2) != 0 { context += 1 }
                if contexts.usesPrevious, let previous = sample.previous {
                    context += Int(above[Int(previous[index])])
                    if contexts.wide {
                        context += index > range.lowerBound && previous[index - 1] != 0 ? 1 : 0
                        context += index + 1 < range.upperBound && previous[index + 1] != 0 ? 1 : 0
                    }
                }
                counts[context * used.count + places[Int(sample.symbol(index))]] += 1
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
        guard sample.count > 0 else { return (tokens, extra) }
        let model = SymbolModel(
            alphabet: alphabet, contexts: contexts, map: [], tables: [], runs: nil, present: [])
        let ranges =
            blockSize.map { size in
                (0..<size.blocks(of: sample.count)).map { size.range($0, of: sample.count) }
            } ?? [0..<sample.count]
        for range in ranges {
            var block = sparse.block(range)
            if !contexts.usesPrevious { (block.above, block.before) = (nil, nil) }
            withExtendedLifetime((sample, scratch)) {
                model.withKernel { ck_count_runs($0, &block, &tokens, &extra) }
            }
        }
        return (tokens, extra)
    }
}

/// Whether symbols are as frequent in all pieces of a stream as chance would have it: zeros, and of the others the odd ones and
/// some classes by size.
func isEven(_ symbols: SymbolView, piece: Int, alphabet: Int) -> Bool {
    let pieces = (0..<(symbols.count / piece)).map { index in
        symbols.histogram((index * piece)..<((index + 1) * piece), alphabet: alphabet)
    }
    guard pieces.count > 1 else { return true }
    let whole = (0..<alphabet).map { symbol in pieces.reduce(0) { $0 + $1[symbol] } }
    // Symbols that belong together: about as many of each class.
    let share = max(1, (pieces.count * piece - whole[0]) / 4)
    var classes: [[Int]] = [[0], Array(stride(from: 1, to: alphabet, by: 2)), []]
    var met = 0
    for symbol in 1..<alphabet {
        if met >= share {
            classes.append([])
            met = 0
        }
        classes[classes.count - 1].append(symbol)
        met += whole[symbol]
    }
    return classes.allSatisfy { members in
        let met = pieces.map { piece in Double(members.reduce(0) { $0 + piece[$1] }) }
        let mean = met.reduce(0, +) / Double(pieces.count)
        let variance = met.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(pieces.count)
        return mean < 1 || variance <= 2 * mean * (1 - mean / Double(piece))
    }
}
