/// A state as the second decoder has it, written from docs/formats/frame.md.
struct PlainState: Equatable {
    struct Section: Equatable {
        var name: [UInt8]
        var format: UInt8
        var bytes: [UInt8]
        var scope = 0

        static func width(_ format: UInt8) -> Int { [4, 2, 2, 8, 1, 2, 4, 8][Int(format)] }
        var width: Int { Section.width(format) }
        var count: Int { bytes.count / width }
        var isFloating: Bool { format < 4 }

        /// An element's bits.
        subscript(element: Int) -> UInt64 {
            get {
                (0..<width).reversed().reduce(0) { $0 << 8 | UInt64(bytes[width * element + $1]) }
            }
            set {
                for byte in 0..<width {
                    bytes[width * element + byte] = UInt8(truncatingIfNeeded: newValue >> UInt64(8 * byte))
                }
            }
        }

        /// An element as binary32, and the other way round.
        func float(_ element: Int) -> Float {
            let bits = self[element]
            switch format {
            case 0: return Float(bitPattern: UInt32(bits))
            case 1: return Float(Float16(bitPattern: UInt16(bits)))
            case 2: return Float(bitPattern: UInt32(bits) << 16)
            default: return Float(Double(bitPattern: bits))
            }
        }
        mutating func set(_ element: Int, _ float: Float) {
            switch format {
            case 0: self[element] = UInt64(float.bitPattern)
            case 1: self[element] = UInt64(Float16(float).bitPattern)
            case 2: self[element] = UInt64(Section.brain(float))
            default: self[element] = Double(float).bitPattern
            }
        }

        /// The nearest bfloat16; of two that are as near the even one. Where the magnitude grows, bits count up.
        private static func brain(_ float: Float) -> UInt32 {
            let (below, rest) = (float.bitPattern >> 16, float.bitPattern & 0xffff)
            if float.isNaN { return below | 0x40 }
            let isUp = rest > 0x8000 || rest == 0x8000 && below & 1 == 1
            return isUp ? below + 1 : below
        }
    }

    /// In the order of the frame's layout.
    var sections: [Section]
    var metadata: [UInt8] = []
    /// The symbols of each scope of the frame that led here; empty where there are none.
    var symbols: [[Int]] = []
    /// The coders of its streams.
    var coders: Set<UInt8> = []

    var digest: PlainDigest.Wide {
        func of(_ bytes: [UInt8]) -> PlainDigest.Wide {
            let piece = 1 << 18
            guard bytes.count > piece else { return PlainDigest.of128(bytes) }
            return PlainDigest.of128(
                stride(from: 0, to: bytes.count, by: piece).flatMap {
                    PlainDigest.of128(Array(bytes[$0..<min($0 + piece, bytes.count)])).bytes
                })
        }
        func varint(_ value: Int) -> [UInt8] {
            value < 128 ? [UInt8(value)] : [UInt8(128 + value % 128)] + varint(value / 128)
        }
        var all: [UInt8] = []
        for section in sections.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
            all += [section.format] + varint(section.count) + varint(section.name.count) + section.name
            all += of(section.bytes).bytes
        }
        all += (0..<8).map { UInt8(truncatingIfNeeded: sections.count >> (8 * $0)) }
        return PlainDigest.of128(all + PlainDigest.of128(metadata).bytes)
    }
}
