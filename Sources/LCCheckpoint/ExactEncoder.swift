import CKernels

// Writes an `exact` scope: see ExactPlanes.swift for what its planes are.

/// Appends an `exact` scope's payload and makes the reconstructions copies of the targets.
///
/// - Parameters:
///   - vector: of the same sources.
///   - isBase: the previous state doesn't matter.
func encodeExact(
    _ sources: [SectionSource], _ vector: ScopeVector, isBase: Bool, entropy: CodecSettings.Entropy,
    _ digests: SectionDigests, threads: Int, totals: inout ScopeTotals, into payload: inout ScopePayload
) {
    let runs = PlaneRun.split(
        sources.map { ($0.format.byteCount, $0.target.count / $0.format.byteCount) })
    for source in sources where source.format.isFloatingPoint { addNorm(source, vector.failure, &totals) }
    payload.head.append(varint: UInt64(runs.count))
    for (run, _) in runs {
        payload.head.append(UInt8(run.width))
        payload.head.append(varint: UInt64(run.elementCount))
    }
    for (index, (run, sections)) in runs.enumerated() {
        let own = sources[sections]
        let memory = RunMemory(
            layout: VectorLayout(own.map { ($0.format, $0.target.count / run.width) }), width: run.width,
            vector: vector, first: sections.lowerBound, isBase: isBase)
        let planes = encodePlanes(memory, entropy: entropy, threads: threads, totals: &totals)
        for (plane, stream) in planes.enumerated() {
            payload.append(stream, isLast: index == runs.count - 1 && plane == planes.count - 1)
        }
        let blocks = planeBlockSize.blocks(of: run.elementCount)
        inParallel(blocks, threads: threads) { block, _ in
            memory.copy(planeBlockSize.range(block, of: run.elementCount), digests)
        }
    }
}

/// The planes of a run, the most significant first.
private func encodePlanes(
    _ memory: RunMemory, entropy: CodecSettings.Entropy, threads: Int, totals: inout ScopeTotals
) -> [EncodedStream] {
    let count = memory.layout.count
    let blocks = planeBlockSize.blocks(of: count)
    let workers = max(1, min(threads, blocks))
    let scratches = (0..<workers).map { _ in PlaneScratch(count: min(count, planeBlockSize.count)) }
    let counts = planeCounts(memory, scratches, threads: threads)
    var plans: [StreamPlan] = []
    for plane in 0..<memory.width {
        totals.entropyBits += entropyBits(counts[plane])
        plans.append(planePlan(memory, plane, counts: counts[plane], entropy: entropy))
    }
    let bodies = Results(count: blocks, [[UInt8]](repeating: [], count: memory.width))
    inParallel(blocks, threads: threads) { block, worker in
        let scratch = scratches[worker]
        let range = planeBlockSize.range(block, of: count)
        let symbols = UnsafeMutableBufferPointer(rebasing: scratch.block.symbols[..<range.count])
        guard let first = symbols.baseAddress else { return }
        memory.words(range, into: scratch.words)
        for plane in (0..<memory.width).reversed() {
            ck_plane(scratch.words, range.count, UInt32(plane), first)
            var body: [UInt8] = []
            plans[plane].coder.encode(
                SymbolView(
                    UnsafeBufferPointer(symbols),
                    previous: plane == memory.width - 1 ? nil : .init(scratch.above)),
                scratch: scratch.block, into: &body)
            bodies.change(block) { $0[plane] = body }
            ck_clip(first, range.count, scratch.above)
        }
    }
    var streams: [EncodedStream] = []
    for plane in (0..<memory.width).reversed() {
        var stream = EncodedStream(
            coder: plans[plane].coder, blockSize: planeBlockSize, blocks: bodies.all.map { $0[plane] })
        if let huffman = plans[plane].huffman, stream.byteCount > plans[plane].mostBytes {
            // The sample misled: this plane is coded anew.
            stream.coder = .huffman(huffman)
            for block in 0..<blocks {
                let range = planeBlockSize.range(block, of: count)
                memory.words(range, into: scratches[0].words)
                let symbols = UnsafeMutableBufferPointer(rebasing: scratches[0].block.symbols[..<range.count])
                guard let first = symbols.baseAddress else { continue }
                ck_plane(scratches[0].words, range.count, UInt32(plane), first)
                stream.blocks[block] = []
                huffman.encode(UnsafeBufferPointer(symbols), into: &stream.blocks[block])
            }
        }
        streams.append(stream)
    }
    return streams
}

