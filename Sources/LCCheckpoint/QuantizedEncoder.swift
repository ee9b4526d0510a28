import CKernels

// A scope whose deltas are quantized: its sections end to end as one vector of Float32, in blocks.

/// An element whose bits a frame carries as they are.
struct ExceptionalElement: Hashable {
    /// Within the scope.
    var index: Int
    /// As wide as the section's format.
    var pattern: UInt64
}

/// What encoding a block came to.
private struct BlockOutcome {
    var body: [UInt8] = []
    var exceptions: [ExceptionalElement] = []
    var error = 0.0
    var norm = 0.0
}

/// What is wanted of symbols that are listed.
private enum WantedSymbols {
    case none
    /// Those that aren't zero, and where they are.
    case nonzero
    case all
}

/// Encodes a vector by buckets and updates the reconstructions.
struct QuantizedEncoder {
    let vector: ScopeVector
    let buckets: BucketTable
    /// The deltas that may be kept, if they are listed.
    let few: FewDeltas?
    let entropy: CodecSettings.Entropy
    /// The previous frame's symbols.
    let previous: UnsafePointer<UInt8>?
    /// Where this frame's symbols are left, clipped to 255; zeros before.
    let history: UnsafeMutablePointer<UInt8>?
    let threads: Int
    /// Of the reconstruction's sections.
    let digests: SectionDigests

    /// Appends the scope's payload. Throws when a source failed, or gave other bytes than before.
    func encode(totals: inout ScopeTotals, into payload: inout ScopePayload) throws(CodecError) {
        let (stream, outcomes) = plansByAll ? try encodeKept() : try encodeByBlocks()
        var exceptions: [ExceptionalElement] = []
        for outcome in outcomes {
            exceptions += outcome.exceptions
            totals.error += outcome.error
            totals.norm += outcome.norm
        }
        totals.entropyBits += entropyBits(buckets.counts)
        if stream.coder.usesPrevious { totals.usesPrevious = true }
        ScopeTag(.lc, hasExceptions: !exceptions.isEmpty, bits: buckets.bits)
            .write(elements: vector.layout.count, into: &payload.head)
        buckets.writeHead(into: &payload.head)
        write(exceptions, vector.layout, into: &payload.head)
        payload.append(stream)
    }

    /// Finds all symbols first.
    private func encodeKept() throws(CodecError) -> (stream: EncodedStream, outcomes: [BlockOutcome]) {
        let count = vector.layout.count
        let kept = BlockScratch(count: count)
        let symbols = kept.symbols.baseAddress.unsafelyUnwrapped
        let pieces = Pieces.total(of: count)
        let outcomes = Results(count: pieces, BlockOutcome())
        let scratches = (0..<max(1, min(threads, pieces))).map { _ in BlockScratch(count: 0) }
        inParallel(pieces, threads: threads) { piece, worker in
            let range = Pieces.range(piece, of: count)
            outcomes[piece] = quantize(
                range, .all, scratch: scratches[worker], into: symbols + range.lowerBound)
        }
        try vector.failure.check()
        let view = SymbolView(
            UnsafeBufferPointer(start: symbols, count: count), previous: knownPrevious, owner: kept)
        let plan = StreamPlan(sample: view, isComplete: true, counts: buckets.counts, entropy: entropy)
        return (plan.encode(view, threads: threads), outcomes.all)
    }

