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

/// Appends a quantized scope's payload and updates the reconstructions.
///
/// - Parameters:
///   - counts: of every symbol, over the whole vector.
///   - previous: the previous frame's symbols.
///   - history: where this frame's symbols are left, clipped to 255.
func encodeQuantized(
    _ vector: ScopeVector, _ quantizer: some DeltaQuantizer, counts: [Int], entropy: CodecSettings.Entropy,
    previous: UnsafePointer<UInt8>?, history: UnsafeMutablePointer<UInt8>?, threads: Int,
    totals: inout ScopeTotals, into output: inout [UInt8]
) {
    let count = vector.layout.count
    let plan = quantizedPlan(vector, quantizer, counts: counts, entropy: entropy, previous: previous)
    let blockCount = plan.blockSize.blocks(of: count)
    let outcomes = Results(count: blockCount, BlockOutcome())
    let scratches = (0..<max(1, min(threads, blockCount))).map { _ in
        BlockScratch(count: min(plan.blockSize.count, count))
    }
    inParallel(blockCount, threads: threads) { block, worker in
        let range = plan.blockSize.range(block, of: count)
        let scratch = scratches[worker]
        let symbols = UnsafeMutableBufferPointer(rebasing: scratch.symbols[..<range.count])
        var outcome = quantizeBlock(vector, range, quantizer, scratch: scratch, into: symbols)
        if let history, let first = symbols.baseAddress {
            ck_clip(first, range.count, history + range.lowerBound)
        }
        plan.coder.encode(
            UnsafeBufferPointer(symbols), previous: previous.map { $0 + range.lowerBound }, scratch: scratch,
            into: &outcome.body)
        outcomes[block] = outcome
    }
    var stream = EncodedStream(coder: plan.coder, blockSize: plan.blockSize, blocks: [])
    var exceptions: [ExceptionalElement] = []
    for outcome in outcomes.all {
        stream.blocks.append(outcome.body)
        exceptions += outcome.exceptions
        totals.error += outcome.error
        totals.norm += outcome.norm
    }
    if let huffman = plan.huffman, stream.byteCount > plan.mostBytes {
        // The sample misled: what was promised is never more than Huffman's bytes.
        recode(&stream, count: count, alphabet: counts.count, previous: previous, huffman)
    }
    totals.entropyBits += entropyBits(counts)
    if stream.coder.usesPrevious { totals.usesPrevious = true }
    quantizer.writeHead(into: &output)
    write(exceptions, vector.layout, into: &output)
    stream.write(into: &output)
}

/// Elements that a plan is made from, if there are more.
private let sampleElements = 1 << 18

/// Learns from pieces of the vector, spread evenly, without changing it.
private func quantizedPlan(
    _ vector: ScopeVector, _ quantizer: some DeltaQuantizer, counts: [Int], entropy: CodecSettings.Entropy,
    previous: UnsafePointer<UInt8>?
) -> StreamPlan {
    let count = vector.layout.count
    let previous = entropy == .quick ? nil : previous
    guard entropy != .huffman, counts.filter({ $0 > 0 }).count > 1 else {
        return StreamPlan(
            sample: UnsafeBufferPointer(start: nil, count: 0), previous: nil, isComplete: false,
            counts: counts, entropy: .huffman)
    }
    // Enough to meet some ten thousand symbols that aren't zero; everything where alphabets are large.
    let share = Double(count - counts[0]) / Double(count)
    var wanted = max(sampleElements, Int(min(16_384 / share, Double(count / 4))))
    if counts.count > 16 || wanted >= count / 2 { wanted = count }
    let piece = 4096
    let step = wanted == count ? piece : max(piece, count / (wanted / piece))
    var ranges: [Range<Int>] = []
    for start in stride(from: 0, to: count, by: step) { ranges.append(start..<min(start + piece, count)) }
    let total = ranges.reduce(0) { $0 + $1.count }
    let symbols = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: total)
    let above = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: previous == nil ? 0 : total)
    let room = UnsafeMutablePointer<Float>.allocate(capacity: 3 * piece)
    defer {
        symbols.deallocate()
        above.deallocate()
        room.deallocate()
    }
    var next = 0
    for range in ranges {
        let target = vector.target(range, room)
        let live = vector.reconstruction(range, room + piece).floats
        // On a copy: the vector itself is changed later, block by block.
        let copy = room + 2 * piece
        copy.update(from: live, count: range.count)
        if let first = symbols.baseAddress {
            _ = quantizer.quantize(target, copy, count: range.count, into: first + next)
        }
        if let previous, let first = above.baseAddress {
            (first + next).update(from: previous + range.lowerBound, count: range.count)
        }
        next += range.count
    }
    return StreamPlan(
        sample: UnsafeBufferPointer(symbols),
        previous: previous == nil ? nil : above.baseAddress.map { .init($0) },
        isComplete: total == count, counts: counts, entropy: entropy)
}

