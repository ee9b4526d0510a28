import Cluster
import Foundation
import Yams

extension DrillFile {
    /// Reads a drill and checks all of it before anything is started.
    ///
    /// - Parameter readFile: the text of the file that `cluster.file` names, or nil.
    /// - Throws: every problem that was found, each with its line.
    public static func parse(
        yaml: String, file: String, readFile: @escaping (String) -> String?
    ) throws(ConfigurationError) -> DrillFile {
        let problems = Problems(file: file)
        var drill: DrillFile?
        do {
            try ConfigurationText.guardBounds(yaml)
            let found = try ConfigurationText.compose(yaml) { root in
                DrillParser(problems: problems, file: file, readFile: readFile).drill(root)
            }
            drill = found ?? nil
            if found == nil { problems.add("is empty; a drill begins with 'version: 1'", line: 1) }
        } catch let refusal as ConfigurationText.Refusal {
            problems.add(refusal.message, line: refusal.line)
        } catch {
            let refusal = ConfigurationText.explain(error, in: yaml)
            problems.add(refusal.message, line: refusal.line)
        }
        guard problems.list.isEmpty, let drill else {
            let sorted = problems.list.sorted {
                ($0.file, $0.line, $0.message) < ($1.file, $1.line, $1.message)
            }
            throw ConfigurationError(problems: sorted)
        }
        return drill
    }
}

/// Walks the tree of a drill's file.
struct DrillParser {
    let problems: Problems
    let file: String
    let readFile: (String) -> String?

    func drill(_ root: Node) -> DrillFile? {
        guard let fields = Fields(root, what: "a drill", problems: problems) else { return nil }
        guard let version = fields.text("version") else {
            problems.add("'version: 1' is missing", line: 1)
            return nil
        }
        guard version == "1" else {
            fields.complain(
                "version \(version) of drills is unknown to this varve, which reads 1", at: "version")
            return nil
        }
        let stem = (file as NSString).lastPathComponent
        let name = fields.text("name") ?? (stem as NSString).deletingPathExtension
        if !name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) })
            || name.isEmpty
        {
            fields.complain("'name' is made of letters, digits, '-', '_' and '.', not '\(name)'", at: "name")
        }
        let about = fields.text("about") ?? ""
        let seed = fields.integer("seed", 0...Int.max) ?? 1
        let timeout = fields.milliseconds("timeout") ?? 120_000
        let configuration = cluster(fields) ?? ClusterConfiguration()
        var ending = DrillFile.Ending.stopped
        if let text = fields.text("ends") {
            if let known = DrillFile.Ending(rawValue: text) {
                ending = known
            } else {
                fields.complain("'ends' is stopped, finished or refused, not '\(text)'", at: "ends")
            }
        }
        var steps: [DrillStep] = []
        if let node = fields.node("steps") {
            steps = self.steps(node, configuration, line: fields.line(of: "steps"))
        } else {
            problems.add("'steps' is missing: a drill without steps shows nothing", line: fields.line)
        }
        let expectations = fields.node("expect").map { expect($0, ending) } ?? Expectations()
        fields.reportUnknown()
        let drill = DrillFile(
            path: file, name: name, about: about, seed: UInt64(seed), timeoutMilliseconds: timeout,
            configuration: configuration, steps: steps, ending: ending, expectations: expectations)
        // A step that could not be read is not there for the others, which may name it.
        guard problems.list.isEmpty else { return drill }
        DrillChecks(problems: problems).check(drill, expectLine: fields.line(of: "expect"))
        return drill
    }

    private func cluster(_ drill: Fields) -> ClusterConfiguration? {
        guard let node = drill.node("cluster") else {
            problems.add("'cluster' is missing: give 'file: PATH' or 'configuration: {…}'", line: drill.line)
            return nil
        }
        guard let fields = Fields(node, what: "cluster", problems: problems) else { return nil }
        let path = fields.text("file")
        let inline = fields.node("configuration")
        let overrides = fields.words("set") ?? []
        fields.reportUnknown()
        do throws(ConfigurationError) {
            switch (path, inline) {
            case (let path?, nil):
                let full =
                    path.hasPrefix("/") ? path : (file as NSString).deletingLastPathComponent + "/" + path
                guard
                    let text = readFile(
                        full.hasPrefix("/") && !file.hasPrefix("/") && !path.hasPrefix("/")
                            ? String(full.dropFirst()) : full)
                else {
                    fields.complain("can't read the configuration '\(path)' beside this drill", at: "file")
                    return nil
                }
                return try ClusterConfiguration.parse(yaml: text, file: path, overrides: overrides)
            case (nil, let inline?):
                return try ClusterConfiguration.parse(node: inline, file: file, overrides: overrides)
            case (nil, nil), (.some, .some):
                fields.complain("'cluster' takes either 'file: PATH' or 'configuration: {…}'", at: "cluster")
                return nil
            }
        } catch {
            problems.add(
                error.problems.map {
                    // What `set:` says wrongly has no line of its own.
                    $0.line > 0 ? $0 : .init(file: file, line: fields.line(of: "set"), message: $0.message)
                })
            return nil
        }
    }

    private func expect(_ node: Node, _ ending: DrillFile.Ending) -> Expectations {
        var expectations = Expectations()
        guard let fields = Fields(node, what: "expect", problems: problems) else { return expectations }
        if let words = fields.words("invariants"), words != ["all"] {
            expectations.invariants = words.compactMap { word in
                guard let known = Invariant(rawValue: word) else {
                    let near = nearest(word, Invariant.allCases.map(\.rawValue))
                    fields.complain("'\(word)' is no invariant (did you mean '\(near)'?)", at: "invariants")
                    return nil
                }
                guard Invariant.observable.contains(known) else {
                    fields.complain(
                        "'\(word)' does not show from outside a running cluster; 'varve simulate' checks it",
                        at: "invariants")
                    return nil
                }
                return known
            }
        }
        expectations.lostSteps = fields.integer("lost_steps", 0...1_000_000)
        expectations.recoveredWithinMilliseconds = fields.milliseconds("recovered_within")
        expectations.recoveriesAtLeast = fields.integer("recoveries_at_least", 0...100_000)
        expectations.accuracyWithin = fields.fraction("accuracy_within")
        expectations.sameBits = fields.flag("same_bits")
        expectations.restoredTwice = fields.flag("restored_twice") ?? true
        expectations.noOrphans = fields.flag("no_orphans") ?? true
        expectations.throughputAfter = fields.fraction("throughput_after")
        expectations.says = fields.text("says")
        if expectations.says != nil, ending != .refused {
            fields.complain("'says' is for a drill with 'ends: refused'", at: "says")
        }
        fields.reportUnknown()
        return expectations
    }
}
