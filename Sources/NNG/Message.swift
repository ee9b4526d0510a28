internal import CNNG

/// An owned, writable message: encode straight into its body and hand it to `send` without another copy.
///
/// The body starts at an address that is a multiple of 4 on both sides of a link.
public struct Message: ~Copyable {
    private var handle: MessageHandle

    /// A message with an uninitialised body of `count` bytes; throws when memory is short or `count` is negative.
    public init(count: Int) throws(NNGError) {
        handle = try MessageHandle.allocate(count: count)
    }

    deinit { handle.free() }

    /// Bytes in the body.
    public var count: Int { handle.count }

    /// Reads the body in place.
    public borrowing func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(handle.bytes))
    }

    /// Writes the body in place.
    public mutating func withUnsafeMutableBytes<R>(
        _ body: (UnsafeMutableRawBufferPointer) throws -> R
    ) rethrows -> R {
        try body(handle.bytes)
    }

    /// Gives up the handle: the caller frees it.
    consuming func take() -> MessageHandle {
        let taken = handle
        discard self
        return taken
    }
}

/// A received message, shared by reference and freed with its last owner.
///
/// Immutable after it is made, therefore safe to read from any thread. Its body is nng's own memory, not a copy,
/// and starts at an address that is 4 modulo 16: fine for `Float`, not for loads of 8 bytes.
public final class ReceivedMessage: Sendable {
    private let handle: MessageHandle

    init(owning handle: MessageHandle) {
        self.handle = handle
    }

    deinit { handle.free() }

    /// Bytes in the body.
    public var count: Int { handle.count }

    /// Reads the body in place; the pointer is valid inside the closure, or as long as the message is kept alive.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try body(UnsafeRawBufferPointer(handle.bytes))
    }
}

/// nng's pointer to a message; whoever holds it last frees it or hands it to nng.
///
/// Unchecked: the pointer itself is a value, and the wrapper gives each message one owner at a time.
struct MessageHandle: @unchecked Sendable {
    let raw: OpaquePointer

    static func allocate(count: Int) throws(NNGError) -> MessageHandle {
        guard count >= 0 else {
            throw NNGError(code: NNGError.Code.invalid, operation: "allocate a message of \(count) bytes")
        }
        var made: OpaquePointer?
        let code = nng_msg_alloc(&made, count)
        guard code == 0, let made else {
            throw NNGError(
                code: code == 0 ? NNGError.Code.noMemory : code,
                operation: "allocate a message of \(count) bytes")
        }
        return MessageHandle(raw: made)
    }

    /// One message with the parts behind each other: the single copy of a send.
    static func joining(_ parts: [UnsafeRawBufferPointer], count: Int) -> MessageHandle? {
        guard let made = try? allocate(count: count) else { return nil }
        guard var target = made.bytes.baseAddress else { return made }
        for part in parts {
            guard let source = part.baseAddress, part.count > 0 else { continue }
            target.copyMemory(from: source, byteCount: part.count)
            target += part.count
        }
        return made
    }

    var count: Int { nng_msg_len(raw) }

    var bytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: nng_msg_body(raw), count: nng_msg_len(raw))
    }

    /// The pipe that the message came from; 0 when it came from none.
    var pipe: UInt32 { nng_msg_get_pipe(raw).id }

    func appendHeader(_ word: UInt32) -> Bool { nng_msg_header_append_u32(raw, word) == 0 }

    /// Takes the last word off the header, or nil when there is none.
    func takeHeaderWord() -> UInt32? {
        var word: UInt32 = 0
        return nng_msg_header_chop_u32(raw, &word) == 0 ? word : nil
    }

    func free() { nng_msg_free(raw) }
}
