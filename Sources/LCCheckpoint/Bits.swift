/// Writes bits, the least significant first, into bytes.
struct BitWriter {
    private(set) var bytes: [UInt8] = []
    private var pending: UInt64 = 0
    private var pendingBits: UInt64 = 0

    /// Appends the low `count` bits of `value`; `count` is at most 48, and higher bits must be zero.
    mutating func append(_ value: UInt64, count: Int) {
        pending |= value << pendingBits
        pendingBits += UInt64(count)
        while pendingBits >= 8 {
            bytes.append(UInt8(truncatingIfNeeded: pending))
            pending >>= 8
            pendingBits -= 8
        }
    }

    /// Elias gamma: as many zeros as `value` has bits after its first, a one, and those bits.
    mutating func append(gamma value: UInt64) {
        let bits = 63 - value.leadingZeroBitCount
        append(1 << UInt64(bits), count: bits + 1)
        append(value & (1 << UInt64(bits) - 1), count: bits)
    }

    /// Fills the last byte with zeros.
    consuming func finish() -> [UInt8] {
        if pendingBits > 0 { bytes.append(UInt8(truncatingIfNeeded: pending)) }
        return bytes
    }
}

/// Reads what `BitWriter` wrote; reading past the end is an error.
struct BitReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0
    private var pending: UInt64 = 0
    private var pendingBits = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Bytes that were touched.
    var bytesRead: Int { position }

    /// Whether the bits that are left over in the last byte that was touched are zero.
    var paddingIsZero: Bool { pending == 0 }

    mutating func read(_ count: Int, _ what: String) throws(CodecError) -> UInt64 {
        while pendingBits < count {
            guard position < bytes.count else { throw .malformed("frame is cut short: \(what) ends early") }
            pending |= UInt64(bytes[position]) << UInt64(pendingBits)
            pendingBits += 8
            position += 1
        }
        let value = pending & (1 << UInt64(count) - 1)
        pending >>= UInt64(count)
        pendingBits -= count
        return value
    }

    /// An Elias gamma number below 2^`bits`.
    mutating func gamma(below bits: Int, _ what: String) throws(CodecError) -> UInt64 {
        var length = 0
        while try read(1, what) == 0 {
            length += 1
            guard length < bits else { throw .malformed("frame is damaged: \(what) is out of range") }
        }
        return 1 << UInt64(length) | (try read(length, what))
    }
}
