/// Where a run stands, and how that looks in one line.
///
/// Rendering is pure: width in, text out. What isn't known yet is nil and left out.
struct ProgressBar: Sendable, Hashable {
    /// Training steps done, and how many there are to do.
    var step: Int
    var target: Int
    /// What is counted, as one of it.
    var unit: String
    var loss: Double?
    var stepsPerSecond: Double?
    /// How many steps training is ahead of the last committed checkpoint.
    var checkpointLagSteps: Int?
    /// Raw bytes over encoded bytes of the checkpoints so far.
    var compressionRatio: Double?

    init(
        step: Int, target: Int, loss: Double? = nil, stepsPerSecond: Double? = nil,
        checkpointLagSteps: Int? = nil, compressionRatio: Double? = nil, unit: String = "step"
    ) {
        self.unit = unit
        self.step = step
        self.target = target
        self.loss = loss
        self.stepsPerSecond = stepsPerSecond
        self.checkpointLagSteps = checkpointLagSteps
        self.compressionRatio = compressionRatio
    }

    /// From 0 to 1; a target of no steps is done from the start.
    var fraction: Double {
        target > 0 ? min(1, max(0, Double(step) / Double(target))) : 1
    }

    /// The time that the rest takes at the present rate.
    var secondsLeft: Double? {
        guard let rate = stepsPerSecond, rate > 0, rate.isFinite else { return nil }
        return Double(max(0, target - step)) / rate
    }

    /// The fields in order of worth: a narrow terminal loses the last ones first.
    private var fields: [String] {
        var fields = ["\(step)/\(target)"]
        if let loss { fields.append("loss " + fixed(loss, decimals: 3)) }
        if let secondsLeft, step < target { fields.append(humanSeconds(secondsLeft) + " left") }
        if let rate = stepsPerSecond { fields.append(fixed(rate, decimals: 1) + " \(unit)s/s") }
        if let lag = checkpointLagSteps { fields.append("lag \(lag)") }
        if let ratio = compressionRatio { fields.append(fixed(ratio, decimals: 1) + "x smaller") }
        return fields
    }

    /// The line for a terminal: at most `columns - 1` characters, so that no terminal wraps it.
    func line(columns: Int, colours: Bool) -> String {
        let room = max(0, columns - 1)
        var shown = fields
        var text = shown.joined(separator: "  ")
        while shown.count > 1, text.count > room {
            shown.removeLast()
            text = shown.joined(separator: "  ")
        }
        guard text.count <= room else { return String(text.prefix(room)) }
        let cells = min(32, room - text.count - 3)
        guard cells >= 8 else { return text }
        let full = Int((Double(cells) * fraction).rounded(.down))
        let done = String(repeating: "━", count: full)
        let open = String(repeating: "─", count: cells - full)
        return " " + Colour.green.paint(done, colours) + Colour.dim.paint(open, colours) + "  " + text
    }

    /// The line for a log: every field, no bar.
    var plain: String {
        let percent = fixed(fraction * 100, decimals: 0) + " %"
        return (["\(unit) \(step)/\(target) (\(percent))"] + fields.dropFirst()).joined(separator: ", ")
    }
}

/// Rows under headings, each column as wide as its widest cell.
struct TextTable: Sendable, Hashable {
    enum Alignment: Sendable, Hashable { case left, right }
    /// A heading and how the cells below it stand: numbers to the right, words to the left.
    struct Column: Sendable, Hashable {
        let title: String
        let alignment: Alignment

        init(_ title: String, _ alignment: Alignment = .left) {
            self.title = title
            self.alignment = alignment
        }
    }

    let columns: [Column]
    private(set) var rows: [[String]] = []

    init(_ columns: [Column]) { self.columns = columns }

    /// Adds a row; missing cells are empty, surplus ones are dropped, and a cell stays in its line.
    mutating func add(_ cells: [String]) {
        let line = cells.prefix(columns.count).map(oneLine)
        rows.append(line + Array(repeating: "", count: columns.count - line.count))
    }

    /// The lines, without spaces at their ends; `heading` is painted on a terminal with colours.
    func render(colours: Bool = false) -> String {
        let widths = columns.indices.map { column in
            rows.reduce(columns[column].title.count) { max($0, $1[column].count) }
        }
        func line(_ cells: [String]) -> String {
            var text = ""
            for column in columns.indices {
                let padding = String(repeating: " ", count: widths[column] - cells[column].count)
                if column > 0 { text += "  " }
                switch columns[column].alignment {
                case .left: text += cells[column] + padding
                case .right: text += padding + cells[column]
                }
            }
            while text.last == " " { text.removeLast() }
            return text
        }
        let heading = Colour.bold.paint(line(columns.map(\.title)), colours)
        return ([heading] + rows.map(line)).joined(separator: "\n")
    }
}
