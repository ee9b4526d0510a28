/// Cuts a byte stream into messages: small ones by way of a buffer, large bodies straight into their own memory.
///
/// Invariants
/// - A length is checked against the limit before anything is allocated for it.
/// - `start <= end <= capacity`; a body under way (`partial`) takes bytes only after the buffer is empty.
struct FrameReader: ~Copyable {
    /// What the bytes so far amount to.
    enum Step {
        case greeted
        case message(MessageBuffer, word: UInt32)
        case needsMore
        /// The peer speaks something else, or announced more than the limit.
        case broken
        case noMemory
    }

    /// A slice of a small model fits in, so that it takes one system call; memory that is not used is not resident.
    private static let capacity = 128 << 10

    private let role: Frame.Role
    private let maxBodyBytes: Int
    private let buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var greeted = false
    private var partial: MessageBuffer?
    private var partialWord: UInt32 = 0
    private var filled = 0

    init(role: Frame.Role, maxBodyBytes: Int) {
        self.role = role
        self.maxBodyBytes = maxBodyBytes
        buffer = .allocate(byteCount: FrameReader.capacity, alignment: 16)
    }

    deinit {
        buffer.deallocate()
        partial?.free()
    }

    /// Where the next bytes belong; never empty.
    mutating func space() -> UnsafeMutableRawBufferPointer {
        if let partial {
            return UnsafeMutableRawBufferPointer(rebasing: partial.body[filled...])
        }
        if start > 0 {
            let rest = end - start
            if rest > 0 { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<end])) }
            start = 0
            end = rest
        }
        return UnsafeMutableRawBufferPointer(rebasing: buffer[end...])
    }

    /// Tells that `count` bytes were put into `space()`.
    mutating func advance(_ count: Int) {
        if partial != nil { filled += count } else { end += count }
    }

    /// The next thing in the bytes; call until it needs more.
    mutating func next() -> Step {
        if let partial {
            guard filled == partial.count else { return .needsMore }
            self.partial = nil
            return .message(partial, word: partialWord)
        }
        guard greeted else { return greet() }
        guard end - start >= Frame.headerBytes else { return .needsMore }
        let length = UInt64(bigEndian: buffer.loadUnaligned(fromByteOffset: start, as: UInt64.self))
        let wordOffset = start + Frame.lengthBytes
        let word = UInt32(bigEndian: buffer.loadUnaligned(fromByteOffset: wordOffset, as: UInt32.self))
        guard length >= UInt64(Frame.wordBytes), length <= UInt64(maxBodyBytes + Frame.wordBytes),
            word & Frame.wordMark != 0
        else { return .broken }
        guard let message = MessageBuffer.allocate(count: Int(length) - Frame.wordBytes) else {
            return .noMemory
        }
        start += Frame.headerBytes
        let here = min(message.count, end - start)
        if here > 0 {
            message.body.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<start + here]))
            start += here
        }
        if here == message.count { return .message(message, word: word) }
        partial = message
        partialWord = word
        filled = here
        return .needsMore
    }

    private mutating func greet() -> Step {
        guard end - start >= Frame.greetingBytes else { return .needsMore }
        let matches = buffer[start..<start + Frame.greetingBytes].elementsEqual(Frame.greeting(role.peer))
        start += Frame.greetingBytes
        greeted = matches
        return matches ? .greeted : .broken
    }
}
