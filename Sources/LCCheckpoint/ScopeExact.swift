import CKernels

// A scope carried bit for bit. Consecutive sections of one element width form a run. Each element is a word: for a
// base its bits, for a delta the zigzag of its bits' difference from the previous ones. A word's bytes go to planes,
// each a stream of symbols whose contexts see the plane above it.

/// Sections next to each other whose elements are equally wide.
struct PlaneRun: Hashable, Sendable {
    var width: Int
    var elementCount: Int

    /// The runs, and the sections of each.
    static func split(
        _ sections: [(width: Int, elementCount: Int)]
    ) -> [(run: PlaneRun, sections: Range<Int>)] {
        var runs: [(run: PlaneRun, sections: Range<Int>)] = []
        for (index, section) in sections.enumerated() {
            if let last = runs.last, last.run.width == section.width {
                runs[runs.count - 1].run.elementCount += section.elementCount
                runs[runs.count - 1].sections = last.sections.lowerBound..<(index + 1)
            } else {
                runs.append(
                    (PlaneRun(width: section.width, elementCount: section.elementCount), index..<(index + 1)))
            }
        }
        return runs
    }
}

/// All planes of a run are cut into these blocks.
private let blockSize = BlockSize(symbols: 0, estimatedBytes: 0)

/// What a worker needs beside its scratch.
private final class PlaneScratch {
    let block: BlockScratch
    let words: UnsafeMutablePointer<UInt64>
    let above: UnsafeMutablePointer<UInt8>

    init(count: Int) {
        block = BlockScratch(count: count)
        words = .allocate(capacity: count)
        above = .allocate(capacity: count)
    }

    deinit {
        words.deallocate()
        above.deallocate()
    }
}

/// The sections of a run.
private struct RunMemory {
    let layout: VectorLayout
    let width: Int
    /// All sections of the scope, and where the run's begin.
    let vector: ScopeVector
    let first: Int
    let isBase: Bool

    private func place(_ part: VectorPart) -> Range<Int> {
        (part.elements.lowerBound * width)..<(part.elements.upperBound * width)
    }

    /// The words of some elements.
    func words(_ range: Range<Int>, into words: UnsafeMutablePointer<UInt64>) {
        for part in layout.parts(of: range) {
            let member = first + part.member
            vector.withTarget(member, place(part)) { target in
                if isBase {
                    ck_exact_words(target, nil, part.elements.count, width, words + part.offset)
                } else {
                    vector.withState(member, place(part)) { previous in
                        ck_exact_words(
                            target, .init(previous), part.elements.count, width, words + part.offset)
                    }
                }
            }
        }
    }

    /// Makes some elements of the reconstructions what their targets are.
    func copy(_ range: Range<Int>, _ digests: SectionDigests) {
        for part in layout.parts(of: range) {
            let (member, place) = (first + part.member, place(part))
            vector.withTarget(member, place) { target in
                vector.replace(member, place, with: target, digests)
            }
        }
    }

    func restore(_ range: Range<Int>, from words: UnsafePointer<UInt64>, _ digests: SectionDigests?) {
        for part in layout.parts(of: range) {
            let (member, place) = (first + part.member, place(part))
            vector.withState(member, place) { bytes in
                ck_exact_restore(words + part.offset, isBase, part.elements.count, width, bytes)
                vector.handOn(
                    member, place, UnsafeRawBufferPointer(start: bytes, count: place.count), digests)
            }
        }
    }
}

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
        let blocks = blockSize.blocks(of: run.elementCount)
        inParallel(blocks, threads: threads) { block, _ in
            memory.copy(blockSize.range(block, of: run.elementCount), digests)
        }
    }
}

