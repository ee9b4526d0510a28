import CKernels

/// A quantized scope whose head was read.
struct QuantizedScope: Sendable {
    /// What its symbols stand for.
    enum Values: Sendable {
        case buckets(BucketValues)
        case levels(UniformHead)

        var alphabet: Int {
            switch self {
            case .buckets(let buckets): buckets.values.count
            case .levels(let head): head.alphabet
            }
        }
    }

    let head: Values
    var exceptionCount: Int
    /// The exceptions' bytes, within the frame.
    var exceptions: Range<Int>
    var stream: SymbolStream

    /// - Parameter end: where in the frame the reader's bytes end.
    init(
        _ reader: inout ByteReader, _ head: Values, hasExceptions: Bool, elementCount: Int, end: Int
    ) throws(CodecError) {
        self.head = head
        exceptionCount = 0
        exceptions = 0..<0
        if hasExceptions {
            // Each takes two bytes or more, so the payload bounds what is allocated.
            exceptionCount = try reader.count("exception count", atMost: min(elementCount, reader.rest.count))
            guard exceptionCount > 0 else {
                throw .malformed("frame is damaged: no exceptions where some should be")
            }
            let length = try reader.count("exceptions", atMost: reader.rest.count)
            let start = end - reader.rest.count
            _ = try reader.bytes(length, "exceptions")
            exceptions = start..<(start + length)
        }
        stream = try SymbolStream(
            &reader, alphabet: head.alphabet, symbolCount: elementCount, isLast: true, end: end)
    }

    /// Value by symbol. Many levels take much more memory than what they are told by: they are computed when they are needed.
    var values: [Float] {
        switch head {
        case .buckets(let buckets): buckets.values
        case .levels(let head): head.table
        }
    }

    /// Values are of the elements' square roots.
    var isRoot: Bool {
        if case .levels(let head) = head { return head.isRoot }
        return false
    }

    /// Adds the values of the blocks in `blocks` to the reconstruction, and sets their exceptions.
    ///
    /// - Parameters:
    ///   - previous: the previous frame's symbols of the whole scope.
    ///   - history: where this frame's are left; zeros before.
    ///   - digests: of the sections, if all blocks are wanted.
    func apply(
        to vector: ScopeVector, of frame: UnsafeRawBufferPointer, blocks: Range<Int>,
        previous: UnsafePointer<UInt8>?, history: UnsafeMutablePointer<UInt8>?, digests: SectionDigests?,
        threads: Int
    ) throws(CodecError) {
        let count = vector.layout.count
        let patches = try readExceptions(frame, vector.layout)
        let size = min(stream.blockSize.count, count)
        let scratches = (0..<max(1, min(threads, blocks.count))).map { _ in BlockScratch(count: size) }
        let failures = Results<CodecError?>(count: blocks.count, nil)
        let (decoder, values) = (StreamDecoder(stream), values)
        inParallel(blocks.count, threads: threads) { index, worker in
            let block = blocks.lowerBound + index
            let range = stream.blockSize.range(block, of: count)
            let own = BlockTask(
                decoder: decoder, values: values, vector: vector, range: range, history: history,
                patches: patches,
                digests: digests, scratch: scratches[worker])
            do throws(CodecError) {
                try own.apply(block: block, of: frame, previous: previous.map { $0 + range.lowerBound })
            } catch {
                failures[index] = error
            }
        }
        for index in 0..<blocks.count { if let failure = failures[index] { throw failure } }
        try vector.failure.check()
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

/// One block that is decoded and applied.
private struct BlockTask {
    let decoder: StreamDecoder
    let values: [Float]
    let vector: ScopeVector
    let range: Range<Int>
    let history: UnsafeMutablePointer<UInt8>?
    /// All exceptions, in order.
    let patches: [ExceptionalElement]
    let digests: SectionDigests?
    let scratch: BlockScratch

    func apply(
        block: Int, of frame: UnsafeRawBufferPointer, previous: UnsafePointer<UInt8>?
    ) throws(CodecError) {
        if let found = try decoder.decodeList(
            block: block, of: frame, count: range.count, previous: previous, scratch: scratch)
        {
            return apply(found)
        }
        let symbols = UnsafeMutableBufferPointer(rebasing: scratch.symbols[..<range.count])
        try decoder.decode(
            block: block, of: frame, previous: previous, scratch: scratch, into: symbols)
        guard let first = symbols.baseAddress else { return }
        if let history { ck_clip(first, range.count, history + range.lowerBound) }
        byPieces { piece, restored in
            // Every coder yields symbols of its alphabet alone.
            ck_apply(
                first + (piece.lowerBound - range.lowerBound), piece.count, values,
                UInt32(values.count), restored)
        }
    }

    /// Applies a block of which only what isn't zero is listed.
    private func apply(_ found: SymbolList) {
        if let history {
            for index in 0..<found.count {
                history[range.lowerBound + Int(found.places[index])] = UInt8(min(255, found.symbols[index]))
            }
        }
        var done = 0
        byPieces { piece, restored in
            ck_add_zero(restored, piece.count)
            done += ck_apply_few(
                found.places + done, found.symbols + done, found.count - done,
                piece.lowerBound - range.lowerBound, piece.upperBound - range.lowerBound, values,
                restored)
        }
    }

    /// Changes the reconstruction by pieces that a core's cache holds, and digests it on the way.
    private func byPieces(_ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void) {
        var next = digests?.piece(from: range.lowerBound) ?? 0
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Pieces.count) {
            let piece = start..<min(start + Pieces.count, range.upperBound)
            let (restored, isDirect) = vector.reconstruction(piece, scratch.floats(piece.count))
            body(piece, restored)
            if !isDirect { vector.round(piece, restored) }
            vector.store(
                piece, restored, isDirect: isDirect, exceptions: patches.within(piece), digests: digests)
            digests?.digest(from: &next, upTo: piece.upperBound)
        }
    }
}

extension RandomAccessCollection where Element == ExceptionalElement, Index == Int {
    /// Those in a range, of exceptions that are in order.
    func within(_ range: Range<Int>) -> SubSequence {
        func first(from index: Int) -> Int {
            var (low, high) = (startIndex, endIndex)
            while low < high {
                let middle = (low + high) / 2
                if self[middle].index < index { low = middle + 1 } else { high = middle }
            }
            return low
        }
        return self[first(from: range.lowerBound)..<first(from: range.upperBound)]
    }
}
