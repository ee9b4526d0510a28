import Training

/// A mean with the half-width of its 95 % interval (Student's t).
public struct Estimate: Sendable, Hashable, Codable {
    public var mean: Double
    /// NaN is never here: with fewer than two values it is 0.
    public var halfWidth: Double
    public var count: Int

    public init(_ values: [Double]) {
        count = values.count
        guard !values.isEmpty else {
            (mean, halfWidth) = (0, 0)
            return
        }
        let middle = values.reduce(0, +) / Double(values.count)
        mean = middle
        guard values.count > 1 else {
            halfWidth = 0
            return
        }
        let squares = values.reduce(0) { $0 + ($1 - middle) * ($1 - middle) }
        let deviation = (squares / Double(values.count - 1)).squareRoot()
        halfWidth = Self.quantile(freedom: values.count - 1) * deviation / Double(values.count).squareRoot()
    }

    /// The 97.5 % quantile of Student's t: exact to three decimals to 30 degrees, beyond that by its series in 1/n.
    static func quantile(freedom: Int) -> Double {
        let table = [
            12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
            2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048,
            2.045, 2.042,
        ]
        if freedom <= table.count { return table[max(freedom, 1) - 1] }
        let z = 1.959_964
        return z + (z * z * z + z) / (4 * Double(freedom))
    }
}

/// How many times larger one mean is than another, with a 95 % bootstrap interval over pairs.
public struct Ratio: Sendable, Hashable, Codable {
    public var value: Double
    public var low: Double
    public var high: Double

    /// - Parameters:
    ///   - numerator: one value for each case, for example the rework of SCAR at each failure.
    ///   - denominator: the values of the same cases.
    ///   - floor: the least that the mean of the denominator is taken for, so that the ratio stays defined when
    ///     most of its values are 0.
    /// - Precondition: as many of both, and `floor` above 0.
    public init(
        _ numerator: [Double], by denominator: [Double], floor: Double, seed: UInt64, draws: Int = 2000
    ) {
        precondition(numerator.count == denominator.count && floor > 0, "pairs, and a floor above 0")
        let count = numerator.count
        guard count > 0 else {
            (value, low, high) = (0, 0, 0)
            return
        }
        func ratio(_ index: (Int) -> Int) -> Double {
            var sums = (0.0, 0.0)
            for place in 0..<count {
                sums.0 += numerator[index(place)]
                sums.1 += denominator[index(place)]
            }
            return sums.0 / Double(count) / max(sums.1 / Double(count), floor)
        }
        value = ratio { $0 }
        var generator = SplitMix64(seed: seed, stream: 0xB007)
        let sorted = (0..<draws).map { _ in ratio { _ in Int(generator.below(UInt64(count))) } }.sorted()
        low = sorted[draws / 40]
        high = sorted[draws - 1 - draws / 40]
    }
}

/// The middle value; of an even number the mean of the two in the middle; 0 of none.
func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? 0 : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
}
