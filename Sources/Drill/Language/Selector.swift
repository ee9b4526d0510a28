import Cluster

/// The roles that nodes have.
public enum NodeRole: String, Sendable, CaseIterable {
    case coordinator, shard, store, worker

    func count(in configuration: ClusterConfiguration) -> Int {
        switch self {
        case .coordinator: 1
        case .shard: configuration.cluster.shards
        case .store: configuration.cluster.stores
        case .worker: configuration.cluster.workers
        }
    }

    func nodes(in configuration: ClusterConfiguration) -> [String] {
        if self == .coordinator { return ["coordinator"] }
        return (0..<count(in: configuration)).map { "\(rawValue)-\($0)" }
    }

    /// The role of `shard-0` and the like.
    static func of(_ node: String) -> NodeRole? {
        NodeRole(rawValue: String(node.split(separator: "-").first ?? ""))
    }
}

/// Which nodes a fault strikes: `shard-1`, `any store`, `2 shards`, `every worker`, `any node`; or a list of these.
///
/// `any` and a number are drawn anew at each firing, from the drill's seed.
public struct NodeSelector: Sendable, Hashable {
    enum Term: Sendable, Hashable {
        case node(String)
        case all([NodeRole])
        case drawn(Int, [NodeRole])
    }

    var terms: [Term]
    public let text: String

    /// A selector from its words.
    ///
    /// - Returns: nil and a sentence when the words are none or the cluster has no such node.
    static func parse(_ words: [String], in configuration: ClusterConfiguration) -> (NodeSelector?, String?) {
        var terms: [Term] = []
        for text in words {
            switch term(text, configuration) {
            case .success(let term): terms.append(term)
            case .failure(let problem): return (nil, problem.sentence)
            }
        }
        return (NodeSelector(terms: terms, text: words.joined(separator: ", ")), nil)
    }

    struct Problem: Error { let sentence: String }

    private static func term(
        _ text: String, _ configuration: ClusterConfiguration
    ) -> Result<Term, Problem> {
        let words = text.split(separator: " ").map(String.init)
        let usage =
            "'\(text)' names no node: write shard-0, coordinator, 'any store', 'every worker', '2 shards' or 'any node'"
        if words.count == 1 {
            let every = NodeRole.allCases.flatMap { $0.nodes(in: configuration) }
            if every.contains(text) { return .success(.node(text)) }
            guard let role = NodeRole.of(text), text != role.rawValue else {
                return .failure(Problem(sentence: usage))
            }
            let count = role.count(in: configuration)
            return .failure(
                Problem(
                    sentence: "'\(text)': the cluster has \(count) \(role.rawValue)\(count == 1 ? "" : "s")"
                        + ", numbered from 0"))
        }
        guard words.count == 2, let roles = roles(words[1]) else { return .failure(Problem(sentence: usage)) }
        switch words[0] {
        case "any": return .success(.drawn(1, roles))
        case "every", "all": return .success(.all(roles))
        default:
            guard let count = Int(words[0]), count > 0 else { return .failure(Problem(sentence: usage)) }
            let there = roles.reduce(0) { $0 + $1.count(in: configuration) }
            guard count <= there else {
                return .failure(Problem(sentence: "'\(text)': the cluster has only \(there) of them"))
            }
            return .success(.drawn(count, roles))
        }
    }

    private static func roles(_ word: String) -> [NodeRole]? {
        if word == "node" || word == "nodes" { return NodeRole.allCases }
        let single = word.hasSuffix("s") ? String(word.dropLast()) : word
        return NodeRole(rawValue: single).map { [$0] }
    }

    /// Every node that could be meant.
    func candidates(in configuration: ClusterConfiguration) -> [String] {
        var found: [String] = []
        for term in terms {
            let nodes: [String] =
                switch term {
                case .node(let node): [node]
                case .all(let roles), .drawn(_, let roles): roles.flatMap { $0.nodes(in: configuration) }
                }
            found += nodes.filter { !found.contains($0) }
        }
        return found
    }

    /// The nodes of one firing, in the order of the words.
    func draw(in configuration: ClusterConfiguration, with random: inout DrillRandom) -> [String] {
        var found: [String] = []
        for term in terms {
            let nodes: [String]
            switch term {
            case .node(let node): nodes = [node]
            case .all(let roles): nodes = roles.flatMap { $0.nodes(in: configuration) }
            case .drawn(let count, let roles):
                var rest = roles.flatMap { $0.nodes(in: configuration) }.filter { !found.contains($0) }
                nodes = (0..<min(count, rest.count)).map { _ in rest.remove(at: random.below(rest.count)) }
            }
            found += nodes.filter { !found.contains($0) }
        }
        return found
    }
}

/// The drill's own random numbers (SplitMix64), so that a seed draws the same nodes on every machine.
struct DrillRandom: Sendable {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// An integer of 0 to below `bound`, which is at least 1.
    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
