/// Immutable bytes that travel by handle: a tensor's slice, a frame, several frames end to end.
///
/// The bytes belong to `owner`, for instance a message as it was received, so that nothing is copied between the
/// socket and the arithmetic. Slices share the owner.
public final class Payload: @unchecked Sendable {
    // Sendable because the bytes are never written after `init`.
    private let owner: (AnyObject & Sendable)?
    private let base: UnsafeRawPointer
    public let count: Int

    /// Bytes that `owner` keeps alive and unchanged.
    public init(owner: AnyObject & Sendable, bytes: UnsafeRawBufferPointer) {
        self.owner = owner
        base = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 16)!
        count = bytes.count
    }

    /// Fresh memory of `count` bytes, aligned for vectors, written once by `fill`.
    public init(count: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) {
        let memory = Memory(count: count)
        fill(memory.bytes)
        owner = memory
        base = UnsafeRawPointer(memory.bytes.baseAddress!)
        self.count = count
    }

    public convenience init(_ bytes: [UInt8]) {
        self.init(count: bytes.count) { $0.copyBytes(from: bytes) }
    }

    public static let empty = Payload([])

    public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(start: base, count: count)) }
    }

    /// The bytes as Float32 values, or nil when their number or place does not allow it.
    public func withFloats<Result>(_ body: (UnsafeBufferPointer<Float>) throws -> Result) rethrows -> Result?
    {
        guard count % 4 == 0, Int(bitPattern: base) % MemoryLayout<Float>.alignment == 0 else { return nil }
        return try withBytes { try body($0.assumingMemoryBound(to: Float.self)) }
    }

    /// A part of the same bytes; the range must lie inside.
    public func slice(_ range: Range<Int>) -> Payload {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a slice outside of its payload")
        return Payload(
            owner: self, bytes: UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
    }

    private final class Memory: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
        init(count: Int) { bytes = .allocate(byteCount: max(count, 1), alignment: 64) }
        deinit { bytes.deallocate() }
    }
}
