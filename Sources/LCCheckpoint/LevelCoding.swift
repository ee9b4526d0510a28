// How the levels of a scope are coded: with mixed contexts, which take the least where streams are short or change as they go, or
// with tables, which take a fraction of the time.

/// Elements below which time doesn't matter.
private let patientCount = 1 << 20

/// - Parameters:
///   - counts: of every symbol.
///   - previous: the previous frame's symbols.
func encodeLevels(
    _ symbols: UnsafeBufferPointer<UInt16>, counts: [Int], previous: UnsafePointer<UInt8>?, threads: Int
) -> EncodedStream {
    var blockSize = BlockSize(symbols: symbols.count, estimatedBytes: 0)
    blockSize.log2 = min(blockSize.log2, BlockSize.mixedLog2)
    guard counts.count > 1 else {
        return EncodedStream(coder: .constant(0), blockSize: blockSize, blocks: [])
    }
    let mixed = BlockCoder.mixed(usesPrevious: previous != nil)
    if symbols.count > patientCount, counts.count <= maximumAlphabet {
        let plan = sampledPlan(symbols, counts: counts, previous: previous)
        if !isSmaller(mixed, than: plan.coder, for: symbols, previous: previous, threads: threads) {
            let stream = encodeBlocks(
                symbols, plan.coder, plan.blockSize, previous: previous, threads: threads)
            guard let huffman = plan.huffman, stream.byteCount > plan.mostBytes else { return stream }
            // The sample misled.
            return encodeBlocks(symbols, .huffman(huffman), plan.blockSize, previous: nil, threads: threads)
        }
    }
    return encodeBlocks(symbols, mixed, blockSize, previous: previous, threads: threads)
}

/// A plan that is learnt from an eighth of the symbols, evenly spread.
private func sampledPlan(
    _ symbols: UnsafeBufferPointer<UInt16>, counts: [Int], previous: UnsafePointer<UInt8>?
) -> StreamPlan {
    let piece = 4096
    let starts = Array(stride(from: 0, to: symbols.count - piece, by: 8 * piece))
    let sample = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: starts.count * piece)
    let above = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: previous == nil ? 0 : sample.count)
    defer {
        sample.deallocate()
        above.deallocate()
    }
    for (index, start) in starts.enumerated() {
        for place in 0..<piece { sample[index * piece + place] = symbols[start + place] }
        guard let previous else { continue }
        for place in 0..<piece { above[index * piece + place] = previous[start + place] }
    }
    return StreamPlan(
        sample: UnsafeBufferPointer(sample),
        previous: previous == nil ? nil : above.baseAddress.map { .init($0) },
        isComplete: false, counts: counts, entropy: .best)
}

/// Whether a coder takes clearly less than another, by one block in sixteen; by two of these, a third and two thirds of the
/// way, where they leave no doubt.
private func isSmaller(
    _ coder: BlockCoder, than other: BlockCoder, for symbols: UnsafeBufferPointer<UInt16>,
    previous: UnsafePointer<UInt8>?, threads: Int
) -> Bool {
    let size = 1 << BlockSize.mixedLog2
    let starts = Array(stride(from: size, to: symbols.count - size + 1, by: 16 * size))
    let sizes = Results(count: starts.count, (0, 0))
    func share(of blocks: [Int]) -> Double {
        inParallel(blocks.count, threads: threads) { index, _ in
            let start = starts[blocks[index]]
            let block = UnsafeBufferPointer(rebasing: symbols[start..<(start + size)])
            let above = previous.map { $0 + start }
            let scratch = BlockScratch(count: size)
            var (one, two): ([UInt8], [UInt8]) = ([], [])
            coder.encode(block, previous: above, scratch: scratch, into: &one)
            other.encode(block, previous: above, scratch: scratch, into: &two)
            sizes[blocks[index]] = (one.count, two.count)
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
