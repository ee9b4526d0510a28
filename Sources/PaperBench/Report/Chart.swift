/// A picture that becomes SVG with a caption and a legend.
public protocol Chart: Sendable {
    var title: String { get }
    /// The names in the legend, in the order of their colours and shapes.
    var legend: [String] { get }
    /// Whether the legend's marks stand on a line.
    var hasLines: Bool { get }
    var svg: String { get }
}

extension Chart {
    var html: String {
        let keys = legend.enumerated().map { index, name in
            let line =
                hasLines
                ? "<path class=\"curve c\(index % 8)\" d=\"M1 7H25\"\(Mark.dash(index))/>" : ""
            return """
                <span><svg viewBox="0 0 26 14" aria-hidden="true">\(line)\(Mark.draw(index, x: 13, y: 7))</svg>\
                \(escaped(name))</span>
                """
        }
        let below = legend.count > 1 ? "<div class=\"legend\">\(keys.joined())</div>" : ""
        return "<figcaption>\(escaped(title))</figcaption>\(svg)\(below)"
    }

    /// The parts of a picture above the name of its axis.
    fileprivate func picture(
        _ parts: [String], axis: String, x: Double, y: String, height: String
    ) -> String {
        let name =
            "<text class=\"label\" x=\"\(coordinate(x))\" y=\"\(y)\" text-anchor=\"middle\">\(escaped(axis))</text>"
        return """
            <svg viewBox="0 0 950 \(height)" role="img" aria-label="\(escaped(title))">
            \((parts + [name]).joined(separator: "\n"))
            </svg>
            """
    }
}

/// Marks differ in shape as well as in colour: for print, and for those who see few colours.
enum Mark {
    static func draw(_ index: Int, x: Double, y: Double, isHollow: Bool = false) -> String {
        let (left, right, top, bottom) = (x - 4.5, x + 4.5, y - 4.5, y + 4.5)
        func text(_ points: [(Double, Double)]) -> String {
            points.map { "\(coordinate($0.0)),\(coordinate($0.1))" }.joined(separator: " ")
        }
        let style = "class=\"mark c\(index % 8)\(isHollow ? " hollow" : "")\""
        switch index % 4 {
        case 0:
            return "<circle \(style) cx=\"\(coordinate(x))\" cy=\"\(coordinate(y))\" r=\"4.2\"/>"
        case 1:
            return
                "<polygon \(style) points=\"\(text([(left, top + 1), (right, top + 1), (right, bottom - 1), (left, bottom - 1)]))\"/>"
        case 2:
            return "<polygon \(style) points=\"\(text([(x, top), (right, bottom), (left, bottom)]))\"/>"
        default:
            return
                "<polygon \(style) points=\"\(text([(x, top - 1), (right + 1, y), (x, bottom + 1), (left - 1, y)]))\"/>"
        }
    }

    static func dash(_ index: Int) -> String {
        ["", " stroke-dasharray=\"7 3\"", " stroke-dasharray=\"2 3\"", " stroke-dasharray=\"9 3 2 3\""][
            index / 2 % 4]
    }
}

/// A row for each thing that is compared, a mark for each series on it, with its interval.
public struct DotChart: Chart {
    public struct Dot: Sendable, Hashable {
        public var value: Double
        public var low: Double
        public var high: Double

        public init(_ value: Double, low: Double? = nil, high: Double? = nil) {
            (self.value, self.low, self.high) = (value, low ?? value, high ?? value)
        }
    }
    public var title: String
    public var axis: String
    public var rows: [String]
    public var series: [String]
    /// By row, then by series; nil where there is none.
    public var dots: [[Dot?]]
    public var isLogarithmic: Bool
    public var isTight = false
    /// What is smaller is drawn hollow, at the axis' lower end.
    public var least = 0.0

    public init(
        title: String, axis: String, rows: [String], series: [String], dots: [[Dot?]], isLogarithmic: Bool,
        isTight: Bool = false, least: Double = 0
    ) {
        (self.title, self.axis, self.rows, self.series) = (title, axis, rows, series)
        (self.dots, self.isLogarithmic, self.isTight, self.least) = (dots, isLogarithmic, isTight, least)
    }

    public var legend: [String] { series }
    public var hasLines: Bool { false }

