// Zeros by their runs: for vectors in which most symbols are zero. The time goes with the number of other symbols,
// and where those stand close together the runs cost less than order-0 entropy.

/// Runs below this are tokens of their own.
private let plainRuns = 16
/// Enough for runs of 2^48.
private let tokenAlphabet = 104

/// A token and the bits that tell runs of the same token apart.
@inline(__always)
private func token(of run: Int) -> (token: UInt16, extraBits: Int) {
    guard run >= plainRuns else { return (UInt16(truncatingIfNeeded: run), 0) }
    let exponent = Int.bitWidth - 1 - run.leadingZeroBitCount
    let half = (run >> (exponent - 1)) & 1
    return (UInt16(truncatingIfNeeded: plainRuns + 2 * (exponent - 4) + half), exponent - 1)
}

/// A vector as runs of zeros, each ended by another symbol; zeros at the end need no run.
struct RunTokens {
    private var tokens: [UInt16]
    private var values: [UInt16]
    private var extra: [UInt8]
    private let tokenCounts: [Int]
    private let valueCounts: [Int]
    /// Body bytes, to within a few bytes.
    let estimatedByteCount: Int

    init(_ symbols: UnsafeBufferPointer<UInt16>, nonzeroCount: Int, alphabet: Int) {
        var writer = BitWriter()
        var values: [UInt16] = []
        tokens = [UInt16](unsafeUninitializedCapacity: nonzeroCount) { tokens, count in
            values = [UInt16](unsafeUninitializedCapacity: nonzeroCount) { values, valueCount in
                var next = 0
                forEachNonzero(symbols) { index, symbol in
                    let run = index - next
                    let (token, extraBits) = token(of: run)
                    tokens[count] = token
                    values[count] = symbol - 1
                    if extraBits > 0 { writer.append(UInt64(run & (1 << extraBits - 1)), count: extraBits) }
                    count += 1
                    next = index + 1
                }
                valueCount = count
            }
        }
        self.values = values
        extra = writer.finish()
        tokenCounts = tokens.withUnsafeBufferPointer { histogram($0, alphabet: tokenAlphabet) }
        valueCounts = values.withUnsafeBufferPointer { histogram($0, alphabet: alphabet - 1) }
        estimatedByteCount =
            12 + extra.count + RunTokens.estimate(tokenCounts, count: nonzeroCount)
            + RunTokens.estimate(valueCounts, count: nonzeroCount)
    }

    private static func estimate(_ counts: [Int], count: Int) -> Int {
        guard counts.reduce(0, { $0 + ($1 > 0 ? 1 : 0) }) > 1 else { return 3 }
        return RansModel(counts: counts, symbolCount: count).estimatedByteCount
    }

    /// Appends a block's body.
    func encode(into output: inout [UInt8]) {
        output.append(varint: UInt64(tokens.count))
        tokens.withUnsafeBufferPointer {
            encodeSymbols($0, counts: tokenCounts, entropy: .best, nested: true, into: &output)
        }
        values.withUnsafeBufferPointer {
            encodeSymbols($0, counts: valueCounts, entropy: .best, nested: true, into: &output)
        }
        output.append(contentsOf: extra)
    }
}

/// Calls `body` with each symbol that isn't zero, in order.
@inline(__always)
private func forEachNonzero(_ symbols: UnsafeBufferPointer<UInt16>, _ body: (Int, UInt16) -> Void) {
    let raw = UnsafeRawBufferPointer(symbols)
    var index = 0
    while index + 4 <= symbols.count {
        if raw.loadUnaligned(fromByteOffset: 2 * index, as: UInt64.self) != 0 {
            for lane in index..<(index + 4) where symbols[lane] != 0 { body(lane, symbols[lane]) }
        }
        index += 4
    }
    while index < symbols.count {
        if symbols[index] != 0 { body(index, symbols[index]) }
        index += 1
    }
}

/// Reads the body of a `runs` block.
func decodeRuns(
    _ body: inout ByteReader, alphabet: Int, into symbols: UnsafeMutableBufferPointer<UInt16>
) throws(CodecError) {
    guard alphabet > 1 else { throw .malformed("frame is damaged: runs in an alphabet of one symbol") }
    let count = try body.count("run count", atMost: symbols.count)
    let tokens = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: 2 * count)
    defer { tokens.deallocate() }
    let values = UnsafeMutableBufferPointer(rebasing: tokens[count...])
    try decodeSymbols(
        &body, alphabet: tokenAlphabet, nested: true,
        into: UnsafeMutableBufferPointer(rebasing: tokens[..<count]))
    try decodeSymbols(&body, alphabet: alphabet - 1, nested: true, into: values)
    symbols.update(repeating: 0)
    var extra = BitReader(body.rest)
    var next = 0
    for index in 0..<count {
        var run = Int(tokens[index])
        if run >= plainRuns {
            let exponent = (run - plainRuns) / 2 + 4
            let half = (run - plainRuns) & 1
            run = (2 | half) << (exponent - 1) | Int(try extra.read(exponent - 1, "run"))
        }
        guard run < symbols.count - next else {
            throw .malformed("frame is damaged: runs go beyond the \(symbols.count) symbols")
        }
        next += run
        symbols[next] = values[index] + 1
        next += 1
    }
    guard extra.paddingIsZero else { throw .malformed("frame is damaged: bits after the last run") }
    _ = try body.bytes(extra.bytesRead, "runs")
}
