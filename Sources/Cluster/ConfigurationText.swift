import Yams

/// A configuration's text before anyone unfolds it: bounded in size and nesting.
///
/// The composer of the YAML library recurses once per level, so a hostile file could exhaust the stack. The
/// bounds here don't depend on telling quotes and comments apart, so that there is nothing to fool.
package enum ConfigurationText {
    static let sizeLimitBytes = 1 << 20
    /// Brackets that open anywhere, comments included; no configuration comes near, and the stack bears it.
    static let bracketLimit = 512
    /// Levels of brackets, or columns before a line's first word: each level of a block needs a column.
    static let depthLimit = 32
    static let columnLimit = 2 * depthLimit

    package struct Refusal: Error, Hashable {
        package let message: String
        package let line: Int
    }

    /// Refuses text that is too large or too deep to be composed.
    package static func guardBounds(_ yaml: String) throws(Refusal) {
        guard yaml.utf8.count <= sizeLimitBytes else {
            throw Refusal(message: "larger than 1 MiB; a configuration is a few lines", line: 0)
        }
        var line = 1
        var column = 0
        var indenting = true
        // Of the brackets at hand only those of a run are counted as levels: `[[[[` is deep, a list of pairs isn't.
        var depth = 0
        var brackets = 0
        for byte in yaml.utf8 {
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                if byte == UInt8(ascii: "\n") { line += 1 }
                column = 0
                indenting = true
                continue
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                brackets += 1
                indenting = false
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth = max(0, depth - 1)
                indenting = false
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "-"), UInt8(ascii: "?"),
                UInt8(ascii: ":"):
                column += 1
            case UInt8(ascii: "#"):
                // A comment nests nothing, however far to the right it stands.
                if indenting { column = 0 }
                indenting = false
            default:
                indenting = false
            }
            guard depth <= depthLimit, brackets <= bracketLimit, !indenting || column <= columnLimit else {
                throw Refusal(
                    message: "nested too deeply; a configuration has three levels of keys", line: line)
            }
        }
    }

    /// Composes the text with whatever was anchored: the library keeps anchors only as long as its parser lives.
    package static func compose<Result>(
        _ yaml: String, _ body: (Node) -> Result
    ) throws -> Result? {
        let parser = try Yams.Parser(yaml: yaml)
        return try withExtendedLifetime(parser) { try parser.singleRoot().map(body) }
    }

    /// What the YAML library found wrong, in words and with the line; 0 if it names none.
    package static func explain(_ error: any Error, in yaml: String) -> Refusal {
        guard let error = error as? YamlError else { return Refusal(message: "not YAML: \(error)", line: 0) }
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let place = context.map { " (\($0.text))" } ?? ""
            return Refusal(message: "not YAML: \(problem)\(place)", line: mark.line)
        case .duplicatedKeysInMapping(let duplicates, let context):
            let names = duplicates.map { "'\($0)'" }.joined(separator: ", ")
            return Refusal(message: "\(names) stands there twice", line: context.mark.line)
        case .reader(let problem, let offset, _, _):
            let line = offset.map { offset in
                1 + yaml.unicodeScalars.prefix(offset).filter { $0 == "\n" }.count
            }
            return Refusal(message: "not YAML: \(problem)", line: line ?? 0)
        case .no, .memory, .writer, .emitter, .representer, .dataCouldNotBeDecoded:
            return Refusal(message: "not YAML: \(error)", line: 0)
        }
    }
}
