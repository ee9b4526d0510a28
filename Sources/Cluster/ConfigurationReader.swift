import Yams

/// One scalar of the file or of `--set`, with the line that it came from.
struct ConfigurationEntry {
    let text: String
    let line: Int
    let file: String
}

/// Collects the scalars under dotted paths, then hands them out by type and remembers what was wrong.
struct ConfigurationReader {
    var entries: [String: ConfigurationEntry] = [:]
    private(set) var problems: [ConfigurationError.Problem] = []
    var known: Set<String> = []
    private let file: String
    private static let depthLimit = 8
    /// Keys that are understood but can't be obeyed yet.
    private static let laterKeys: Set<String> = ["hosts", "cluster.hosts"]

    init(file: String) { self.file = file }

    mutating func report(_ message: String, line: Int = 0, file: String? = nil) {
        problems.append(.init(file: file ?? self.file, line: line, message: message))
    }

    /// Reports at the line of a key, or at the whole file where the key has its default.
    mutating func report(_ message: String, at path: String) {
        report(message, line: entries[path]?.line ?? 0, file: entries[path]?.file)
    }

    /// Walks the tree. Anchors and what refers to them are refused, so that a small file can't unfold into a large one.
    mutating func collect(_ node: Node, path: String, depth: Int = 0) {
        let line = node.mark?.line ?? 0
        guard depth < Self.depthLimit else { return report("nested too deeply", line: line) }
        guard node.anchor == nil else {
            return report(
                "'*' and '&' (YAML aliases and anchors) are not supported; write the values out", line: line)
        }
        switch node {
        case .scalar(let scalar):
            entries[path] = .init(text: scalar.string, line: line, file: file)
        case .mapping(let mapping):
            if mapping.isEmpty { entries[path] = .init(text: "", line: line, file: file) }
            for (key, value) in mapping {
                collect(key: key, value: value, under: path, depth: depth + 1)
            }
        case .sequence: report("'\(path)' must not be a list", line: line)
        case .alias: report("aliases are not supported; write the value out", line: line)
        }
    }

    private mutating func collect(key: Node, value: Node, under path: String, depth: Int) {
        let line = key.mark?.line ?? 0
        guard let name = key.scalar?.string, key.anchor == nil else {
            return report("a key must be a word such as 'shards'", line: line)
        }
        let full = path.isEmpty ? name : "\(path).\(name)"
        if Self.laterKeys.contains(full) {
            return report(
                "'\(full)' is not available yet: on several boxes start each node with 'varve shard --join' and the like",
                line: line)
        }
        collect(value, path: full, depth: depth)
        if let entry = entries[full] {
            entries[full] = .init(text: entry.text, line: line, file: file)
        }
    }

    mutating func override(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            return report("'\(text)' must have the form key.path=value", file: "--set")
        }
        entries[String(parts[0])] = .init(text: String(parts[1]), line: 0, file: "--set")
    }

    mutating func string(_ path: String, _ value: inout String) {
        known.insert(path)
        if let entry = entries[path] { value = entry.text }
    }

    mutating func string(_ path: String, _ value: inout String?) {
        known.insert(path)
        if let entry = entries[path] { value = entry.text }
    }

    mutating func integer<I: FixedWidthInteger>(_ path: String, _ value: inout I, _ range: ClosedRange<I>) {
        known.insert(path)
        guard let entry = entries[path] else { return }
        guard let number = I(entry.text), range.contains(number) else {
            return report(
                "'\(path)' must be an integer of \(range.lowerBound) to \(range.upperBound), not '\(entry.text)'",
                at: path)
        }
        value = number
    }

    mutating func integer(_ path: String, _ value: inout Int?, _ range: ClosedRange<Int>) {
        guard entries[path] != nil else {
            _ = known.insert(path)
            return
        }
        var number = range.lowerBound
        integer(path, &number, range)
        value = number
    }

    mutating func number(_ path: String, _ value: inout Double, _ range: Range<Double>) {
        known.insert(path)
        guard let entry = entries[path] else { return }
        guard let number = Double(entry.text), range.contains(number) else {
            return report(
                "'\(path)' must be a number from \(range.lowerBound) to below \(range.upperBound), "
                    + "not '\(entry.text)'", at: path)
        }
        value = number
    }

    mutating func choice<E: RawRepresentable & CaseIterable>(
        _ path: String, _ value: inout E, later: [String] = []
    ) where E.RawValue == String {
        known.insert(path)
        guard let entry = entries[path] else { return }
        if let found = E(rawValue: entry.text) {
            value = found
            return
        }
        if later.contains(entry.text) {
            return report("'\(path): \(entry.text)' is not available yet", at: path)
        }
        let names = E.allCases.map(\.rawValue).joined(separator: ", ")
        report("'\(path)' must be one of \(names), not '\(entry.text)'", at: path)
    }

    /// Names each key that nothing asked for, with the nearest one that exists.
    mutating func reportUnknownKeys() {
        for (path, entry) in entries where !known.contains(path) && !path.isEmpty {
            if known.contains(where: { $0.hasPrefix(path + ".") }) {
                if entry.text.isEmpty { continue }
                report("'\(path)' must be a mapping", at: path)
                continue
            }
            let nearest = known.min { (editDistance($0, path), $0) < (editDistance($1, path), $1) } ?? ""
            let parent = path.split(separator: ".").dropLast().joined(separator: ".") + "."
            let hint = nearest.hasPrefix(parent) ? String(nearest.dropFirst(parent.count)) : nearest
            report("unknown key '\(path)' (did you mean '\(hint)'?)", at: path)
        }
        problems.sort { ($0.line, $0.message) < ($1.line, $1.message) }
    }
}
