import Foundation

/// Looks again and again whether a condition holds, and remembers what it found.
struct Observer {
    let script: Script
    let condition: Condition
    private(set) var found = ""
    private let began: Double
    private let since: Double
    private var base: Double?
    /// When the newest status came.
    private var statusAt = -Double.infinity
    private var statusNow: ClusterStatus?
    private var asked: Pending<ClusterStatus?>?

    init(_ script: Script, _ condition: Condition) {
        self.script = script
        self.condition = condition
        began = script.now
        since = script.run.state.withLock { $0.faultBegan }
    }

    /// As long as no status has come, nothing is known.
    var isAsking: Bool { asked != nil && statusAt == -.infinity }

    mutating func holds() -> Bool {
        switch condition {
        case .value(let value, let comparison, let wanted, let relative):
            guard let now = number(value) else {
                found = "\(value.rawValue) is not known"
                return false
            }
            if base == nil { base = relative ? now : 0 }
            found = "\(value.rawValue) is \(plain(now))"
            return comparison.holds(now, wanted + (base ?? 0))
        case .state(let node, let wanted, let equal):
            let now = state(of: node)
            found = "\(node ?? "state") is \(now ?? "unknown: the coordinator does not answer")"
            return now.map { ($0 == wanted) == equal } ?? false
        case .event(let kind, let nodes, let count):
            let seen = events(kind, nodes, since: since)
            found = "\(seen) such events were seen"
            return seen >= count
        case .noEvent(let kind, let nodes):
            let seen = events(kind, nodes, since: began)
            found = "\(seen) such events were seen"
            return seen == 0
        case .recovered:
            let struck = script.run.state.withLock { $0.struck }
            let back = script.engine.events(since: struck.values.min() ?? began).filter {
                $0.kind == "recovered"
            }
            let missing = struck.filter { node, at in
                !back.contains { $0.node == node && $0.atMilliseconds >= at }
            }.keys.sorted()
            found = "\(missing.joined(separator: ", ")) \(missing.count == 1 ? "is" : "are") not back"
            return missing.isEmpty
        }
    }

    private func events(_ kind: String, _ nodes: NodeSelector?, since: Double) -> Int {
        let wanted = nodes?.candidates(in: script.run.drill.configuration)
        return script.engine.events(since: since).filter { event in
            event.kind == kind
                && (wanted.map { event.node.map($0.contains) ?? false } ?? true)
        }.count
    }

    private mutating func number(_ value: Condition.Value) -> Double? {
        switch value {
        case .step: script.engine.last("step", "step") ?? 0
        case .committed: script.engine.last("checkpoint", "step") ?? 0
        case .loss: script.engine.last("step", "loss")
        case .stepsPerSecond: script.engine.last("step", "steps_per_second")
        case .recoveries: Double(script.engine.events.filter { $0.kind == "recovered" }.count)
        case .epoch: status()?.epoch
        }
    }

    private mutating func state(of node: String?) -> String? {
        guard let status = status() else { return nil }
        guard let node else { return status.state }
        return status.nodes[node]?.state
    }

    /// Asked for at most ten times a second: of a real cluster each question is a process of its own.
    private mutating func status() -> ClusterStatus? {
        if let answer = asked?.done {
            asked = nil
            statusNow = answer
            statusAt = script.now
        }
        if asked == nil, script.now >= statusAt + 100 { asked = script.engine.askStatus() }
        return statusNow
    }
}
