/// A small random generator with the same sequence on every platform (SplitMix64; Steele, Lea, Flood 2014).
///
/// The standard library's generator can't be seeded, and training must be repeatable bit for bit.
public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) {
        state = seed
    }

    /// A generator for one purpose, so that two purposes under one seed don't share a sequence.
    public init(seed: UInt64, stream: UInt64) {
        state = SplitMix64.mix(seed) ^ SplitMix64.mix(stream ^ 0x6A09_E667_F3BC_C909)
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return SplitMix64.mix(state)
    }

    /// The finalizer: a bijection that spreads every input bit over the output.
    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// A number in `0..<bound`, without bias (Lemire 2019); `bound` must be positive.
    public mutating func below(_ bound: UInt64) -> UInt64 {
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold {
                product = next().multipliedFullWidth(by: bound)
            }
        }
        return product.high
    }

    /// A number in `[0, 1)` with 24 random bits, exactly representable.
    mutating func unitFloat() -> Float {
        Float(next() >> 40) * 0x1p-24
    }

    /// A number spread evenly over `[-limit, limit)`.
    mutating func symmetric(limit: Float) -> Float {
        (2 * unitFloat() - 1) * limit
    }
}
