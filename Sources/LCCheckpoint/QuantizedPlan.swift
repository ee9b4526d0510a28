import CKernels

// What the coder of a vector's symbols is chosen by.

/// Elements that a plan is made from, if there are more; of those, how many that aren't zero are wanted, and where the search
/// for them ends.
private let sampleElements = 1 << 16
private let sampleSent = 8192
private let mostSample = 1 << 22
/// Elements that are sampled at a time, and in one piece at least.
private let sampleStep = 4096

extension QuantizedEncoder {
    /// Learns from pieces of the vector, spread evenly, without changing it; from the lists where these pieces don't show what
    /// there is.
    func makePlan() -> StreamPlan {
        var plan = sampledPlan()
        // A complete sample showed what gaps take.
        if let few, plan.huffman != nil, entropy == .best, few.listed <= 2 * GapCode.most,
            vector.layout.count - buckets.counts[0] <= GapCode.most
        {
            plan.consider(GapCode.Sample(few, byKey: buckets.symbolByKey), alphabet: buckets.counts.count)
        }
        return plan
    }

    /// The plan is made from every symbol, and they are found one by one: so they are found once, and kept.
    var plansByAll: Bool {
        few == nil && hasChoice && sampleSize == vector.layout.count
    }

    /// Symbols differ, and nobody said how to code them.
    private var hasChoice: Bool { entropy != .huffman && buckets.counts.count { $0 > 0 } > 1 }

    /// What a plan is told of the frame before.
    var knownPrevious: UnsafePointer<UInt8>? { entropy == .quick ? nil : previous }

    private func sampledPlan() -> StreamPlan {
        let counts = buckets.counts
        let count = vector.layout.count
        let previous = knownPrevious
        guard hasChoice else { return huffmanPlan }
        let ranges = sampleRanges
        let total = ranges.reduce(0) { $0 + $1.count }
        // Zeros among zeros need not be looked at; short streams are tried with coders that do, and where fewer are zero that is quicker.
        let isSparse =
            few != nil && total > CountedCode.most && (count - counts[0]) * ContextSurvey.sparseness < count
        let room = SampleRoom(
            count: total, hasPrevious: previous != nil, hasZeros: few != nil && !isSparse)
        var next = 0
        for range in ranges {
            if let few {
                few.put(range, byKey: buckets.symbolByKey, at: next, into: room.symbols, room.nonzero)
            } else {
                sample(range, room.floats, into: room.symbols + next)
            }
            if let previous {
                (room.previous + next).update(from: previous + range.lowerBound, count: range.count)
            }
            next += range.count
        }
        let view = room.view(isSparse: isSparse)
        if let few, total < count {
            let expected = share * Double(total)
            let met = Double(total - view.histogram(0..<total, alphabet: counts.count)[0])
            // Changes lie together, or are too few to be met.
            if expected < 64 || met < expected / 2 || met > 2 * expected { return listedPlan(few) }
        }
        return StreamPlan(sample: view, isComplete: total == count, counts: counts, entropy: entropy)
    }

    private var huffmanPlan: StreamPlan {
        StreamPlan(
            sample: SymbolView(UnsafeBufferPointer(start: nil, count: 0), previous: nil), isComplete: false,
            counts: buckets.counts, entropy: .huffman)
    }

    /// The share of symbols that aren't zero.
    private var share: Double {
        Double(vector.layout.count - buckets.counts[0]) / Double(vector.layout.count)
    }

    /// Enough elements to meet some thousand symbols that aren't zero; all where alphabets are large, or the vector isn't much larger.
    private var sampleSize: Int {
        let count = vector.layout.count
        let wanted = max(sampleElements, Int(min(Double(sampleSent) / share, Double(min(count, mostSample)))))
        return buckets.counts.count > 16 || wanted >= count / 2 ? count : wanted
    }

