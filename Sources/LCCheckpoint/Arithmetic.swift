// Arithmetic for estimates and statistics, without the platform's mathematics library.

/// log₂, without the platform's mathematics library; good to about 1e-12.
func log2(_ value: Double) -> Double {
    guard value > 0, value.isFinite else { return 0 }
    // ln(s) = 2·atanh((s − 1)/(s + 1)), with s in [√½, √2).
    var exponent = Double(value.exponent)
    var significand = value.significand
    if significand > 1.414_213_562_373_095 {
        significand /= 2
        exponent += 1
    }
    let ratio = (significand - 1) / (significand + 1)
    let square = ratio * ratio
    var term = ratio
    var sum = 0.0
    var divisor = 1.0
    while divisor < 21 {
        sum += term / divisor
        term *= square
        divisor += 2
    }
    return exponent + 2 * sum * 1.442_695_040_888_963_4
}

/// Order-0 entropy of some counts, in bits over all symbols.
func entropyBits(_ counts: [Int]) -> Double {
    let total = counts.reduce(0, +)
    guard total > 0 else { return 0 }
    var bits = 0.0
    // Where there are many symbols, most of those that occur at all occur once or twice.
    var last = (count: 0, bits: 0.0)
    for count in counts where count > 0 {
        if count != last.count { last = (count, Double(count) * log2(Double(total) / Double(count))) }
        bits += last.bits
    }
    return bits
}

/// √, by Newton's method; good to about an ulp.
func squareRoot(_ value: Double) -> Double {
    guard value > 0, value.isFinite else { return value }
    // Halving the exponent comes within 7 %; each step doubles the digits.
    var root = Double(bitPattern: (value.bitPattern + Double(1).bitPattern) / 2)
    for _ in 0..<6 { root = (root + value / root) / 2 }
    return root
}
