import Foundation

/// The report of one drill: `index.html`, `junit.xml` and `drill.json` in one folder.
public struct DrillReport {
    let result: DrillResult

    public init(_ result: DrillResult) { self.result = result }

    /// Writes the files; each appears by rename.
    public func write(to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        let json = String(decoding: try encoder.encode(result), as: UTF8.self) + "\n"
        try json.write(toFile: "\(folder)/drill.json", atomically: true, encoding: .utf8)
        try JUnit(result: result).xml.write(toFile: "\(folder)/junit.xml", atomically: true, encoding: .utf8)
        try Page(result: result).html.write(toFile: "\(folder)/index.html", atomically: true, encoding: .utf8)
    }
}