    public var svg: String {
        let (left, right, lane) = (190.0, 940.0, 15.0)
        let rowHeight = Double(max(series.count, 2)) * lane + 8
        let bottom = 8 + rowHeight * Double(rows.count)
        let known = dots.joined().compactMap { $0 }
        // The ends of intervals count by value; by logarithm they may be at 0, and are cut off.
        let scale = Scale(
            covering: known.flatMap {
                isLogarithmic
                    ? [max($0.value, least), max($0.high, least)] : [$0.low, $0.value, $0.high]
            },
            logarithmic: isLogarithmic, from: left + 10, to: right, isTight: isTight)
        var parts: [String] = []
        for index in rows.indices where index % 2 == 0 {
            let top = 8 + rowHeight * Double(index)
            parts.append(
                "<rect class=\"band\" x=\"0\" y=\"\(coordinate(top))\" width=\"950\" height=\"\(coordinate(rowHeight))\"/>"
            )
        }
        for tick in scale.ticks {
            let x = coordinate(scale.place(tick))
            parts.append("<path class=\"grid\" d=\"M\(x) 8V\(coordinate(bottom))\"/>")
            parts.append(
                "<text class=\"label\" x=\"\(x)\" y=\"\(coordinate(bottom + 17))\" text-anchor=\"middle\">\(tickText(tick))</text>"
            )
        }
        for (index, name) in rows.enumerated() {
            let middle = 8 + rowHeight * (Double(index) + 0.5)
            parts.append(
                "<text class=\"name\" x=\"\(left - 4)\" y=\"\(coordinate(middle + 4.5))\" text-anchor=\"end\">\(escaped(name))</text>"
            )
            for (place, dot) in dots[index].enumerated() {
                guard let dot else { continue }
                let y = middle + (Double(place) - Double(series.count - 1) / 2) * lane
                if dot.high > dot.low {
                    let (from, to) = (scale.place(dot.low), scale.place(dot.high))
                    parts.append(
                        "<path class=\"whisker c\(place % 8)\" d=\"M\(coordinate(from)) \(coordinate(y))H\(coordinate(to))\"/>"
                    )
                }
                parts.append(
                    Mark.draw(
                        place, x: scale.place(dot.value), y: y,
                        isHollow: dot.value < least || !scale.shows(dot.value)))
            }
        }
        return picture(
            parts, axis: axis, x: (left + right) / 2, y: coordinate(bottom + 38),
            height: coordinate(bottom + 46))
    }
}

/// Curves over a common axis.
public struct LineChart: Chart {
    public struct Series: Sendable, Hashable {
        public var name: String
        public var points: [Point]
        public var hasMarks: Bool

        public init(_ name: String, _ points: [Point], hasMarks: Bool = true) {
            (self.name, self.points, self.hasMarks) = (name, points, hasMarks)
        }
    }
    public struct Point: Sendable, Hashable {
        public var x: Double
        public var y: Double

        public init(_ x: Double, _ y: Double) { (self.x, self.y) = (x, y) }
    }
    public var title: String
    public var xAxis: String
    public var yAxis: String
    public var series: [Series]
    public var isLogarithmicX = false
    public var isLogarithmicY = false
    /// Whether the vertical axis begins at the least value, not at 0.
    public var isTight = false

    public var legend: [String] { series.map(\.name) }
    public var hasLines: Bool { true }

    public var svg: String {
        let (left, right, top, bottom) = (80.0, 940.0, 30.0, 330.0)
        let points = series.flatMap(\.points)
        let x = Scale(
            covering: points.map(\.x), logarithmic: isLogarithmicX, from: left, to: right,
            isTight: isLogarithmicX)
        let y = Scale(
            covering: points.map(\.y), logarithmic: isLogarithmicY, from: bottom, to: top, isTight: isTight)
        var parts = ["<text class=\"label\" x=\"4\" y=\"16\">\(escaped(yAxis))</text>"]
        for tick in y.ticks {
            let place = coordinate(y.place(tick))
            parts.append("<path class=\"grid\" d=\"M\(left) \(place)H\(right)\"/>")
            parts.append(
                "<text class=\"label\" x=\"\(left - 8)\" y=\"\(coordinate(y.place(tick) + 4.5))\" text-anchor=\"end\">\(tickText(tick))</text>"
            )
        }
        for tick in x.ticks {
            let place = coordinate(x.place(tick))
            parts.append("<path class=\"axis\" d=\"M\(place) \(bottom)v5\"/>")
            parts.append(
                "<text class=\"label\" x=\"\(place)\" y=\"\(bottom + 20)\" text-anchor=\"middle\">\(tickText(tick))</text>"
            )
        }
        parts.append("<path class=\"axis\" d=\"M\(left) \(bottom)H\(right)\"/>")
        for (index, series) in series.enumerated() {
            let line = series.points.map { "\(coordinate(x.place($0.x))) \(coordinate(y.place($0.y)))" }
            guard !line.isEmpty else { continue }
            parts.append(
                "<path class=\"curve c\(index % 8)\" d=\"M\(line.joined(separator: "L"))\"\(Mark.dash(index))/>"
            )
            // A mark now and then where there are many points.
            let stride = max(1, (series.points.count + 9) / 10)
            for (place, point) in series.points.enumerated() where place % stride == 0 && series.hasMarks {
                parts.append(Mark.draw(index, x: x.place(point.x), y: y.place(point.y)))
            }
        }
        return picture(
            parts, axis: xAxis, x: (left + right) / 2, y: "\(bottom + 42)", height: "\(bottom + 50)")
    }
}
