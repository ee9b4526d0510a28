import CKernels

/// How passes over a vector are cut, so that a core's cache holds what they work on.
enum Pieces {
    /// Elements of a piece.
    static let count = Int(CK_PIECE)

    /// Pieces of a vector.
    static func total(of elements: Int) -> Int { (elements + count - 1) / count }

    /// The elements of a piece.
    static func range(_ piece: Int, of elements: Int) -> Range<Int> {
        (piece * count)..<min((piece + 1) * count, elements)
    }

    /// Each piece once: an eighth, an eighth, a quarter and a half of them, evenly spread.
    static func waves(_ pieces: Int) -> [[Int]] {
        guard pieces >= 32 else { return [Array(0..<pieces)] }
        return [(0, 8), (4, 8), (2, 4), (1, 2)].map { start, step in
            Array(stride(from: start, to: pieces, by: step))
        }
    }
}
