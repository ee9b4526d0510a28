import CKernels

/// Memory for lists of deltas, each as long as it turns out to be: chunks that are filled one after another.
///
/// Chunks of full size are kept for the next vector. New memory has to be cleared by the system first, page by page, which takes
/// as long as half of the listing.
final class ListRoom {
    private static let fullBytes = Int(CK_LARGE_PAGE)
    private static let deltaBytes = MemoryLayout<UInt32>.stride * 2 + MemoryLayout<Float>.stride
    private static let groupBytes =
        Int(CK_LOUD_GROUP) * (2 * MemoryLayout<Float>.stride + MemoryLayout<UInt16>.stride)
        + MemoryLayout<UInt32>.stride

    /// In each chunk: the places, then the deltas, then the targets; or likewise what groups have.
    private var chunks: [UnsafeMutableRawPointer] = []
    private let chunkBytes: Int
    private let entryBytes: Int
    private var used = 0

    private var capacity: Int { chunkBytes / entryBytes }

    /// - Parameter count: deltas that there may be in all.
    convenience init(count: Int) { self.init(count, of: ListRoom.deltaBytes) }

    /// For groups of neighbours.
    convenience init(groups: Int) { self.init(groups, of: ListRoom.groupBytes) }

    private init(_ count: Int, of bytes: Int) {
        entryBytes = bytes
        chunkBytes = min(ListRoom.fullBytes, max(1, count) * bytes)
    }

    /// The chunk that has room for `count` entries.
    private func chunk(_ count: Int) -> UnsafeMutableRawPointer {
        precondition(count <= capacity, "a piece's entries fit a chunk")
        if chunks.isEmpty || used + count > capacity {
            let isFull = chunkBytes == ListRoom.fullBytes
            guard let memory = isFull ? ck_take_large_page() : ck_allocate(chunkBytes) else {
                fatalError("no memory for \(chunkBytes) bytes of lists")
            }
            chunks.append(memory)
            used = 0
        }
        return chunks[chunks.count - 1]
    }

    /// An empty list with room for `count` deltas. Until they are taken, it is the same memory each time.
    func list(_ count: Int) -> ck_few {
        let chunk = chunk(count)
        let places = chunk.assumingMemoryBound(to: UInt32.self) + used
        let targets = chunk.assumingMemoryBound(to: Float.self) + 2 * capacity + used
        return ck_few(
            places: places, deltas: places + capacity, targets: targets, count: 0, sums: ck_sums(),
            has_negative_zero: false)
    }

    /// The same for groups.
    func groups(_ count: Int) -> ck_loud {
        let chunk = chunk(count)
        let size = Int(CK_LOUD_GROUP)
        let targets = chunk.assumingMemoryBound(to: Float.self) + size * used
        let symbols = (chunk + 2 * size * capacity * MemoryLayout<Float>.stride)
            .assumingMemoryBound(to: UInt16.self)
        let numbers = UnsafeMutableRawPointer(symbols + size * capacity).assumingMemoryBound(to: UInt32.self)
        return ck_loud(
            targets: targets, previous: targets + size * capacity, symbols: symbols + size * used,
            groups: numbers + used, count: 0, sums: ck_sums(), has_negative_zero: false)
    }

    /// Keeps the first entries of the list that was given last.
    func take(_ count: Int) { used += count }

    deinit {
        for chunk in chunks {
            if chunkBytes == ListRoom.fullBytes { ck_give_large_page(chunk) } else { ck_free(chunk) }
        }
    }
}
