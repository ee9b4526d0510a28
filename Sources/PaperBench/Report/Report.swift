import Foundation

/// One entry of a table.
public enum Value: Sendable, Hashable {
    case text(String)
    case integer(Int)
    /// Shown with three digits; whole in CSV and JSON.
    case number(Double)
    /// Holds, or does not.
    case verdict(Bool)

    /// As CSV and JSON have it, without quotes.
    var plain: String {
        switch self {
        case .text(let text): text
        case .integer(let number): "\(number)"
        case .number(let number): number.isFinite ? "\(number)" : ""
        case .verdict(let holds): holds ? "holds" : "does not hold"
        }
    }

    /// As people read it.
    public var shown: String {
        switch self {
        case .number(let number): number.isFinite ? readable(number) : "–"
        case .text, .integer, .verdict: plain
        }
    }

    var isNumber: Bool {
        switch self {
        case .text, .verdict: false
        case .integer, .number: true
        }
    }
}

/// Three digits; no exponent between a ten-thousandth and a million.
func readable(_ value: Double) -> String {
    let size = abs(value)
    if size == 0 { return "0" }
    if size < 1e-3 || size >= 1e6 { return String(format: "%.1e", value) }
    if size >= 100 { return String(format: "%.0f", value) }
    return String(format: size >= 10 ? "%.1f" : size >= 1 ? "%.2f" : "%.3f", value)
}

/// Rows of values, which also become a CSV file.
public struct Table: Sendable, Hashable {
    public struct Column: Sendable, Hashable {
        public var name: String
        /// Differs from run to run, whatever the seed.
        public var isTiming: Bool

        public init(_ name: String, isTiming: Bool = false) {
            (self.name, self.isTiming) = (name, isTiming)
        }
    }
    /// Also the CSV file's name.
    public var id: String
    public var title: String
    public var columns: [Column]
    public var rows: [[Value]]
    /// Long ones are folded away until they are asked for.
    public var isDetail = false

    public init(id: String, title: String, columns: [Column], rows: [[Value]], isDetail: Bool = false) {
        (self.id, self.title, self.columns, self.rows) = (id, title, columns, rows)
        self.isDetail = isDetail
    }

    /// Lines of comma-separated values with a heading (RFC 4180).
    public var csv: String {
        func line(_ cells: [String]) -> String {
            cells.map { cell in
                let needsQuotes = cell.contains { $0 == "," || $0 == "\"" || $0.isNewline }
                return needsQuotes ? "\"" + cell.replacing("\"", with: "\"\"") + "\"" : cell
            }.joined(separator: ",") + "\r\n"
        }
        return line(columns.map(\.name)) + rows.map { line($0.map(\.plain)) }.joined()
    }
}

/// An experiment with its figures.
public struct Section: Sendable {
    public var id: String
    public var title: String
    public var text: [String]
    /// What computes it again.
    public var command: String
    public var charts: [any Chart]
    public var tables: [Table]

    public init(
        id: String, title: String, text: [String], command: String, charts: [any Chart], tables: [Table]
    ) {
        (self.id, self.title, self.text, self.command) = (id, title, text, command)
        (self.charts, self.tables) = (charts, tables)
    }
}

/// What a report is of: the name of its files, and the words at its head.
public struct ReportSubject: Sendable, Hashable {
    public var name: String
    public var title: String
    public var about: String

    public init(name: String, title: String, about: String) {
        (self.name, self.title, self.about) = (name, title, about)
    }

    public static let paper = ReportSubject(
        name: "paper", title: "LC-Checkpoint on Varve",
        about: """
            The experiments of “On Efficient Constructions of Checkpoints” (Chen, Liu, Ren, Jin, 2020) on the code of this \
            parameter server: what its checkpoints take, and what training loses when shards are lost.
            """)
}

/// Everything that one run of the experiments, or of a benchmark, found.
public struct Report: Sendable {
    public var subject: ReportSubject
    public var seed: UInt64
    public var machine: String
    public var command: String
    /// What was asked and what came out.
    public var headline: Table
    public var sections: [Section]

    public init(
        _ subject: ReportSubject = .paper, seed: UInt64, machine: String, command: String, headline: Table,
        sections: [Section]
    ) {
        (self.subject, self.seed, self.machine, self.command) = (subject, seed, machine, command)
        (self.headline, self.sections) = (headline, sections)
    }

    public var tables: [Table] { [headline] + sections.flatMap(\.tables) }

    /// The figures as one JSON object: `tables` by their ids, each a list of objects by column.
    public func json() throws -> Data {
        var members: [String: Any] = ["seed": seed, "machine": machine, "command": command]
        var byID: [String: Any] = [:]
        for table in tables {
            byID[table.id] = table.rows.map { row in
                Dictionary(uniqueKeysWithValues: zip(table.columns.map(\.name), row.map(\.json)))
            }
        }
        members["tables"] = byID
        return try JSONSerialization.data(withJSONObject: members, options: [.sortedKeys, .prettyPrinted])
    }
}

extension Value {
    fileprivate var json: Any {
        switch self {
        case .text(let text): text
        case .integer(let number): number
        case .number(let number): number.isFinite ? number : NSNull()
        case .verdict(let holds): holds
        }
    }
}
