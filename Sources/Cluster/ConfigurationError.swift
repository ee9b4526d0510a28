/// Why a configuration was refused: one sentence per problem, each with file and line.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One problem and where it stands; line 0 stands for a `--set` override or the file as a whole.
    public struct Problem: Hashable, Sendable, CustomStringConvertible {
        public let file: String
        public let line: Int
        public let message: String

        package init(file: String, line: Int, message: String) {
            self.file = file
            self.line = line
            self.message = message
        }

        public var description: String { line > 0 ? "\(file):\(line): \(message)" : "\(file): \(message)" }
    }

    public let problems: [Problem]

    package init(problems: [Problem]) { self.problems = problems }
    /// EX_CONFIG.
    public var exitCode: Int32 { 78 }
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// The number of single-letter edits between two words.
package func editDistance(_ first: String, _ second: String) -> Int {
    let target = Array(second.unicodeScalars)
    var row = Array(0...target.count)
    for (i, letter) in first.unicodeScalars.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in target.indices {
            let substituted = diagonal + (letter == target[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
        }
    }
    return row[target.count]
}