/// Elements up to which planes are coded only to know what they take.
private let trialCount = 1 << 16

/// The bits that a vector's delta takes bit for bit; of a large one the planes' order-0 entropies, which is about as many.
func exactBits(_ vector: ScopeVector, threads: Int) -> Double {
    let layout = vector.layout
    let sizes = layout.formats.indices.map { layout.starts[$0 + 1] - layout.starts[$0] }
    var bits = 0.0
    for (run, sections) in PlaneRun.split(zip(layout.formats, sizes).map { ($0.byteCount, $1) }) {
        let memory = RunMemory(
            layout: VectorLayout(sections.map { (layout.formats[$0], sizes[$0]) }), width: run.width,
            vector: vector, first: sections.lowerBound, isBase: false)
        if layout.count <= trialCount {
            var totals = ScopeTotals()
            let planes = encodePlanes(memory, entropy: .best, threads: threads, totals: &totals)
            bits += planes.reduce(0) { $0 + 8 * Double($1.byteCount) }
        } else {
            let workers = max(1, min(threads, planeBlockSize.blocks(of: run.elementCount)))
            let scratches = (0..<workers).map { _ in
                PlaneScratch(count: min(run.elementCount, planeBlockSize.count))
            }
            for counts in planeCounts(memory, scratches, threads: threads) { bits += entropyBits(counts) }
        }
    }
    return bits
}

/// Counts of every plane's symbols.
private func planeCounts(_ memory: RunMemory, _ scratches: [PlaneScratch], threads: Int) -> [[Int]] {
    let count = memory.layout.count
    let sums = Results(count: scratches.count, [Int](repeating: 0, count: 256 * memory.width))
    inParallel(planeBlockSize.blocks(of: count), threads: threads) { block, worker in
        let range = planeBlockSize.range(block, of: count)
        let scratch = scratches[worker]
        guard let first = scratch.block.symbols.baseAddress else { return }
        memory.words(range, into: scratch.words)
        sums.change(worker) { sums in
            sums.withUnsafeMutableBufferPointer { sums in
                guard let tallies = sums.baseAddress else { return }
                for plane in 0..<memory.width {
                    ck_plane(scratch.words, range.count, UInt32(plane), first)
                    ck_count(first, range.count, tallies + 256 * plane)
                }
            }
        }
    }
    var sum = sums[0]
    for worker in 1..<scratches.count {
        for (index, count) in sums[worker].enumerated() { sum[index] += count }
    }
    return (0..<memory.width).map { Array(sum[256 * $0..<256 * ($0 + 1)]) }
}

/// Learns a plane from pieces of the run.
private func planePlan(
    _ memory: RunMemory, _ plane: Int, counts: [Int], entropy: CodecSettings.Entropy
) -> StreamPlan {
    let count = memory.layout.count
    let piece = 4096
    let step = max(piece, count / 64)
    var ranges: [Range<Int>] = []
    for start in stride(from: 0, to: count, by: step) { ranges.append(start..<min(start + piece, count)) }
    let total = ranges.reduce(0) { $0 + $1.count }
    let scratch = PlaneScratch(count: max(total, 1))
    var next = 0
    for range in ranges {
        memory.words(range, into: scratch.words + next)
        next += range.count
    }
    guard let first = scratch.block.symbols.baseAddress else { preconditionFailure("scratch has memory") }
    let isTop = plane == memory.width - 1
    if !isTop {
        ck_plane(scratch.words, total, UInt32(plane + 1), first)
        ck_clip(first, total, scratch.above)
    }
    ck_plane(scratch.words, total, UInt32(plane), first)
    return StreamPlan(
        sample: SymbolView(
            UnsafeBufferPointer(start: first, count: total), previous: isTop ? nil : .init(scratch.above)),
        isComplete: total == count, counts: counts, entropy: entropy, blockSize: planeBlockSize)
}
