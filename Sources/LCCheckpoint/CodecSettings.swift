/// How the elements of one scope are encoded.
public struct CodecSettings: Hashable, Sendable {
    /// What becomes of the values.
    public enum Kind: Hashable, Sendable {
        /// Exponent quantization with priority promotion to `bits` bits: the `2^bits − 1` buckets with the
        /// largest exponents are kept; with nil, every bucket is. `bits` is 1 to 16.
        case lc(bits: Int?)
        /// The fewest bytes with ‖u − ũ‖₂ ≤ `error` · ‖u‖₂ over the scope; `error` lies between 0 and 1. Where only the
        /// exact bits meet it, they are carried. In a frame that was read: the error that it states.
        case auto(error: Double)
        /// Bit for bit: the difference of the bits, as whole numbers, from those of the previous state, by byte planes.
        case exact
    }

    /// What `auto` measures its error on.
    public enum Domain: Hashable, Sendable {
        /// The values themselves.
        case values
        /// The square roots of values that are sums of squares: none becomes negative, and small ones keep more of their
        /// precision, as fits what is divided by their root.
        case squareRoots
    }

    /// What the symbols are coded with.
    public enum Entropy: Hashable, Sendable {
        /// Canonical Huffman, the paper's coder: never below 1 bit per element.
        case huffman
        /// The smallest of the coders that there are; never larger than `huffman`.
        case best
        /// As `best`, without a look at neighbours and at the frame before: larger by some tenths, in about half the
        /// time where a scope has some ten thousand elements.
        case quick
    }

    /// What becomes of the values.
    public var kind: Kind
    /// What the symbols are coded with.
    public var entropy: Entropy
    /// What `auto` measures its error on; the others don't heed it.
    public var domain: Domain

    /// Settings for one scope.
    public init(kind: Kind, entropy: Entropy = .best, domain: Domain = .values) {
        self.kind = kind
        self.entropy = entropy
        self.domain = domain
    }
}

/// How an element lies in memory, in little-endian bytes.
///
/// `lc` encodes the floating formats: each is read as Float32, and the reconstruction is rounded back to its
/// format. `exact` carries every format as bits.
public enum ElementFormat: UInt8, Hashable, Sendable, CaseIterable {
    case float32 = 0
    case float16 = 1
    case bfloat16 = 2
    case float64 = 3
    case bits8 = 4
    case bits16 = 5
    case bits32 = 6
    case bits64 = 7

    /// Bytes per element.
    public var byteCount: Int {
        switch self {
        case .bits8: 1
        case .float16, .bfloat16, .bits16: 2
        case .float32, .bits32: 4
        case .float64, .bits64: 8
        }
    }

    /// Whether `lc` may encode it.
    public var isFloatingPoint: Bool {
        switch self {
        case .float32, .float16, .bfloat16, .float64: true
        case .bits8, .bits16, .bits32, .bits64: false
        }
    }
}