    /// About so many elements.
    private var sampleRanges: [Range<Int>] {
        let (count, wanted) = (vector.layout.count, sampleSize)
        // Pieces that runs of zeros are short in: where they are cut they tell nothing.
        var piece = sampleStep
        while piece < wanted / 8, Double(piece) * share < 64 { piece *= 2 }
        let step = wanted == count ? piece : count / (wanted / piece) / sampleStep * sampleStep
        return stride(from: 0, to: count, by: max(step, piece)).map { $0..<min($0 + piece, count) }
    }

    /// Runs and symbols without contexts, counted in the lists: their tables fit whatever lies where.
    private func listedPlan(_ few: FewDeltas) -> StreamPlan {
        var plan = huffmanPlan
        var tokens = [UInt32](repeating: 0, count: Int(CK_RUN_TOKENS))
        var bits: UInt64 = 0
        let pieces = plan.blockSize.count / Pieces.count
        for start in stride(from: 0, to: few.pieces.count, by: pieces) {
            let own = UnsafeBufferPointer(
                rebasing: few.pieces[start..<min(start + pieces, few.pieces.count)])
            if let first = own.baseAddress {
                ck_count_listed(first, own.count, buckets.symbolByKey, &tokens, &bits)
            }
        }
        let sent = buckets.counts.dropFirst()
        let model = SymbolModel(
            alphabet: buckets.counts.count,
            contexts: SymbolContexts(left: .none, above: .none, wide: false, usesPrevious: false), map: [0],
            tables: [0] + sent.map { UInt32(clamping: $0) }, runs: tokens, present: [])
        let estimate =
            Double(bits) + entropyBits(tokens.map { Int($0) }) + entropyBits(Array(sent))
            + Double(8 * model.head.count)
        plan.take(model, bytes: estimate / 8 + 16)
        return plan
    }

    /// The symbols of some elements of a vector that isn't listed.
    private func sample(
        _ range: Range<Int>, _ room: UnsafeMutablePointer<Float>, into symbols: UnsafeMutablePointer<UInt16>
    ) {
        for start in stride(from: range.lowerBound, to: range.upperBound, by: sampleStep) {
            let own = start..<min(start + sampleStep, range.upperBound)
            let target = vector.target(own, room)
            let live = vector.reconstruction(own, room + own.count).floats
            // On a copy: the vector itself is changed later, block by block.
            let copy = room + 2 * own.count
            copy.update(from: live, count: own.count)
            _ = buckets.quantize(
                target, copy, count: own.count, into: symbols + (start - range.lowerBound))
        }
    }
}

/// Memory for what a plan is made from.
private final class SampleRoom {
    private let count: Int
    private let hasPrevious: Bool
    let symbols: UnsafeMutablePointer<UInt16>
    /// At first no bit is set.
    let nonzero: UnsafeMutablePointer<UInt64>
    let previous: UnsafeMutablePointer<UInt8>
    let floats: UnsafeMutablePointer<Float>

    /// - Parameter hasZeros: symbols are zero at first, and not just anything.
    init(count: Int, hasPrevious: Bool, hasZeros: Bool) {
        self.count = count
        self.hasPrevious = hasPrevious
        symbols = .allocate(capacity: count)
        if hasZeros { symbols.initialize(repeating: 0, count: count) }
        nonzero = .allocate(capacity: ck_mask_words(count))
        nonzero.initialize(repeating: 0, count: ck_mask_words(count))
        previous = .allocate(capacity: hasPrevious ? count : 0)
        floats = .allocate(capacity: 3 * sampleStep)
    }

    /// - Parameter isSparse: zeros may not be there.
    func view(isSparse: Bool) -> SymbolView {
        SymbolView(
            UnsafeBufferPointer(start: symbols, count: count), previous: hasPrevious ? .init(previous) : nil,
            nonzero: isSparse ? .init(nonzero) : nil, owner: self)
    }

    deinit {
        symbols.deallocate()
        nonzero.deallocate()
        previous.deallocate()
        floats.deallocate()
    }
}
