import Foundation

/// Values to places on a line, by value or by its logarithm, with round ticks.
struct Scale {
    let low: Double
    let high: Double
    let isLogarithmic: Bool
    /// Where `low` and `high` are drawn.
    let start: Double
    let end: Double

    /// Covers the values; by value also 0, unless `isTight`.
    init(
        covering values: [Double], logarithmic: Bool, from start: Double, to end: Double,
        isTight: Bool = false
    ) {
        let usable = values.filter { $0.isFinite && (!logarithmic || $0 > 0) }
        let (least, most) = (usable.min() ?? 0, usable.max() ?? 1)
        isLogarithmic = logarithmic
        (self.start, self.end) = (start, end)
        if logarithmic {
            let (first, last) = (usable.isEmpty ? 1 : least, usable.isEmpty ? 10 : most)
            low = first / 1.25
            high = max(last * 1.25, low * 4)
        } else {
            let bottom = isTight ? least : min(0, least)
            let top = isTight ? most : max(0, most)
            let span = max(top - bottom, abs(top) * 1e-3, 1e-12)
            low = isTight ? bottom - span * 0.04 : bottom
            high = top + span * 0.06
        }
    }

    /// Where a value is drawn; what lies outside is drawn at the border.
    func place(_ value: Double) -> Double {
        let clamped = min(high, max(low, value.isFinite ? value : low))
        let share =
            isLogarithmic ? log(clamped / low) / log(high / low) : (clamped - low) / (high - low)
        return start + share * (end - start)
    }

    /// Whether the value is drawn where it is, and not at the border below.
    func shows(_ value: Double) -> Bool { value >= low }

    var ticks: [Double] {
        guard isLogarithmic else {
            let raw = (high - low) / 6
            let unit = pow(10, floor(log10(raw)))
            let step = unit * ([1, 2, 5, 10].first { $0 * unit >= raw } ?? 10)
            let first = Int((low / step).rounded(.up))
            let last = Int((high / step).rounded(.down))
            return first <= last ? (first...last).map { Double($0) * step } : []
        }
        let decades = Int(floor(log10(low)))...Int(ceil(log10(high)))
        let factors: [Double] = decades.count > 5 ? [1] : decades.count > 3 ? [1, 3] : [1, 2, 5]
        return decades.flatMap { decade in factors.map { $0 * pow(10, Double(decade)) } }
            .filter { $0 >= low && $0 <= high }
    }
}

/// A tick's number as short as it goes.
func tickText(_ value: Double) -> String {
    let size = abs(value)
    if size != 0, size < 1e-3 || size >= 1e6 { return String(format: "%.0e", value) }
    return String(format: "%g", (value * 1e6).rounded() / 1e6)
}

func coordinate(_ value: Double) -> String { String(format: "%.1f", value) }
