import Cluster

/// What a drill can wait for or assert.
public enum Condition: Sendable {
    public enum Value: String, Sendable, CaseIterable {
        case step, committed, epoch, recoveries, loss
        case stepsPerSecond = "steps_per_second"
    }
    public enum Comparison: String, Sendable, CaseIterable {
        case atLeast = ">="
        case atMost = "<="
        case equal = "=="
        case unequal = "!="
        case above = ">"
        case below = "<"

        func holds(_ left: Double, _ right: Double) -> Bool {
            switch self {
            case .atLeast: left >= right
            case .atMost: left <= right
            case .equal: left == right
            case .unequal: left != right
            case .above: left > right
            case .below: left < right
            }
        }
    }

    /// A number of the run; `relative` adds what it was when the step began.
    case value(Value, Comparison, Double, relative: Bool)
    /// The state of the cluster, or of one node, in the words of `varve status`.
    case state(of: String?, String, equal: Bool)
    /// An event since the fault step before this one. `nodes` nil is any.
    case event(String, nodes: NodeSelector?, count: Int)
    /// No such event since this step began.
    case noEvent(String, nodes: NodeSelector?)
    /// Every node that the last fault struck has been reported as recovered.
    case recovered

    static let eventKinds = ["started", "step", "checkpoint", "fault", "recovered", "summary"]
    static let clusterStates = [
        "forming", "recovering", "running", "degraded", "stalled", "finished", "unrecoverable",
    ]

    /// What it is, in the words of the file.
    public var text: String {
        switch self {
        case .value(let value, let comparison, let number, let relative):
            "\(value.rawValue) \(comparison.rawValue) \(relative ? "+" : "")\(plain(number))"
        case .state(let node, let state, let equal): "\(node ?? "state") \(equal ? "==" : "!=") \(state)"
        case .event(let kind, let nodes, let count):
            "event \(kind)" + (nodes.map { " of \($0.text)" } ?? "") + (count > 1 ? ", \(count) times" : "")
        case .noEvent(let kind, let nodes): "no event \(kind)" + (nodes.map { " of \($0.text)" } ?? "")
        case .recovered: "recovered"
        }
    }

    /// A condition from words such as `step >= 40`, `committed >= +20`, `shard-1 == running`, `recovered`.
    static func parse(
        _ text: String, in configuration: ClusterConfiguration
    ) -> (Condition?, String?) {
        let words = text.split(separator: " ").map(String.init)
        if words == ["recovered"] { return (.recovered, nil) }
        guard words.count == 3, let comparison = Comparison(rawValue: words[1]) else {
            return (
                nil,
                "'\(text)' is no condition: write one such as 'step >= 40', 'committed >= +20', "
                    + "'state == running', 'shard-1 == dead' or 'recovered'"
            )
        }
        if let value = Value(rawValue: words[0]) {
            let relative = words[2].hasPrefix("+")
            guard let number = Double(relative ? String(words[2].dropFirst()) : words[2]), number.isFinite
            else { return (nil, "'\(words[2])' is no number") }
            return (.value(value, comparison, number, relative: relative), nil)
        }
        guard comparison == .equal || comparison == .unequal else {
            return (
                nil,
                "'\(words[0])' has no order: compare with == or !=, or a number of "
                    + Value.allCases.map(\.rawValue).joined(separator: ", ")
            )
        }
        if words[0] == "state" {
            guard clusterStates.contains(words[2]) else {
                let near = nearest(words[2], clusterStates)
                return (nil, "'\(words[2])' is no state of a cluster (did you mean '\(near)'?)")
            }
            return (.state(of: nil, words[2], equal: comparison == .equal), nil)
        }
        let known = NodeRole.allCases.flatMap { $0.nodes(in: configuration) }
        guard known.contains(words[0]) else {
            let near = nearest(words[0], known + Value.allCases.map(\.rawValue) + ["state"])
            return (
                nil, "'\(words[0])' is neither a value nor a node of this cluster (did you mean '\(near)'?)"
            )
        }
        return (.state(of: words[0], words[2], equal: comparison == .equal), nil)
    }
}

/// The nearest of some words.
func nearest(_ word: String, _ known: [String]) -> String {
    known.min { (editDistance($0, word), $0) < (editDistance($1, word), $1) } ?? ""
}

/// A number without a needless point.
func plain(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\((value * 1000).rounded() / 1000)"
}

/// `1 fault`, `2 faults`.
func counted(_ count: Int, _ what: String) -> String { count == 1 ? "1 \(what)" : "\(count) \(what)s" }