/// Quantizes a block and finds the elements whose bits must be carried.
private func quantizeBlock(
    _ vector: ScopeVector, _ range: Range<Int>, _ quantizer: some DeltaQuantizer, scratch: BlockScratch,
    into symbols: UnsafeMutableBufferPointer<UInt16>
) -> BlockOutcome {
    var outcome = BlockOutcome()
    guard let first = symbols.baseAddress, !range.isEmpty else { return outcome }
    let count = range.count
    let isFloat = vector.layout.parts(of: range).allSatisfy { vector.layout.formats[$0.member] == .float32 }
    let room = scratch.floats(2 * count)
    let target = vector.target(range, room)
    let (restored, isDirect) = vector.reconstruction(range, room + count)
    var sums = quantizer.quantize(target, restored, count: count, into: first)
    if !isFloat {
        vector.round(range, restored)
        sums = ck_error(target, restored, count)
    }
    var indices: [Int] = []
    if !sums.error.isFinite || !sums.norm.isFinite {
        // The delta wasn't finite, or the sum overflowed where the delta didn't: a restore must not yield infinity for a
        // finite value.
        sums = ck_sums(error: 0, norm: 0)
        for index in 0..<count {
            let isLost =
                (symbols[index] == 0 && !(target[index] - restored[index]).isFinite)
                || (target[index].isFinite && !restored[index].isFinite)
            if isLost {
                indices.append(range.lowerBound + index)
                restored[index] = target[index]
            }
            guard target[index].isFinite else { continue }
            let miss = Double(target[index]) - Double(restored[index])
            sums.error += miss * miss
            sums.norm += Double(target[index]) * Double(target[index])
        }
    }
    if !isDirect { vector.store(range, restored) }
    for index in indices {
        let pattern = vector.pattern(index)
        vector.set(index, pattern)
        outcome.exceptions.append(ExceptionalElement(index: index, pattern: pattern))
    }
    outcome.error = sums.error
    outcome.norm = sums.norm
    return outcome
}

/// Codes a stream's blocks anew with Huffman.
private func recode(
    _ stream: inout EncodedStream, count: Int, alphabet: Int, previous: UnsafePointer<UInt8>?,
    _ huffman: HuffmanCode
) {
    var bytes: [UInt8] = []
    stream.write(into: &bytes)
    let symbols = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: count)
    defer { symbols.deallocate() }
    let isRead = bytes.withUnsafeBytes { bytes in
        var reader = ByteReader(bytes)
        return (try? decodeSymbols(&reader, alphabet: alphabet, previous: previous, into: symbols)) != nil
    }
    precondition(isRead, "what was just encoded can be decoded")
    stream = encodeBlocks(
        UnsafeBufferPointer(symbols), .huffman(huffman), stream.blockSize, previous: nil, threads: 1)
}