/// The planes of a run, the most significant first.
private func encodePlanes(
    _ memory: RunMemory, entropy: CodecSettings.Entropy, threads: Int, totals: inout ScopeTotals
) -> [EncodedStream] {
    let count = memory.layout.count
    let blocks = blockSize.blocks(of: count)
    let workers = max(1, min(threads, blocks))
    let scratches = (0..<workers).map { _ in PlaneScratch(count: min(count, blockSize.count)) }
    let counts = planeCounts(memory, scratches, threads: threads)
    var plans: [StreamPlan] = []
    for plane in 0..<memory.width {
        totals.entropyBits += entropyBits(counts[plane])
        plans.append(planePlan(memory, plane, counts: counts[plane], entropy: entropy))
    }
    let bodies = Results(count: blocks, [[UInt8]](repeating: [], count: memory.width))
    inParallel(blocks, threads: threads) { block, worker in
        let scratch = scratches[worker]
        let range = blockSize.range(block, of: count)
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
            coder: plans[plane].coder, blockSize: blockSize, blocks: bodies.all.map { $0[plane] })
        if let huffman = plans[plane].huffman, stream.byteCount > plans[plane].mostBytes {
            // The sample misled: this plane is coded anew.
            stream.coder = .huffman(huffman)
            for block in 0..<blocks {
                let range = blockSize.range(block, of: count)
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
            let workers = max(1, min(threads, blockSize.blocks(of: run.elementCount)))
            let scratches = (0..<workers).map { _ in
                PlaneScratch(count: min(run.elementCount, blockSize.count))
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
    inParallel(blockSize.blocks(of: count), threads: threads) { block, worker in
        let range = blockSize.range(block, of: count)
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
        isComplete: total == count, counts: counts, entropy: entropy, blockSize: blockSize)
}

/// ‖u − v‖ / ‖u‖ over the scope, where v is u in binary32, and a little more for the arithmetic; 0 without binary64.
func narrowingError(_ sources: [SectionSource], _ vector: ScopeVector) -> Double {
    guard sources.contains(where: { $0.format == .float64 }) else { return 0 }
    var totals = ScopeTotals()
    var isZero = true
    let piece = 1 << 16
    for (member, source) in sources.enumerated() {
        guard source.format == .float64 else {
            addNorm(source, vector.failure, &totals)
            continue
        }
        for start in stride(from: 0, to: source.target.count, by: 8 * piece) {
            let place = start..<min(start + 8 * piece, source.target.count)
            vector.withTarget(member, place) { bytes in
                let raw = UnsafeRawPointer(bytes)
                for offset in stride(from: 0, to: place.count, by: 8) {
                    let bits = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    let value = Double(bitPattern: UInt64(littleEndian: bits))
                    // Beyond binary32 an element is carried as it is.
                    guard Float(value).isFinite else { continue }
                    if value != 0 { isZero = false }
                    let miss = value - Double(Float(value))
                    totals.error += miss * miss
                    totals.norm += value * value
                }
            }
        }
    }
    // Squares of the smallest numbers are nothing: such a scope is carried bit for bit.
    guard totals.norm > 1e-290 else { return isZero ? 0 : 1 }
    return (totals.error / totals.norm).squareRoot() + 1e-9
}

/// Adds ‖u‖² of a floating section, whose error is nothing.
private func addNorm(_ source: SectionSource, _ failure: StreamFailure, _ totals: inout ScopeTotals) {
    let vector = ScopeVector([source], failure: failure)
    let piece = min(1 << 16, max(vector.layout.count, 1))
    let room = UnsafeMutablePointer<Float>.allocate(capacity: piece)
    defer { room.deallocate() }
    for start in stride(from: 0, to: vector.layout.count, by: piece) {
        let range = start..<min(start + piece, vector.layout.count)
        let target = vector.target(range, room)
        let norm = ck_deltas(target, target, range.count, nil).norm
        if norm.isFinite {
            totals.norm += norm
        } else {
            for index in 0..<range.count where target[index].isFinite {
                totals.norm += Double(target[index]) * Double(target[index])
            }
        }
    }
}

/// An `exact` scope whose heads were read.
struct ExactScope: Sendable {
    var runs: [PlaneRun] = []
    /// For each run its planes, the most significant first.
    var planes: [[SymbolStream]] = []

    init() {}

    /// - Parameter end: where in the frame the reader's bytes end.
    init(_ reader: inout ByteReader, elementCount: Int, end: Int) throws(CodecError) {
        var elements = 0
        for _ in 0..<(try reader.count("run count", atMost: reader.rest.count)) {
            let width = Int(try reader.byte("element width"))
            guard [1, 2, 4, 8].contains(width), width != runs.last?.width else {
                throw .malformed("frame is damaged: a run of elements of \(width) bytes")
            }
            let count = try reader.count("run length", atMost: elementCount - elements)
            runs.append(PlaneRun(width: width, elementCount: count))
            elements += count
        }
        guard elements == elementCount else {
            throw .malformed("frame is damaged: runs of \(elements) elements in a scope of \(elementCount)")
        }
        for (index, run) in runs.enumerated() {
            var streams: [SymbolStream] = []
            for plane in 0..<run.width {
                let stream = try SymbolStream(
                    &reader, alphabet: 256, symbolCount: run.elementCount,
                    isLast: index == runs.count - 1 && plane == run.width - 1, end: end)
                guard stream.bodies.isEmpty || stream.blockSize == blockSize,
                    !stream.usesPrevious || !streams.isEmpty
                else { throw .malformed("frame is damaged: a plane in blocks that can't be") }
                streams.append(stream)
            }
            planes.append(streams)
        }
    }

    /// Decodes the elements of `elements` on top of the previous reconstructions, or over them for a base.
    func apply(
        to members: [ScopeMember], of frame: UnsafeRawBufferPointer, isBase: Bool, elements: Range<Int>,
        digests: SectionDigests?, threads: Int
    ) throws(CodecError) {
        let split = PlaneRun.split(members.map { ($0.format.byteCount, $0.elementCount) })
        guard split.map(\.run) == runs else {
            throw .malformed("frame is damaged: its runs aren't those of its sections")
        }
        let vector = ScopeVector(members)
        var start = 0
        for (index, (run, sections)) in split.enumerated() {
            let own = members[sections]
            let memory = RunMemory(
                layout: VectorLayout(own.map { ($0.format, $0.elementCount) }), width: run.width,
                vector: vector, first: sections.lowerBound, isBase: isBase)
            let wanted = elements.clamped(to: start..<(start + run.elementCount))
            if !wanted.isEmpty {
                let first = (wanted.lowerBound - start) >> blockSize.log2
                let last = (wanted.upperBound - start - 1) >> blockSize.log2
                try decode(
                    planes[index], memory, of: frame, blocks: first..<(last + 1), digests, threads: threads)
            }
            start += run.elementCount
        }
        try vector.failure.check()
    }

    private func decode(
        _ planes: [SymbolStream], _ memory: RunMemory, of frame: UnsafeRawBufferPointer, blocks: Range<Int>,
        _ digests: SectionDigests?, threads: Int
    ) throws(CodecError) {
        let count = memory.layout.count
        let scratches = (0..<max(1, min(threads, blocks.count))).map { _ in
            PlaneScratch(count: min(count, blockSize.count))
        }
        let failures = Results<CodecError?>(count: blocks.count, nil)
        let planes = planes.map { StreamDecoder($0) }
        inParallel(blocks.count, threads: threads) { index, worker in
            let scratch = scratches[worker]
            let range = blockSize.range(blocks.lowerBound + index, of: count)
            let symbols = UnsafeMutableBufferPointer(rebasing: scratch.block.symbols[..<range.count])
            guard let first = symbols.baseAddress else { return }
            scratch.words.update(repeating: 0, count: range.count)
            for (place, plane) in planes.enumerated() {
                do throws(CodecError) {
                    try plane.decode(
                        block: blocks.lowerBound + index, of: frame, previous: .init(scratch.above),
                        scratch: scratch.block, into: symbols)
                } catch {
                    failures[index] = error
                    return
                }
                ck_add_plane(first, range.count, UInt32(planes.count - 1 - place), scratch.words)
                ck_clip(first, range.count, scratch.above)
            }
            memory.restore(range, from: scratch.words, digests)
        }
        for index in 0..<blocks.count { if let failure = failures[index] { throw failure } }
    }
}
