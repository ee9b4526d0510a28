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
let planeBlockSize = BlockSize(symbols: 0, estimatedBytes: 0)

/// What a worker needs beside its scratch.
final class PlaneScratch {
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
struct RunMemory {
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