/// Their number and, if there are any, their bytes, so that they can be skipped; then each: the gap since the one
/// before it, and its bits.
func write(_ exceptions: [ExceptionalElement], _ layout: VectorLayout, into output: inout [UInt8]) {
    output.append(varint: UInt64(exceptions.count))
    guard !exceptions.isEmpty else { return }
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

/// A quantized scope whose head was read.
struct QuantizedScope: Sendable {
    /// Values are of the elements' square roots.
    var isRoot = false
    var values: [Float]
    var exceptionCount: Int
    /// The exceptions' bytes, within the frame.
    var exceptions: Range<Int>
    var stream: SymbolStream

    /// - Parameter end: where in the frame the reader's bytes end.
    init(_ reader: inout ByteReader, values: [Float], elementCount: Int, end: Int) throws(CodecError) {
        self.values = values
        // Each takes two bytes or more, so the payload bounds what is allocated.
        exceptionCount = try reader.count("exception count", atMost: min(elementCount, reader.rest.count))
        exceptions = 0..<0
        if exceptionCount > 0 {
            let length = try reader.count("exceptions", atMost: reader.rest.count)
            let start = end - reader.rest.count
            _ = try reader.bytes(length, "exceptions")
            exceptions = start..<(start + length)
        }
        stream = try SymbolStream(&reader, alphabet: values.count, symbolCount: elementCount, end: end)
    }

    /// Adds the values of the blocks in `blocks` to the reconstruction, then sets the exceptions.
    ///
    /// - Parameter previous: the previous frame's symbols of the whole scope.
    func apply(
        to vector: ScopeVector, of frame: UnsafeRawBufferPointer, blocks: Range<Int>,
        previous: UnsafePointer<UInt8>?, history: UnsafeMutablePointer<UInt8>?, threads: Int
    ) throws(CodecError) {
        let count = vector.layout.count
        let patches = try readExceptions(frame, vector.layout)
        let size = min(stream.blockSize.count, count)
        let scratches = (0..<max(1, min(threads, blocks.count))).map { _ in BlockScratch(count: size) }
        let failures = Results<CodecError?>(count: blocks.count, nil)
        inParallel(blocks.count, threads: threads) { index, worker in
            let block = blocks.lowerBound + index
            let range = stream.blockSize.range(block, of: count)
            let scratch = scratches[worker]
            let symbols = UnsafeMutableBufferPointer(rebasing: scratch.symbols[..<range.count])
            do throws(CodecError) {
                try stream.decode(
                    block: block, of: frame, previous: previous.map { $0 + range.lowerBound },
                    scratch: scratch, into: symbols)
            } catch {
                failures[index] = error
                return
            }
            guard let first = symbols.baseAddress else { return }
            if let history { ck_clip(first, range.count, history + range.lowerBound) }
            let (restored, isDirect) = vector.reconstruction(
                range, scratch.floats(range.count))
            // Every coder yields symbols of its alphabet alone.
            ck_apply(first, range.count, values, UInt32(values.count), restored)
            if !isDirect {
                vector.round(range, restored)
                vector.store(range, restored)
            }
        }
        for index in 0..<blocks.count { if let failure = failures[index] { throw failure } }
        for patch in patches { vector.set(patch.index, patch.pattern) }
    }

    private func readExceptions(
        _ frame: UnsafeRawBufferPointer, _ layout: VectorLayout
    ) throws(CodecError) -> [ExceptionalElement] {
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: frame[exceptions]))
        var result: [ExceptionalElement] = []
        result.reserveCapacity(exceptionCount)
        var next = 0
        for _ in 0..<exceptionCount {
            let gap = try reader.varint("exception index")
            guard gap < UInt64(layout.count - next) else {
                throw .malformed("frame is damaged: an exception beyond the scope's \(layout.count) elements")
            }
            let index = next + Int(gap)
            next = index + 1
            let bytes = try reader.bytes(layout.formats[layout.member(of: index)].byteCount, "exception")
            var pattern: UInt64 = 0
            for (position, byte) in bytes.enumerated() { pattern |= UInt64(byte) << UInt64(8 * position) }
            result.append(ExceptionalElement(index: index, pattern: pattern))
        }
        guard reader.isAtEnd else { throw .malformed("frame is damaged: bytes after the exceptions") }
        return result
    }
}
