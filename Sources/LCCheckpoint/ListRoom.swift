import CKernels
import Synchronization

/// Memory for lists of deltas, each as long as it turns out to be: chunks that are filled one after another.
///
/// Chunks of full size are kept for the next vector. New memory has to be cleared by the system first, page by page, which takes
/// as long as half of the listing.
final class ListRoom {
    /// A large page.
    private static let fullBytes = 2 << 20
    private static let deltaBytes = MemoryLayout<UInt32>.stride * 2 + MemoryLayout<Float>.stride
    private static let mostSpare = 8
    private static let spare = Mutex<[Chunk]>([])

    /// Three arrays of equal length.
    private struct Chunk: @unchecked Sendable {
        let memory: UnsafeMutableRawPointer
        let bytes: Int

        var capacity: Int { bytes / ListRoom.deltaBytes }

        init(bytes: Int) {
            guard let memory = ck_allocate(bytes) else {
                fatalError("no memory for \(bytes) bytes of deltas")
            }
            self.memory = memory
            self.bytes = bytes
        }
    }

    private var chunks: [Chunk] = []
    private var used = 0
    private let chunkBytes: Int

    /// - Parameter count: deltas that there may be in all.
    init(count: Int) { chunkBytes = min(ListRoom.fullBytes, max(1, count) * ListRoom.deltaBytes) }

    /// An empty list with room for `count` deltas. Until they are taken, it is the same memory each time.
    func list(_ count: Int) -> ck_few {
        if chunks.last.map({ used + count > $0.capacity }) ?? true {
            let isFull = chunkBytes == ListRoom.fullBytes
            let spare = isFull ? ListRoom.spare.withLock { $0.popLast() } : nil
            chunks.append(spare ?? Chunk(bytes: max(chunkBytes, count * ListRoom.deltaBytes)))
            used = 0
        }
        let chunk = chunks[chunks.count - 1]
        let words = chunk.memory.assumingMemoryBound(to: UInt32.self) + used
        let targets = chunk.memory.assumingMemoryBound(to: Float.self) + 2 * chunk.capacity + used
        return ck_few(
            places: words, deltas: words + chunk.capacity, targets: targets, count: 0, sums: ck_sums(),
            has_negative_zero: false)
    }

    /// Keeps the first deltas of the list that was given last.
    func take(_ count: Int) { used += count }

    deinit {
        for chunk in chunks {
            let isKept =
                chunk.bytes == ListRoom.fullBytes
                && ListRoom.spare.withLock { spare in
                    guard spare.count < ListRoom.mostSpare else { return false }
                    spare.append(chunk)
                    return true
                }
            if !isKept { ck_free(chunk.memory) }
        }
    }
}
