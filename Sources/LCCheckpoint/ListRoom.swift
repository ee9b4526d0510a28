import CKernels

/// Memory for lists of deltas, each as long as it turns out to be: chunks that are filled one after another.
///
/// Chunks of full size are kept for the next vector. New memory has to be cleared by the system first, page by page, which takes
/// as long as half of the listing.
final class ListRoom {
    private static let fullBytes = Int(CK_LARGE_PAGE)
    private static let deltaBytes = MemoryLayout<UInt32>.stride * 2 + MemoryLayout<Float>.stride

    /// In each chunk: the places, then the deltas, then the targets.
    private var chunks: [UnsafeMutableRawPointer] = []
    private let chunkBytes: Int
    private var used = 0

    private var capacity: Int { chunkBytes / ListRoom.deltaBytes }

    /// - Parameter count: deltas that there may be in all.
    init(count: Int) { chunkBytes = min(ListRoom.fullBytes, max(1, count) * ListRoom.deltaBytes) }

    /// An empty list with room for `count` deltas. Until they are taken, it is the same memory each time.
    func list(_ count: Int) -> ck_few {
        precondition(count <= capacity, "a piece's deltas fit a chunk")
        if chunks.isEmpty || used + count > capacity {
            let isFull = chunkBytes == ListRoom.fullBytes
            guard let memory = isFull ? ck_take_large_page() : ck_allocate(chunkBytes) else {
                fatalError("no memory for \(chunkBytes) bytes of deltas")
            }
            chunks.append(memory)
            used = 0
        }
        let chunk = chunks[chunks.count - 1]
        let places = chunk.assumingMemoryBound(to: UInt32.self) + used
        let targets = chunk.assumingMemoryBound(to: Float.self) + 2 * capacity + used
        return ck_few(
            places: places, deltas: places + capacity, targets: targets, count: 0, sums: ck_sums(),
            has_negative_zero: false)
    }

    /// Keeps the first deltas of the list that was given last.
    func take(_ count: Int) { used += count }

    deinit {
        for chunk in chunks {
            if chunkBytes == ListRoom.fullBytes { ck_give_large_page(chunk) } else { ck_free(chunk) }
        }
    }
}
