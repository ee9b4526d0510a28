// Binary arithmetic coding: a bit and the probability that it is 1 in, bytes out, and back.
//
// Invariants: all arithmetic is on integers, so writer and reader agree on every machine. An interval [low, high] of
// 32 bits sheds its leading byte when both ends share it. docs/formats/auto.md lays down every step.

/// The logistic function and its inverse in whole numbers: a domain of 12 bits (256 is 1.0), a range of 16.
struct LogisticTables: Sendable {
    /// 65536 / (1 + e^(−d/256)) for d = index − 2048, held off 0 and 65536.
    let squash: [UInt16]
    /// ln(p / (1 − p)) · 256 for p = index / 4096.
    let stretch: [Int16]

    static let shared = LogisticTables()

    private init() {
        // 65536 / (1 + e^(−i/2)) for i = −16…16; straight lines between.
        let knots: [Int] = [
            22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768,
            40793,
            47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500,
            65514,
        ]
        var squash: [UInt16] = []
        for index in 0..<4096 {
            let place = max(index - 2048, -2047) + 2048
            let (knot, part) = (place >> 7, place & 127)
            let next = min(knot + 1, 32)
            squash.append(UInt16((knots[knot] * (128 - part) + knots[next] * part + 64) >> 7))
        }
        // The inverse: for each p the least d whose squash reaches it.
        var stretch: [Int16] = []
        for d in -2047...2047 {
            let reached = Int(squash[d + 2048] >> 4)
            while stretch.count <= reached { stretch.append(Int16(d)) }
        }
        while stretch.count < 4096 { stretch.append(2047) }
        self.squash = squash
        self.stretch = stretch
    }
}

/// Codes one bit after the other with given probabilities; a writer and a reader share the model's code through it.
protocol BitPort {
    /// Codes a bit whose probability of being 1 is `probability / 65536`, 1 to 65535.
    ///
    /// A writer writes `bit` and returns it; a reader ignores it and returns the one it read.
    mutating func code(_ bit: UInt32, probability: UInt32) -> UInt32
}

/// Writes bits.
struct ArithmeticWriter: BitPort {
    private var low: UInt32 = 0
    private var high: UInt32 = .max
    private(set) var bytes: [UInt8] = []

    @inline(__always)
    mutating func code(_ bit: UInt32, probability: UInt32) -> UInt32 {
        let middle = split(low, high, probability)
        if bit != 0 { high = middle } else { low = middle + 1 }
        while (low ^ high) & 0xff00_0000 == 0 {
            bytes.append(UInt8(truncatingIfNeeded: high >> 24))
            low <<= 8
            high = high << 8 | 0xff
        }
        return bit
    }

    /// The shortest tail that, followed by zeros, lies within the interval.
    mutating func finish() -> [UInt8] {
        var mask: UInt32 = 0
        var count = 0
        while high & mask < low {
            count += 1
            mask = count == 4 ? .max : ~(UInt32.max >> UInt32(8 * count))
        }
        for place in 0..<count {
            bytes.append(UInt8(truncatingIfNeeded: high >> UInt32(24 - 8 * place)))
        }
        return bytes
    }
}

/// Reads bits; past its end there are zeros.
struct ArithmeticReader: BitPort {
    private var low: UInt32 = 0
    private var high: UInt32 = .max
    private var value: UInt32 = 0
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        for _ in 0..<4 { shift() }
    }

    /// Whether every byte was needed: nothing stands behind the last symbol.
    var isAtEnd: Bool { position >= bytes.count }

    @inline(__always)
    private mutating func shift() {
        value = value << 8 | (position < bytes.count ? UInt32(bytes[position]) : 0)
        position += 1
    }

    @inline(__always)
    mutating func code(_ bit: UInt32, probability: UInt32) -> UInt32 {
        let middle = split(low, high, probability)
        let isOne = value <= middle
        if isOne { high = middle } else { low = middle + 1 }
        while (low ^ high) & 0xff00_0000 == 0 {
            low <<= 8
            high = high << 8 | 0xff
            shift()
        }
        return isOne ? 1 : 0
    }
}

/// The last value of the part of [low, high] that stands for 1; at least `low`, below `high`.
@inline(__always)
private func split(_ low: UInt32, _ high: UInt32, _ probability: UInt32) -> UInt32 {
    let range = high - low
    return low + (range >> 16) &* probability + (((range & 0xffff) &* probability) >> 16)
}
