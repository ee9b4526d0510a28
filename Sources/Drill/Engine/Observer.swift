import Foundation

/// Looks again and again whether a condition holds, and remembers what it found.
struct Observer {
    let scene: Scene
    let condition: Condition
    private(set) var found = ""
    private let began: Double
    private let since: Double
    private var base: Double?
    private var statusAt = ContinuousClock.now
    private var statusNow: [String: Any]?

    init(scene: Scene, condition: Condition) {
        self.scene = scene
        self.condition = condition
        began = scene.run.clock.milliseconds
        since = scene.run.state.withLock { $0.faultBegan }
    }

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
            let struck = scene.run.state.withLock { $0.struck }
            let missing = struck.filter { node, at in
                !scene.cluster.events.contains {
                    $0.kind == "recovered" && $0.node == node && $0.atMilliseconds >= at
                }
            }.keys.sorted()
            found = "\(missing.joined(separator: ", ")) \(missing.count == 1 ? "is" : "are") not back"
            return missing.isEmpty
        }
    }

    private func events(_ kind: String, _ nodes: NodeSelector?, since: Double) -> Int {
        let wanted = nodes?.candidates(in: scene.run.drill.configuration)
        return scene.cluster.events.filter { event in
            event.kind == kind && event.atMilliseconds >= since
                && (wanted.map { event.node.map($0.contains) ?? false } ?? true)
        }.count
    }

    private mutating func number(_ value: Condition.Value) -> Double? {
        switch value {
        case .step: scene.cluster.last("step", "step") ?? 0
        case .committed: scene.cluster.last("checkpoint", "step") ?? 0
        case .loss: scene.cluster.last("step", "loss")
        case .stepsPerSecond: scene.cluster.last("step", "steps_per_second")
        case .recoveries: Double(scene.cluster.events.filter { $0.kind == "recovered" }.count)
        case .epoch: (status()?["epoch"] as? NSNumber)?.doubleValue
        }
    }

    private mutating func state(of node: String?) -> String? {
        guard let status = status() else { return nil }
        guard let node else { return status["state"] as? String }
        let nodes = status["nodes"] as? [[String: Any]] ?? []
        return nodes.first { $0["id"] as? String == node }?["state"] as? String
    }

    /// Asked for at most ten times a second: each question is a process of its own.
    private mutating func status() -> [String: Any]? {
        if statusNow == nil || ContinuousClock.now >= statusAt {
            statusNow = scene.cluster.status()
            statusAt = .now + .milliseconds(100)
        }
        return statusNow
    }
}
