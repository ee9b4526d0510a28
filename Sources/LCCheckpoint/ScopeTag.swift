/// A scope's first byte: how its elements are coded.
struct ScopeTag: Hashable {
    enum Codec: UInt8 {
        case exact = 0
        case lc = 1
        case auto = 2
    }

    var codec: Codec
    /// Some elements' bits are carried as they are.
    var hasExceptions: Bool
    /// Of an `lc` scope; nil for every bucket.
    var bits: Int?

    init(_ codec: Codec, hasExceptions: Bool = false, bits: Int? = nil) {
        self.codec = codec
        self.hasExceptions = hasExceptions
        self.bits = bits
    }

    /// Appends the byte, and the scope's element count.
    func write(elements: Int, into output: inout [UInt8]) {
        output.append(codec.rawValue | (hasExceptions ? 4 : 0) | UInt8(bits ?? 0) << 3)
        output.append(varint: UInt64(elements))
    }

    init(_ reader: inout ByteReader) throws(CodecError) {
        let byte = try reader.byte("codec")
        guard let codec = Codec(rawValue: byte & 3) else {
            throw CodecError(.unsupported, "frame needs codec \(byte & 3), which this version doesn't know")
        }
        let bits = Int(byte >> 3)
        guard bits <= 16 else { throw .malformed("frame is damaged: \(bits) bits, and 16 are the most") }
        self.init(codec, hasExceptions: byte & 4 != 0, bits: bits == 0 ? nil : bits)
        guard (codec == .lc || bits == 0) && (codec != .exact || !hasExceptions) else {
            throw .malformed("frame is damaged: a codec with what belongs to another")
        }
    }
}
