import Synchronization

/// Digests of a vector's sections, taken piece by piece while what was written is still in a core's cache.
final class SectionDigests {
    /// Sections above this are hashed by pieces of it, so that several cores can share the work.
    static let pieceBytes = 1 << 18

    private struct Piece {
        /// Nil where memory doesn't hold the section: its bytes are fed.
        var bytes: UnsafeRawBufferPointer?
        /// Within the section.
        var place: Range<Int>
        /// Within the vector.
        var elements: Range<Int>
    }

    /// In the order of the elements, with the first of each section.
    private let pieces: [Piece]
    private let firsts: [Int]
    private let digests: Results<Digest?>
    private let partial = Mutex(PartialPieces())

    init(_ sections: [(format: ElementFormat, bytes: SectionBytes)]) {
        var pieces: [Piece] = []
        var firsts: [Int] = []
        var element = 0
        for section in sections {
            firsts.append(pieces.count)
            var start = 0
            repeat {
                let end = min(start + SectionDigests.pieceBytes, section.bytes.count)
                let count = (end - start) / section.format.byteCount
                var bytes: UnsafeRawBufferPointer?
                if case .memory(let memory) = section.bytes {
                    bytes = UnsafeRawBufferPointer(rebasing: memory[start..<end])
                }
                pieces.append(
                    Piece(bytes: bytes, place: start..<end, elements: element..<(element + count)))
                element += count
                start = end
            } while start < section.bytes.count
        }
        firsts.append(pieces.count)
        self.pieces = pieces
        self.firsts = firsts
        digests = Results(count: pieces.count, nil)
    }

    convenience init(_ sections: [(format: ElementFormat, state: SectionState)]) {
        self.init(sections.map { ($0.format, $0.state.bytes) })
    }

    /// The first piece that begins at an element or after it.
    func piece(from element: Int) -> Int {
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].elements.lowerBound < element { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Digests the pieces in memory from `next` on that end at an element or before it: their bytes won't change any more.
    ///
    /// Different threads may do this for pieces of their own.
    func digest(from next: inout Int, upTo element: Int) {
        while next < pieces.count, pieces[next].elements.upperBound <= element {
            // One of no elements between two blocks would be both's.
            if !pieces[next].elements.isEmpty, let bytes = pieces[next].bytes {
                digests[next] = Digest.of(bytes)
            }
            next += 1
        }
    }

    /// Takes bytes of a section that memory doesn't hold: each once, in any order, from any thread.
    func feed(section: Int, at offset: Int, _ bytes: UnsafeRawBufferPointer) {
        var start = 0
        while start < bytes.count {
            let index = firsts[section] + (offset + start) / SectionDigests.pieceBytes
            let place = pieces[index].place
            let end = min(bytes.count, place.upperBound - offset)
            let part = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            if part.count == place.count {
                digests[index] = Digest.of(part)
            } else {
                let isWhole = partial.withLock {
                    $0.add(part, at: offset + start - place.lowerBound, to: index, of: place.count)
                }
                if let isWhole {
                    digests[index] = Digest.of(
                        UnsafeRawBufferPointer(rebasing: isWhole.bytes[..<place.count]))
                    partial.withLock { $0.spare.append(isWhole) }
                }
            }
            start = end
        }
    }

    /// The digest of a section; pieces in memory that aren't digested yet are.
    ///
    /// - Precondition: what isn't in memory was fed.
    func digest(ofSection section: Int, threads: Int) -> Digest {
        let range = firsts[section]..<firsts[section + 1]
        let missing = range.filter { digests[$0] == nil }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        inParallel(missing.count, threads: threads) { index, _ in
            digests[missing[index]] = Digest.of(pieces[missing[index]].bytes ?? empty)
        }
        let all = range.compactMap { digests[$0] }
        guard all.count > 1 else { return all[0] }
        var record: [UInt8] = []
        for digest in all { record.append(digest: digest) }
        return record.withUnsafeBytes { Digest.of($0) }
    }
}

/// Pieces of which a part is there: where work is divided differently than digests are.
private struct PartialPieces {
    /// A piece's bytes so far, in memory that is used again.
    final class Buffer: @unchecked Sendable {
        let bytes = UnsafeMutableRawBufferPointer.allocate(
            byteCount: SectionDigests.pieceBytes, alignment: 64)
        var filled = 0
        deinit { bytes.deallocate() }
    }

    private var open: [Int: Buffer] = [:]
    var spare: [Buffer] = []

    /// Returns the piece's bytes once all are there.
    mutating func add(_ part: UnsafeRawBufferPointer, at offset: Int, to piece: Int, of count: Int) -> Buffer?
    {
        let buffer = open[piece] ?? spare.popLast() ?? Buffer()
        if open[piece] == nil {
            buffer.filled = 0
            open[piece] = buffer
        }
        UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[offset...]).copyMemory(from: part)
        buffer.filled += part.count
        guard buffer.filled == count else { return nil }
        open[piece] = nil
        return buffer
    }
}