    /// Finds each block's symbols when it is coded, by a plan that was made from some.
    private func encodeByBlocks() throws(CodecError) -> (stream: EncodedStream, outcomes: [BlockOutcome]) {
        let count = vector.layout.count
        let plan = makePlan()
        let blockCount = plan.blockSize.blocks(of: count)
        let outcomes = Results(count: blockCount, BlockOutcome())
        let scratches = (0..<max(1, min(threads, blockCount))).map { _ in
            BlockScratch(count: min(plan.blockSize.count, count))
        }
        if let few, plan.coder.takesLists {
            // Two take less time than one after the other, but not where a thread would have none.
            let together = blockCount >= 2 * threads ? 2 : 1
            inParallel((blockCount + together - 1) / together, threads: threads) { group, worker in
                let blocks = (together * group)..<min(together * (group + 1), blockCount)
                let own = encode(
                    blocks.map { plan.blockSize.range($0, of: count) }, of: few, plan.coder,
                    scratch: scratches[worker])
                for (block, outcome) in zip(blocks, own) { outcomes[block] = outcome }
            }
        } else {
            let wanted: WantedSymbols = few != nil && plan.coder.takesNonzero ? .nonzero : .all
            inParallel(blockCount, threads: threads) { block, worker in
                outcomes[block] = encode(block, of: plan, wanted, scratch: scratches[worker])
            }
        }
        try vector.failure.check()
        var stream = EncodedStream(
            coder: plan.coder, blockSize: plan.blockSize, blocks: outcomes.all.map(\.body))
        if let huffman = plan.huffman, stream.byteCount > plan.mostBytes {
            // The sample misled: what was promised is never more than Huffman's bytes.
            try recode(&stream, count: count, alphabet: buckets.counts.count, previous: previous, huffman)
        }
        return (stream, outcomes.all)
    }

    /// Quantizes and codes a block, piece by piece.
    private func encode(
        _ index: Int, of plan: StreamPlan, _ wanted: WantedSymbols, scratch: BlockScratch
    ) -> BlockOutcome {
        let block = plan.blockSize.range(index, of: vector.layout.count)
        let symbols = UnsafeMutableBufferPointer(rebasing: scratch.symbols[..<block.count])
        if wanted == .nonzero { scratch.words.update(repeating: 0, count: ck_mask_words(block.count)) }
        var outcome = quantize(
            block, wanted, scratch: scratch, into: symbols.baseAddress.unsafelyUnwrapped)
        let view = SymbolView(
            UnsafeBufferPointer(symbols), previous: previous.map { $0 + block.lowerBound },
            nonzero: wanted == .nonzero ? .init(scratch.words) : nil)
        if let body = plan.body(of: index, view) {
            outcome.body = body
        } else {
            plan.coder.encode(view, scratch: scratch, into: &outcome.body)
        }
        return outcome
    }

    /// The same for one or two blocks from their lists.
    private func encode(
        _ blocks: [Range<Int>], of few: FewDeltas, _ coder: BlockCoder, scratch: BlockScratch
    ) -> [BlockOutcome] {
        // No symbols are wanted but for what isn't finite.
        let symbols = scratch.symbols.baseAddress.unsafelyUnwrapped
        var outcomes = blocks.map { quantize($0, .none, scratch: scratch, into: symbols) }
        let size = Pieces.count
        let lists = blocks.map { block in
            let pieces = (block.lowerBound / size)...((block.upperBound - 1) / size)
            return UnsafeBufferPointer(rebasing: few.pieces[pieces])
        }
        for (index, body) in coder.encode(lists, scratch: scratch).enumerated() {
            outcomes[index].body = body
        }
        return outcomes
    }

    /// Quantizes a block, piece by piece; its symbols are left in `symbols`, as far as they are wanted, and in the lists.
    private func quantize(
        _ block: Range<Int>, _ wanted: WantedSymbols, scratch: BlockScratch,
        into symbols: UnsafeMutablePointer<UInt16>
    ) -> BlockOutcome {
        var outcome = BlockOutcome()
        var next = digests.piece(from: block.lowerBound)
        for start in stride(from: block.lowerBound, to: block.upperBound, by: Pieces.count) {
            let piece = start..<min(start + Pieces.count, block.upperBound)
            let offset = start - block.lowerBound
            quantize(piece, wanted, scratch, symbols + offset, scratch.words + offset / 64, &outcome)
            digests.digest(from: &next, upTo: piece.upperBound)
        }
        return outcome
    }

