import Foundation

/// The report as files: `paper.html`, `paper.json` and `tables/<id>.csv`.
public struct ReportFiles {
    /// By path inside the report's folder.
    public let contents: [String: Data]

    public init(_ report: Report) throws {
        var contents = [
            "paper.html": Data(Page(report: report).html.utf8), "paper.json": try report.json(),
        ]
        for table in report.tables { contents["tables/\(table.id).csv"] = Data(table.csv.utf8) }
        self.contents = contents
    }

    /// Each file appears whole or not at all.
    public func write(to folder: String) throws {
        try FileManager.default.createDirectory(
            atPath: folder + "/tables", withIntermediateDirectories: true)
        for (path, data) in contents {
            try data.write(to: URL(fileURLWithPath: "\(folder)/\(path)"), options: .atomic)
        }
    }
}
