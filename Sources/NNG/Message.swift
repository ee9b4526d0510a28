import Glibc

/// An owned, writable message: encode straight into its body and hand it to `send` without another copy.
///
/// The body starts at an address that is a multiple of 16.
public struct Message: ~Copyable {
    private var buffer: MessageBuffer

    /// A message with an uninitialised body of `count` bytes; throws when memory is short or `count` is negative.
    public init(count: Int) throws(NNGError) {
        guard let made = MessageBuffer.allocate(count: count) else {
            throw NNGError(code: NNGError.Code.noMemory, operation: "allocate a message of \(count) bytes")
        }
        buffer = made
    }

    deinit { buffer.free() }

    /// Bytes in the body.
    public var count: Int { buffer.count }

    /// Reads the body in place.
    public borrowing func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(buffer.body))
    }

    /// Writes the body in place.
    public mutating func withUnsafeMutableBytes<R>(
        _ body: (UnsafeMutableRawBufferPointer) throws -> R
    ) rethrows -> R {
        try body(buffer.body)
    }

    /// Gives up the buffer: the caller frees it.
    consuming func take() -> MessageBuffer {
        let taken = buffer
        discard self
        return taken
    }
}

/// A received message, shared by reference and freed with its last owner.
///
/// Immutable after it is made, therefore safe to read from any thread. Its body is the memory that the socket was
/// read into, not a copy, and starts at an address that is a multiple of 16.
public final class ReceivedMessage: Sendable {
    private let buffer: MessageBuffer

    init(owning buffer: MessageBuffer) {
        self.buffer = buffer
    }

    deinit { buffer.free() }

    /// Bytes in the body.
    public var count: Int { buffer.count }

    /// Reads the body in place; the pointer is valid inside the closure, or as long as the message is kept alive.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(buffer.body))
    }
}

/// A message's memory with room for its frame in front, so that frame and body leave in one piece.
///
/// Layout: 4 bytes unused, 8 bytes length, 4 bytes SP header, the body. Whoever holds it last frees it.
/// Unchecked: the pointer is a value, and the wrapper gives each buffer one owner at a time.
struct MessageBuffer: @unchecked Sendable {
    static let headroom = 16

    let base: UnsafeMutableRawPointer
    let count: Int

    /// Uninitialised memory; nil when there is none, or for a count that can't be.
    static func allocate(count: Int) -> MessageBuffer? {
        guard count >= 0, count <= 1 << 40, let base = malloc(headroom + count) else { return nil }
        return MessageBuffer(base: base, count: count)
    }

    /// One message with the parts behind each other: the single copy of a send.
    static func joining(_ parts: [UnsafeRawBufferPointer], count: Int) -> MessageBuffer? {
        guard let made = allocate(count: count) else { return nil }
        var target = made.base + headroom
        for part in parts {
            guard let source = part.baseAddress, part.count > 0 else { continue }
            target.copyMemory(from: source, byteCount: part.count)
            target += part.count
        }
        return made
    }

    var body: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + MessageBuffer.headroom, count: count)
    }

    func free() { Glibc.free(base) }
}
