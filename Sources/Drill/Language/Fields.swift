import Cluster
import Yams

/// Collects what is wrong with a file, each with its line.
final class Problems {
    let file: String
    private(set) var list: [ConfigurationError.Problem] = []

    init(file: String) { self.file = file }

    func add(_ message: String, line: Int) { list.append(.init(file: file, line: line, message: message)) }
    func add(_ others: [ConfigurationError.Problem]) { list += others }
}

/// One mapping of a drill's file. Remembers which keys were asked for, so that the others can be told of.
final class Fields {
    let line: Int
    private let what: String
    private let problems: Problems
    private var entries: [(key: String, line: Int, node: Node)] = []
    private var asked: [String] = []

    /// - Parameter what: what the mapping is, for sentences: `a step`, `expect`.
    init?(_ node: Node, what: String, problems: Problems) {
        line = node.mark?.line ?? 0
        self.what = what
        self.problems = problems
        guard node.anchor == nil, let mapping = node.mapping else {
            problems.add("\(what) must be a mapping such as 'key: value'", line: line)
            return nil
        }
        for (key, value) in mapping {
            let at = key.mark?.line ?? line
            guard let name = key.scalar?.string, key.anchor == nil, value.anchor == nil, !value.isAlias else {
                problems.add(
                    "'*' and '&' (YAML aliases and anchors) are not supported; write it out", line: at)
                continue
            }
            entries.append((name, at, value))
        }
    }

    func has(_ key: String) -> Bool { entries.contains { $0.key == key } }
    func line(of key: String) -> Int { entries.first { $0.key == key }?.line ?? line }
    func complain(_ message: String, at key: String) { problems.add(message, line: line(of: key)) }

    func node(_ key: String) -> Node? {
        if !asked.contains(key) { asked.append(key) }
        return entries.first { $0.key == key }?.node
    }

    func text(_ key: String) -> String? {
        guard let node = node(key) else { return nil }
        guard let text = node.scalar?.string else {
            complain("'\(key)' must be a word or a number", at: key)
            return nil
        }
        return text
    }

    /// One word, or a list of them.
    func words(_ key: String) -> [String]? {
        guard let node = node(key) else { return nil }
        if let text = node.scalar?.string { return [text] }
        let words = node.sequence?.compactMap { $0.anchor == nil ? $0.scalar?.string : nil }
        guard let words, words.count == node.sequence?.count, !words.isEmpty else {
            complain("'\(key)' must be a word or a list of words", at: key)
            return nil
        }
        return words
    }

    func integer(_ key: String, _ range: ClosedRange<Int>) -> Int? {
        guard let text = text(key) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            complain(
                "'\(key)' must be an integer of \(range.lowerBound) to \(range.upperBound), not '\(text)'",
                at: key)
            return nil
        }
        return number
    }

    func fraction(_ key: String) -> Double? {
        guard let text = text(key) else { return nil }
        guard let number = Double(text), number >= 0, number < 1000 else {
            complain("'\(key)' must be a number of 0 or more, not '\(text)'", at: key)
            return nil
        }
        return number
    }

    func flag(_ key: String) -> Bool? {
        guard let text = text(key) else { return nil }
        switch text {
        case "true": return true
        case "false": return false
        default:
            complain("'\(key)' is true or false, not '\(text)'", at: key)
            return nil
        }
    }

    /// A time such as `250ms`, `1.5s` or `2m`, in milliseconds.
    func milliseconds(_ key: String, _ range: ClosedRange<Int> = 1...3_600_000) -> Int? {
        guard let text = text(key) else { return nil }
        guard let value = Self.milliseconds(text), range.contains(value) else {
            complain(
                "'\(key)' must be a time such as 250ms, 5s or 1m, at most an hour, not '\(text)'", at: key)
            return nil
        }
        return value
    }

    static func milliseconds(_ text: String) -> Int? {
        for (unit, factor) in [("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)] where text.hasSuffix(unit) {
            guard let number = Double(text.dropLast(unit.count)), number >= 0, number < 1e9 else {
                return nil
            }
            return Int((number * factor).rounded())
        }
        return nil
    }

    /// A rate such as `64KiB/s`, in bytes per second.
    func rate(_ key: String) -> Int? {
        guard let text = text(key) else { return nil }
        for (unit, factor) in [("KiB/s", 1024), ("MiB/s", 1 << 20), ("B/s", 1)] where text.hasSuffix(unit) {
            if let number = Int(text.dropLast(unit.count)), number > 0, number < 1 << 20 {
                return number * factor
            }
        }
        complain("'\(key)' must be a rate such as 64KiB/s, not '\(text)'", at: key)
        return nil
    }

    /// Tells of every key that nobody asked for, with the nearest that would have been understood.
    ///
    /// - Parameter but: keys that may still be asked for.
    /// - Returns: whether there was any.
    @discardableResult
    func reportUnknown(but others: [String] = []) -> Bool {
        let known = asked + others
        let unknown = entries.filter { !known.contains($0.key) }
        for entry in unknown {
            let near = nearest(entry.key, known)
            problems.add("\(what) has no key '\(entry.key)' (did you mean '\(near)'?)", line: entry.line)
        }
        return !unknown.isEmpty
    }
}

extension Node {
    var isAlias: Bool {
        if case .alias = self { return true }
        return false
    }
}
