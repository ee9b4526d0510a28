/// Maps values to places in a picture, and chooses round numbers for its axis.
struct Scale {
    var low: Double
    var high: Double
    var from: Double
    var to: Double

    init(_ low: Double, _ high: Double, from: Double, to: Double) {
        self.low = low
        self.high = high > low ? high : low + 1
        self.from = from
        self.to = to
    }

    func callAsFunction(_ value: Double) -> Double {
        from + (min(max(value, low), high) - low) / (high - low) * (to - from)
    }

    /// Round values, about as many as asked for.
    func ticks(_ count: Int) -> [Double] {
        let rough = (high - low) / Double(max(count, 1))
        var unit = 1.0
        while unit * 10 <= rough { unit *= 10 }
        while unit > rough { unit /= 10 }
        let step = [1.0, 2, 5, 10].map { $0 * unit }.first { $0 >= rough } ?? unit * 10
        var ticks: [Double] = []
        var value = (low / step).rounded(.up) * step
        while value <= high + step * 1e-9 {
            ticks.append(value)
            value += step
        }
        return ticks
    }
}

/// Builds SVG text. Colours come from the page's classes, so that a picture fits light and dark.
struct Drawing {
    let width: Double
    let height: Double
    private var parts: [String] = []

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    static func number(_ value: Double) -> String {
        let rounded = (value * 10).rounded() / 10
        return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
        let n = Self.number
        parts.append(
            "<line class=\"\(style)\" x1=\"\(n(x1))\" y1=\"\(n(y1))\" x2=\"\(n(x2))\" y2=\"\(n(y2))\"/>")
    }

    /// - Parameter title: shown when pointed at.
    mutating func bar(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, title: String = ""
    ) {
        let n = Self.number
        let told = title.isEmpty ? "/>" : "><title>\(escaped(title))</title></rect>"
        parts.append(
            "<rect class=\"\(style)\" x=\"\(n(x))\" y=\"\(n(y))\" width=\"\(n(max(width, 1.5)))\" height=\"\(n(height))\" rx=\"2\"\(told)"
        )
    }

    mutating func text(
        _ x: Double, _ y: Double, _ text: String, _ style: String = "label", anchor: String = "start"
    ) {
        let n = Self.number
        parts.append(
            "<text class=\"\(style)\" x=\"\(n(x))\" y=\"\(n(y))\" text-anchor=\"\(anchor)\">\(escaped(text))</text>"
        )
    }

    mutating func path(_ points: [(Double, Double)], _ style: String) {
        guard points.count > 1 else { return }
        let n = Self.number
        let text = points.enumerated().map {
            "\($0.offset == 0 ? "M" : "L")\(n($0.element.0)) \(n($0.element.1))"
        }
        parts.append("<path class=\"\(style)\" d=\"\(text.joined(separator: " "))\"/>")
    }

    /// A mark that points down at a moment.
    mutating func mark(_ x: Double, _ y: Double, _ style: String, title: String) {
        let n = Self.number
        parts.append(
            "<path class=\"\(style)\" d=\"M\(n(x - 5)) \(n(y - 7)) L\(n(x + 5)) \(n(y - 7)) L\(n(x)) \(n(y + 3)) Z\"><title>\(escaped(title))</title></path>"
        )
    }

    func svg(_ label: String) -> String {
        "<svg viewBox=\"0 0 \(Self.number(width)) \(Self.number(height))\" role=\"img\" aria-label=\"\(escaped(label))\">"
            + parts.joined() + "</svg>"
    }
}

/// Text for HTML and XML, attributes included.
func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        case "\n", "\t": result.unicodeScalars.append(scalar)
        case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value): result += "\u{FFFD}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
