/// Scratch memory of Floats on a cache line's boundary, freed with its last owner.
///
/// Unchecked: the class only guards the memory's lifetime. Every buffer belongs to one model, and a model uses its
/// buffers under its lock.
final class FloatBuffer: @unchecked Sendable {
    let base: UnsafeMutablePointer<Float>
    let count: Int

    /// `count` zeros.
    init(count: Int) {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        base = raw.bindMemory(to: Float.self, capacity: max(count, 1))
        base.initialize(repeating: 0, count: max(count, 1))
        self.count = count
    }

    deinit {
        base.deallocate()
    }
}
