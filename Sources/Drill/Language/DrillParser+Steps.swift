import Cluster
import Yams

extension DrillParser {
    private static let actions = ["wait", "assert", "fault", "heal", "pause", "run", "verify", "parallel"]

    /// What a step may have besides what it does.
    private static let details = [
        "name", "within", "for", "target", "between", "from", "to", "repeat", "delay", "jitter", "bandwidth",
        "age", "by", "during", "count", "record",
    ]

    func steps(_ node: Node, _ configuration: ClusterConfiguration, line: Int) -> [DrillStep] {
        guard node.anchor == nil, let list = node.sequence, !list.isEmpty else {
            problems.add("must be a list of steps, each begun with '- '", line: line)
            return []
        }
        return list.enumerated().compactMap { step($0.element, number: $0.offset + 1, configuration) }
    }

    private func step(_ node: Node, number: Int, _ configuration: ClusterConfiguration) -> DrillStep? {
        guard let fields = Fields(node, what: "step \(number)", problems: problems) else { return nil }
        let given = Self.actions.filter(fields.has)
        guard given.count == 1, let kind = given.first else {
            let names = Self.actions.joined(separator: ", ")
            problems.add(
                given.isEmpty
                    ? "step \(number) does nothing: give one of \(names)"
                    : "step \(number) has '\(given.joined(separator: "' and '"))'; each step does one thing",
                line: fields.line)
            return nil
        }
        // What is missing then may only be misspelt.
        guard !fields.reportUnknown(but: Self.actions + Self.details) else { return nil }
        let name = fields.text("name")
        guard let action = action(kind, fields, configuration) else {
            return nil
        }
        fields.reportUnknown()
        return DrillStep(
            name: name ?? "\(number). \(Self.word(for: action))", line: fields.line, action: action)
    }

    private static func word(for action: DrillStep.Action) -> String {
        switch action {
        case .wait(let condition, _): "wait for \(condition.text)"
        case .assert(let condition, _, _): "assert \(condition.text)"
        case .fault(let fault): "\(fault.kind.rawValue) \(fault.targetText)"
        case .heal(let what): "heal \(what ?? "all")"
        case .pause(let time): "pause \(time) ms"
        case .run: "run a command"
        case .verify(let wish, _): "verify \(wish.rawValue)"
        case .parallel(let steps): "\(steps.count) at once"
        }
    }

    private func action(
        _ kind: String, _ fields: Fields, _ configuration: ClusterConfiguration
    ) -> DrillStep.Action? {
        switch kind {
        case "wait":
            guard let condition = condition("wait", fields, configuration) else { return nil }
            return .wait(condition, withinMilliseconds: fields.milliseconds("within") ?? 30_000)
        case "assert":
            guard let condition = condition("assert", fields, configuration) else { return nil }
            let within = fields.milliseconds("within") ?? 0
            let lasting = fields.milliseconds("for") ?? 0
            if case .noEvent = condition, lasting == 0 {
                fields.complain("'no_event' needs 'for:', the time that it is looked for", at: "assert")
            }
            return .assert(condition, withinMilliseconds: within, forMilliseconds: lasting)
        case "fault": return fault(fields, configuration).map { .fault($0) }
        case "heal":
            guard let text = fields.text("heal") else { return nil }
            return .heal(text == "all" ? nil : text)
        case "pause": return fields.milliseconds("pause").map { .pause(milliseconds: $0) }
        case "run":
            guard let text = fields.text("run") else { return nil }
            return .run(command: text, withinMilliseconds: fields.milliseconds("within") ?? 30_000)
        case "verify":
            let wish: VerifyWish? = choice("verify", fields)
            let within = fields.milliseconds("within") ?? 30_000
            return wish.map { .verify($0, withinMilliseconds: within) }
        default:
            let line = fields.line(of: "parallel")
            return fields.node("parallel").map { .parallel(steps($0, configuration, line: line)) }
        }
    }

    private func condition(
        _ key: String, _ fields: Fields, _ configuration: ClusterConfiguration
    ) -> Condition? {
        guard let node = fields.node(key) else { return nil }
        if let text = node.scalar?.string {
            let (condition, problem) = Condition.parse(text, in: configuration)
            if let problem { fields.complain(problem, at: key) }
            return condition
        }
        guard let inner = Fields(node, what: key, problems: problems) else { return nil }
        var nodes: NodeSelector?
        if let words = inner.words("node") {
            let (selector, problem) = NodeSelector.parse(words, in: configuration)
            if let problem { inner.complain(problem, at: "node") }
            nodes = selector
        }
        let count = inner.integer("count", 1...100_000) ?? 1
        let (seen, unseen) = (inner.text("event"), key == "assert" ? inner.text("no_event") : nil)
        inner.reportUnknown()
        guard let kind = seen ?? unseen else {
            inner.complain("give 'event: KIND' or a sentence such as 'step >= 40'", at: key)
            return nil
        }
        guard Condition.eventKinds.contains(kind) else {
            let near = nearest(kind, Condition.eventKinds)
            inner.complain(
                "'\(kind)' is no event (did you mean '\(near)'?)", at: seen != nil ? "event" : "no_event")
            return nil
        }
        return seen != nil ? .event(kind, nodes: nodes, count: count) : .noEvent(kind, nodes: nodes)
    }