    /// Quantizes a piece, and carries the elements that need it.
    private func quantize(
        _ range: Range<Int>, _ wanted: WantedSymbols, _ scratch: BlockScratch,
        _ symbols: UnsafeMutablePointer<UInt16>, _ nonzero: UnsafeMutablePointer<UInt64>,
        _ outcome: inout BlockOutcome
    ) {
        let count = range.count
        let room = scratch.floats(2 * count)
        // Lists know their targets.
        let target = few == nil ? vector.target(range, room) : nil
        let (restored, isDirect) = vector.reconstruction(range, room + count)
        let place = range.lowerBound / Pieces.count
        var sums: ck_sums
        if let few {
            sums = buckets.quantize(restored, count: count, &few.pieces[place])
            if let history { few.mark(place, in: history + range.lowerBound) }
            if wanted == .nonzero { few.put(place, into: symbols, nonzero) }
            if wanted == .all || !sums.isFinite { few.spread(place, into: symbols) }
        } else {
            let live = target.unsafelyUnwrapped
            sums = buckets.quantize(live, restored, count: count, into: symbols)
            if let history { ck_clip(symbols, count, history + range.lowerBound) }
            if !vector.layout.parts(of: range).allSatisfy({ vector.layout.formats[$0.member] == .float32 }) {
                vector.round(range, restored)
                sums = ck_deltas(live, restored, count, nil)
            }
        }
        var exceptions: [ExceptionalElement] = []
        if !sums.isFinite {
            let live = target ?? vector.target(range, room)
            exceptions = carry(symbols, live, restored, count: count, &sums).map {
                let index = range.lowerBound + $0
                return ExceptionalElement(index: index, pattern: vector.pattern(index))
            }
        }
        vector.store(range, restored, isDirect: isDirect, exceptions: exceptions[...], digests: digests)
        outcome.exceptions += exceptions
        outcome.error += sums.error
        outcome.norm += sums.norm
    }

    /// Finds the elements whose bits must be carried: their deltas aren't finite, or a restore would yield infinity for a
    /// finite value. Sums what is finite.
    private func carry(
        _ symbols: UnsafePointer<UInt16>, _ target: UnsafePointer<Float>,
        _ restored: UnsafeMutablePointer<Float>,
        count: Int, _ sums: inout ck_sums
    ) -> [Int] {
        var carried: [Int] = []
        sums = ck_sums(error: 0, norm: 0)
        for index in 0..<count {
            let isLost =
                (symbols[index] == 0 && !(target[index] - restored[index]).isFinite)
                || (target[index].isFinite && !restored[index].isFinite)
            if isLost {
                carried.append(index)
                restored[index] = target[index]
            }
            guard target[index].isFinite else { continue }
            let miss = Double(target[index]) - Double(restored[index])
            sums.error += miss * miss
            sums.norm += Double(target[index]) * Double(target[index])
        }
        return carried
    }
}

extension ck_sums {
    /// No element, and no sum of squares, is beyond what floats hold.
    fileprivate var isFinite: Bool { error.isFinite && norm.isFinite }
}

/// Codes a stream's blocks anew with Huffman.
private func recode(
    _ stream: inout EncodedStream, count: Int, alphabet: Int, previous: UnsafePointer<UInt8>?,
    _ huffman: HuffmanCode
) throws(CodecError) {
    var bytes: [UInt8] = []
    stream.write(into: &bytes)
    let symbols = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: count)
    defer { symbols.deallocate() }
    let isRead = bytes.withUnsafeBytes { bytes in
        var reader = ByteReader(bytes)
        return (try? decodeSymbols(&reader, alphabet: alphabet, previous: previous, into: symbols)) != nil
    }
    guard isRead else {
        // Tables were made for what a source gave at first.
        throw CodecError(.unreadable, "a state changed while it was encoded")
    }
    stream = encodeBlocks(
        SymbolView(UnsafeBufferPointer(symbols), previous: nil), .huffman(huffman), stream.blockSize,
        threads: 1)
}

/// If there are any their number and their bytes, so that they can be skipped; then each: the gap since the one
/// before it, and its bits.
func write(_ exceptions: [ExceptionalElement], _ layout: VectorLayout, into output: inout [UInt8]) {
    guard !exceptions.isEmpty else { return }
    output.append(varint: UInt64(exceptions.count))
    var body: [UInt8] = []
    var next = 0
    for exception in exceptions {
        body.append(varint: UInt64(exception.index - next))
        next = exception.index + 1
        for byte in 0..<layout.formats[layout.member(of: exception.index)].byteCount {
            body.append(UInt8(truncatingIfNeeded: exception.pattern >> UInt64(8 * byte)))
        }
    }
    output.append(varint: UInt64(body.count))
    output.append(contentsOf: body)
}
