/// Digests of a vector's sections, taken piece by piece while what was written is still in a core's cache.
final class SectionDigests {
    /// Sections above this are hashed by pieces of it, so that several cores can share the work.
    static let pieceBytes = 1 << 18

    private struct Piece {
        var bytes: UnsafeRawBufferPointer
        /// Within the vector.
        var elements: Range<Int>
    }

    /// In the order of the elements, with the first of each section.
    private let pieces: [Piece]
    private let firsts: [Int]
    private let digests: Results<Digest?>

    init(_ sections: [(format: ElementFormat, bytes: UnsafeRawBufferPointer)]) {
        var pieces: [Piece] = []
        var firsts: [Int] = []
        var element = 0
        for section in sections {
            firsts.append(pieces.count)
            var start = 0
            repeat {
                let end = min(start + SectionDigests.pieceBytes, section.bytes.count)
                let count = (end - start) / section.format.byteCount
                pieces.append(
                    Piece(
                        bytes: UnsafeRawBufferPointer(rebasing: section.bytes[start..<end]),
                        elements: element..<(element + count)))
                element += count
                start = end
            } while start < section.bytes.count
        }
        firsts.append(pieces.count)
        self.pieces = pieces
        self.firsts = firsts
        digests = Results(count: pieces.count, nil)
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

    /// Digests the pieces from `next` on that end at an element or before it: their bytes won't change any more.
    ///
    /// Different threads may do this for pieces of their own.
    func digest(from next: inout Int, upTo element: Int) {
        while next < pieces.count, pieces[next].elements.upperBound <= element {
            // One of no elements between two blocks would be both's.
            if !pieces[next].elements.isEmpty { digests[next] = Digest.of(pieces[next].bytes) }
            next += 1
        }
    }

    /// The digest of a section; pieces that aren't digested yet are.
    func digest(ofSection section: Int, threads: Int) -> Digest {
        let range = firsts[section]..<firsts[section + 1]
        let missing = range.filter { digests[$0] == nil }
        inParallel(missing.count, threads: threads) { index, _ in
            digests[missing[index]] = Digest.of(pieces[missing[index]].bytes)
        }
        let all = range.compactMap { digests[$0] }
        guard all.count > 1 else { return all[0] }
        var record: [UInt8] = []
        for digest in all { record.append(digest: digest) }
        return record.withUnsafeBytes { Digest.of($0) }
    }
}
