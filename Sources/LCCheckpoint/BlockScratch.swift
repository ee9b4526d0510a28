import CKernels

/// Memory that blocks are worked on in, one after another.
final class BlockScratch {
    let symbols: UnsafeMutableBufferPointer<UInt16>
    let contexts: UnsafeMutablePointer<UInt16>
    /// Bits of symbols and of previous ones.
    let words: UnsafeMutablePointer<UInt64>
    private var numberBuffer = UnsafeMutableBufferPointer<UInt32>(start: nil, count: 0)
    private var byteBuffer = UnsafeMutableBufferPointer<UInt8>(start: nil, count: 0)
    private var floatBuffer = UnsafeMutableBufferPointer<Float>(start: nil, count: 0)

    /// For blocks of at most `count` symbols.
    init(count: Int) {
        symbols = .allocate(capacity: count)
        contexts = .allocate(capacity: count)
        words = .allocate(capacity: 2 * ck_mask_words(count))
    }

    func numbers(_ count: Int) -> UnsafeMutablePointer<UInt32> {
        grow(&numberBuffer, count)
    }

    func bytes(_ count: Int) -> UnsafeMutablePointer<UInt8> { grow(&byteBuffer, count) }

    func floats(_ count: Int) -> UnsafeMutablePointer<Float> { grow(&floatBuffer, count) }

    private func grow<Element: BitwiseCopyable>(
        _ buffer: inout UnsafeMutableBufferPointer<Element>, _ count: Int
    ) -> UnsafeMutablePointer<Element> {
        if buffer.count < max(count, 1) {
            buffer.deallocate()
            buffer = .allocate(capacity: max(count, 1))
        }
        return buffer.baseAddress.unsafelyUnwrapped
    }

    deinit {
        symbols.deallocate()
        contexts.deallocate()
        words.deallocate()
        numberBuffer.deallocate()
        byteBuffer.deallocate()
        floatBuffer.deallocate()
    }
}
