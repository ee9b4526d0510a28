import Foundation

/// The report as files: `<name>.html`, `<name>.json` and `tables/<id>.csv`.
public struct ReportFiles {
    /// By path inside the report's folder.
    public let contents: [String: Data]

    public init(_ report: Report) throws {
        var contents = [
            report.subject.name + ".html": Data(Page(report: report).html.utf8),
            report.subject.name + ".json": try report.json(),
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
