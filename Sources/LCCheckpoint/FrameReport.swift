/// What a scope holds, for people who look into a frame.
public struct ScopeReport: Sendable {
    public struct Bucket: Sendable {
        /// 0 is the zero bucket.
        public var symbol: Int
        /// What its members are replaced by.
        public var value: Float
        public var count: Int
        /// Bits of its canonical Huffman code; 0 when it doesn't occur.
        public var codeLength: Int
    }

    public var kind: CodecSettings.Kind
    public var elementCount: Int
    /// Bytes of the scope in the frame.
    public var byteCount: Int
    /// The coder of the symbols, or of each byte plane, with the bytes that it took.
    public var blocks: [(coder: String, byteCount: Int)]
    /// Empty for `exact`.
    public var buckets: [Bucket]
    /// Elements whose bits are carried as they are.
    public var exceptionCount: Int
    /// Order-0 entropy in bits per element; nil for `exact`.
    public var entropyBits: Double?
}

extension Frame {
    /// Looks into every scope; needs no base.
    ///
    /// Where a scope's symbols can't be read without the frame before, there are no counts and no entropy.
    public func report() throws(CodecError) -> [ScopeReport] {
        var reports: [ScopeReport] = []
        for (index, scope) in scopes.enumerated() { reports.append(try report(scope, index)) }
        return reports
    }

    private func report(_ scope: ScopeLayout, _ index: Int) throws(CodecError) -> ScopeReport {
        var report = ScopeReport(
            kind: scope.kind, elementCount: scope.elementCount, byteCount: scope.byteCount, blocks: [],
            buckets: [], exceptionCount: 0, entropyBits: nil)
        switch scope.content {
        case .exact(let exact):
            for stream in exact.planes.joined() { report.blocks.append((stream.coderName, stream.bodyBytes)) }
        case .quantized(let quantized):
            report.blocks = [(quantized.stream.coderName, quantized.stream.bodyBytes)]
            report.exceptionCount = quantized.exceptionCount
            let counts = try counts(scope, quantized, index)
            let used = counts?.reduce(0) { $0 + ($1 > 0 ? 1 : 0) } ?? 0
            let lengths = counts.flatMap { used > 1 ? HuffmanCode(counts: $0).lengths : nil }
            for symbol in quantized.values.indices {
                report.buckets.append(
                    ScopeReport.Bucket(
                        symbol: symbol, value: quantized.values[symbol], count: counts?[symbol] ?? 0,
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

    /// Counts of a scope's symbols; nil when they can't be read alone. Block by block, so memory is bounded.
    private func counts(
        _ scope: ScopeLayout, _ quantized: QuantizedScope, _ index: Int
    ) throws(CodecError) -> [Int]? {
        let stream = quantized.stream
        var counts = [Int](repeating: 0, count: stream.alphabet)
        if case .constant(let symbol) = stream.coder {
            counts[Int(symbol)] = scope.elementCount
            return counts
        }
        let previous = previousSymbols(scope: index, count: scope.elementCount)
        if stream.usesPrevious, previous == nil { return nil }
        let scratch = BlockScratch(count: min(stream.blockSize.count, scope.elementCount))
        return try withBytes { (frame) throws(CodecError) in
            try withPointer(to: previous) { (previous) throws(CodecError) in
                for block in 0..<stream.blockSize.blocks(of: scope.elementCount) {
                    let range = stream.blockSize.range(block, of: scope.elementCount)
                    let symbols = UnsafeMutableBufferPointer(rebasing: scratch.symbols[..<range.count])
                    try stream.decode(
                        block: block, of: frame, previous: previous.map { $0 + range.lowerBound },
                        scratch: scratch, into: symbols)
                    let own = histogram(UnsafeBufferPointer(symbols), alphabet: stream.alphabet)
                    for symbol in own.indices { counts[symbol] += own[symbol] }
                }
                return counts
            }
        }
    }
}
