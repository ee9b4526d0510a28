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
    public func report() throws(CodecError) -> [ScopeReport] {
        var reports: [ScopeReport] = []
        for scope in scopes {
            let outcome: Result<ScopeReport, CodecError> = bytes.withUnsafeBytes { bytes in
                do throws(CodecError) {
                    return .success(try report(scope, UnsafeRawBufferPointer(rebasing: bytes[scope.payload])))
                } catch {
                    return .failure(error)
                }
            }
            reports.append(try outcome.get())
        }
        return reports
    }

    private func report(
        _ scope: ScopeLayout, _ payload: UnsafeRawBufferPointer
    ) throws(CodecError) -> ScopeReport {
        var report = ScopeReport(
            kind: scope.kind, elementCount: scope.elementCount, byteCount: payload.count, blocks: [],
            buckets: [],
            exceptionCount: 0, entropyBits: nil)
        var reader = ByteReader(payload)
        switch scope.kind {
        case .exact:
            while !reader.isAtEnd { report.blocks.append(try skipBlock(&reader)) }
        case .lc:
            // No base vouches for the count here, so what is allocated is bounded by the frame's own size.
            guard scope.elementCount <= FrameFormat.freeStateBytes + FrameFormat.expansion * bytes.count
            else {
                throw CodecError(
                    .limitExceeded, "a scope claims \(scope.elementCount) elements: refused as a bomb")
            }
            let head = try QuantizedHead(&reader)
            var block = reader
            report.blocks = [try skipBlock(&block)]
            let symbols = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: scope.elementCount)
            defer { symbols.deallocate() }
            try decodeSymbols(&reader, alphabet: head.representatives.count, into: symbols)
            let counts = histogram(UnsafeBufferPointer(symbols), alphabet: head.representatives.count)
            let used = counts.reduce(0) { $0 + ($1 > 0 ? 1 : 0) }
            let lengths = used > 1 ? HuffmanCode(counts: counts).lengths : counts.map { _ in 0 }
            for symbol in counts.indices {
                report.buckets.append(
                    ScopeReport.Bucket(
                        symbol: symbol, value: head.representatives[symbol], count: counts[symbol],
                        codeLength: Int(lengths[symbol])))
            }
            report.exceptionCount = try reader.count("exception count", atMost: scope.elementCount)
            report.entropyBits =
                scope.elementCount == 0 ? 0 : LCCheckpoint.entropyBits(counts) / Double(scope.elementCount)
        }
        return report
    }

    private func skipBlock(_ reader: inout ByteReader) throws(CodecError) -> (coder: String, byteCount: Int) {
        let code = try reader.byte("coder")
        let length = try reader.count("block length", atMost: reader.rest.count)
        _ = try reader.bytes(length, "block")
        guard let coder = SymbolCoder(rawValue: code) else {
            throw CodecError(.unsupported, "frame needs coder \(code), which this version doesn't know")
        }
        return ("\(coder)", length)
    }
}
