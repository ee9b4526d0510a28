import CKernels

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
                guard stream.bodies.isEmpty || stream.blockSize == planeBlockSize,
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
                let first = (wanted.lowerBound - start) >> planeBlockSize.log2
                let last = (wanted.upperBound - start - 1) >> planeBlockSize.log2
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
            PlaneScratch(count: min(count, planeBlockSize.count))
        }
        let failures = Results<CodecError?>(count: blocks.count, nil)
        let planes = planes.map { StreamDecoder($0) }
        inParallel(blocks.count, threads: threads) { index, worker in
            let scratch = scratches[worker]
            let range = planeBlockSize.range(blocks.lowerBound + index, of: count)
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
