extension [UInt8] {
    /// LEB128: seven bits a byte, least significant first.
    mutating func append(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }

    mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    mutating func append(digest: Digest) {
        append(littleEndian: digest.high)
        append(littleEndian: digest.low)
    }
}

/// Reads bytes from front to back; every step checks that the bytes are there.
struct ByteReader {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func bytes(_ count: Int, _ what: String) throws(CodecError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= rest.count else {
            throw .malformed("frame is cut short: \(what) needs \(count) bytes and \(rest.count) are left")
        }
        let taken = UnsafeRawBufferPointer(rebasing: rest[..<count])
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        return taken
    }

    mutating func byte(_ what: String) throws(CodecError) -> UInt8 {
        try bytes(1, what)[0]
    }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type, _ what: String) throws(CodecError) -> T {
        T(littleEndian: try bytes(MemoryLayout<T>.size, what).loadUnaligned(as: T.self))
    }

    mutating func digest(_ what: String) throws(CodecError) -> Digest {
        let high = try integer(UInt64.self, what)
        return Digest(high: high, low: try integer(UInt64.self, what))
    }

    /// A varint of at most 64 bits in its shortest form: one number, one spelling.
    mutating func varint(_ what: String) throws(CodecError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try byte(what)
            let part = UInt64(byte & 0x7f)
            guard shift < 63 || (shift == 63 && part <= 1) else {
                throw .malformed("frame is damaged: \(what) is no number of 64 bits")
            }
            value |= part << shift
            if byte & 0x80 == 0 {
                guard byte != 0 || shift == 0 else {
                    throw .malformed("frame is damaged: \(what) isn't in its shortest form")
                }
                return value
            }
            shift += 7
        }
    }

    /// A count that must not be above `limit`.
    mutating func count(_ what: String, atMost limit: Int) throws(CodecError) -> Int {
        let value = try varint(what)
        guard value <= UInt64(limit) else {
            throw .malformed("frame is damaged: \(what) is \(value), above its limit of \(limit)")
        }
        return Int(value)
    }
}
