/// What a scope holds, for people who look into a frame.
public struct ScopeReport: Sendable {
    /// One bucket, or one level of `auto`.
    public struct Bucket: Sendable {
        /// 0 is the zero bucket.
        public var symbol: Int
        /// What its members are replaced by.
        public var value: Float
        /// Elements in it.
        public var count: Int
        /// Bits of its canonical Huffman code; 0 when it doesn't occur.
        public var codeLength: Int
    }

    /// How the scope is coded.
    public var kind: CodecSettings.Kind
    /// Elements of its sections.
    public var elementCount: Int
    /// Bytes of the scope in the frame.
    public var byteCount: Int
    /// The coder of the symbols, or of each byte plane, with the bytes that it took.
    public var blocks: [(coder: String, byteCount: Int)]
    /// Empty for `exact`. Of more than a thousand levels, those that occur.
    public var buckets: [Bucket]
    /// Elements whose bits are carried as they are.
    public var exceptionCount: Int
    /// Order-0 entropy in bits per element; nil for `exact`.
    public var entropyBits: Double?
}

extension Frame {
    /// Looks into every scope; needs no base.
    ///
    /// Where a scope's symbols can't be read without those of the frame before, there are no counts and no entropy.
    ///
    /// - Parameter chained: keep the frame's symbols for the next, a byte for each element. For frames whose number of
    ///   elements is known from elsewhere: a small frame may claim many.
    /// - Returns: also what to parse the chain's next frame with.
    public func report(
        chained: Bool = false
    ) throws(CodecError) -> (scopes: [ScopeReport], context: FrameContext) {
        var reports: [ScopeReport] = []
        var histories: [[UInt8]?] = []
        for (index, scope) in scopes.enumerated() {
            var history: [UInt8]? = chained ? [] : nil
            reports.append(try report(scope, index, &history))
            histories.append(history)
        }
        var context = context
        if chained, header.kind == .delta {
            context.history = SymbolHistory(state: header.stateDigest, scopes: histories)
        }
        return (reports, context)
    }

    private func report(
        _ scope: ScopeLayout, _ index: Int, _ history: inout [UInt8]?
    ) throws(CodecError) -> ScopeReport {
        var report = ScopeReport(
            kind: scope.kind, elementCount: scope.elementCount, byteCount: scope.byteCount, blocks: [],
            buckets: [], exceptionCount: 0, entropyBits: nil)
        switch scope.content {
        case .exact(let exact):
            history = nil
            for stream in exact.planes.joined() { report.blocks.append((stream.coderName, stream.bodyBytes)) }
        case .quantized(let quantized):
            report.blocks = [(quantized.stream.coderName, quantized.stream.bodyBytes)]
            report.exceptionCount = quantized.exceptionCount
            let counts = try counts(scope, quantized, index, &history)
            let used = counts?.reduce(0) { $0 + ($1 > 0 ? 1 : 0) } ?? 0
            let lengths = counts.flatMap { used > 1 ? HuffmanCode(counts: $0).lengths : nil }
            let values = quantized.values
            // Of thousands of levels most don't occur.
            for symbol in values.indices
            where values.count <= maximumAlphabet || symbol == 0 || counts.map({ $0[symbol] > 0 }) ?? true {
                report.buckets.append(
                    ScopeReport.Bucket(
                        symbol: symbol, value: values[symbol], count: counts?[symbol] ?? 0,
                        codeLength: Int(lengths?[symbol] ?? 0)))
            }
            if let counts {
                report.entropyBits =
                    scope.elementCount == 0
                    ? 0 : LCCheckpoint.entropyBits(counts) / Double(scope.elementCount)
            }
        }
        return report
    }

    /// Counts of a scope's symbols; nil when they can't be read alone.
    ///
    /// - Parameter history: if it isn't nil, it becomes the symbols, clipped to a byte.
    private func counts(
        _ scope: ScopeLayout, _ quantized: QuantizedScope, _ index: Int, _ history: inout [UInt8]?
    ) throws(CodecError) -> [Int]? {
        let stream = quantized.stream
        if stream.usesPrevious, previousSymbols(scope: index, count: scope.elementCount) == nil {
            history = nil
            return nil
        }
        var counts = [Int](repeating: 0, count: stream.alphabet)
        if case .constant(let symbol) = stream.coder, history == nil {
            counts[Int(symbol)] = scope.elementCount
            return counts
        }
        try forEachBlock(of: scope, quantized, index) { _, symbols in
            let own = histogram(symbols, alphabet: counts.count)
            for symbol in own.indices { counts[symbol] += own[symbol] }
            history?.append(contentsOf: symbols.lazy.map { UInt8(min($0, 255)) })
        }
        return counts
    }

    /// Hands the symbols of a quantized scope to `body`, block by block, so that memory is bounded.
    func forEachBlock(
        of scope: ScopeLayout, _ quantized: QuantizedScope, _ index: Int,
        _ body: (_ elements: Range<Int>, _ symbols: UnsafeBufferPointer<UInt16>) -> Void
    ) throws(CodecError) {
        let stream = quantized.stream
        let previous = previousSymbols(scope: index, count: scope.elementCount)
        let scratch = BlockScratch(count: min(stream.blockSize.count, scope.elementCount))
        let decoder = StreamDecoder(stream)
        try withBytes { (frame) throws(CodecError) in
            try withPointer(to: previous) { (previous) throws(CodecError) in
                for block in 0..<stream.blockSize.blocks(of: scope.elementCount) {
                    let range = stream.blockSize.range(block, of: scope.elementCount)
                    let symbols = UnsafeMutableBufferPointer(rebasing: scratch.symbols[..<range.count])
                    try decoder.decode(
                        block: block, of: frame, previous: previous.map { $0 + range.lowerBound },
                        scratch: scratch, into: symbols)
                    body(range, UnsafeBufferPointer(symbols))
                }
            }
        }
    }
}