    private func fault(_ fields: Fields, _ configuration: ClusterConfiguration) -> Fault? {
        guard let word = fields.text("fault") else { return nil }
        guard let kind = FaultKind(rawValue: word) else {
            let near = nearest(word, FaultKind.allCases.map(\.rawValue))
            fields.complain("'\(word)' is no fault (did you mean '\(near)'?)", at: "fault")
            return nil
        }
        guard let target = target(of: kind, fields, configuration) else { return nil }
        var fault = Fault(kind: kind, target: target)
        if kind.lasts { fault.forMilliseconds = fields.milliseconds("for") }
        if let node = fields.node("repeat"), let inner = Fields(node, what: "repeat", problems: problems) {
            fault.everyMilliseconds = inner.milliseconds("every")
            fault.times = inner.integer("times", 2...10_000) ?? 1
            if fault.everyMilliseconds == nil || fault.times == 1 {
                inner.complain("'repeat' needs 'every: 250ms' and 'times: 8'", at: "every")
            }
            inner.reportUnknown()
        }
        switch kind {
        case .delay:
            fault.delayMilliseconds = fields.milliseconds("delay", 0...60_000) ?? 0
            fault.jitterMilliseconds = fields.milliseconds("jitter", 0...60_000) ?? 0
            if fault.delayMilliseconds + fault.jitterMilliseconds == 0 {
                fields.complain("'delay' needs 'delay: 50ms', 'jitter: 20ms' or both", at: "fault")
            }
        case .limit:
            fault.bytesPerSecond = fields.rate("bandwidth") ?? 0
            if fault.bytesPerSecond == 0 {
                fields.complain("'limit' needs 'bandwidth: 64KiB/s'", at: "fault")
            }
        case .slowFsync:
            fault.delayMilliseconds = fields.milliseconds("delay", 1...60_000) ?? 100
        case .staleDisk:
            fault.ageMilliseconds = fields.milliseconds("age") ?? 1000
        case .clockJump: fault.byMilliseconds = fields.milliseconds("by") ?? 3_600_000
        case .kill: fault.during = choice("during", fields)
        case .bitFlip:
            fault.count = fields.integer("count", 1...1000) ?? 1
            fault.record = choice("record", fields) ?? .delta
        case .garbage, .oversize, .stalledHandshakes:
            fault.count = fields.integer("count", 1...1000) ?? 1
        case .term, .pause, .resume, .replace, .cut, .reset, .halfOpen, .tornTail, .missingSegment,
            .misdirectedWrite, .wipe, .diskFull, .fsyncError:
            break
        }
        return fault
    }

    private func choice<E: RawRepresentable & CaseIterable>(_ key: String, _ fields: Fields) -> E?
    where E.RawValue == String {
        guard let text = fields.text(key) else { return nil }
        if let found = E(rawValue: text) { return found }
        let names = E.allCases.map(\.rawValue).joined(separator: ", ")
        fields.complain("'\(key)' is one of \(names), not '\(text)'", at: key)
        return nil
    }

    private func target(
        of kind: FaultKind, _ fields: Fields, _ configuration: ClusterConfiguration
    ) -> Fault.Target? {
        func select(_ key: String, _ words: [String]) -> NodeSelector? {
            let (selector, problem) = NodeSelector.parse(words, in: configuration)
            if let problem { fields.complain(problem, at: key) }
            return selector
        }
        switch kind.family {
        case .process, .peer, .disk:
            guard let words = fields.words("target") else {
                fields.complain(
                    "'\(kind.rawValue)' needs 'target:', such as 'target: any shard'", at: "fault")
                return nil
            }
            return select("target", words).map { .nodes($0) }
        case .link:
            if let pair = fields.words("between") {
                guard pair.count == 2 else {
                    fields.complain("'between' takes two, such as [shard-0, every store]", at: "between")
                    return nil
                }
                guard let first = select("between", [pair[0]]), let second = select("between", [pair[1]])
                else { return nil }
                return .links(first, second, oneWay: false)
            }
            guard let from = fields.words("from"), let to = fields.words("to") else {
                fields.complain(
                    "'\(kind.rawValue)' needs 'between: [shard-0, every store]', or 'from:' and 'to:'",
                    at: "fault")
                return nil
            }
            guard let first = select("from", from), let second = select("to", to) else { return nil }
            return .links(first, second, oneWay: true)
        }
    }
}
