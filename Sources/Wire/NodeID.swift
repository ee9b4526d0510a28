/// What a process does in the cluster.
public enum Role: String, Sendable, Hashable, CaseIterable, Comparable {
    case coordinator, store, shard, worker
    /// The command line, a supervisor, a drill: asks and is told, holds no state of the run.
    case tool

    public static func < (a: Role, b: Role) -> Bool { a.order < b.order }

    private var order: Int {
        switch self {
        case .coordinator: 0
        case .store: 1
        case .shard: 2
        case .worker: 3
        case .tool: 4
        }
    }
}

/// A place in the cluster, such as `shard-0`: it outlives the processes that fill it one after another.
public struct NodeID: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var role: Role
    public var index: Int

    public init(role: Role, index: Int) {
        self.role = role
        self.index = index
    }

    public static let coordinator = NodeID(role: .coordinator, index: 0)
    public static func shard(_ index: Int) -> NodeID { NodeID(role: .shard, index: index) }
    public static func store(_ index: Int) -> NodeID { NodeID(role: .store, index: index) }
    public static func worker(_ index: Int) -> NodeID { NodeID(role: .worker, index: index) }

    /// Reads `coordinator` or `role-index`; nil for anything else.
    public init?(_ text: String) {
        if text == Role.coordinator.rawValue {
            self = .coordinator
            return
        }
        guard let dash = text.utf8.lastIndex(of: UInt8(ascii: "-")),
            let role = Role(rawValue: String(text[..<dash])), role != .coordinator
        else { return nil }
        let digits = text[text.index(after: dash)...]
        // One spelling for each place: `shard-07` is nothing.
        guard digits.utf8.count <= 9, digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }),
            let index = Int(digits), digits.utf8.count == 1 || !digits.hasPrefix("0")
        else { return nil }
        self.init(role: role, index: index)
    }

    public var description: String {
        role == .coordinator ? role.rawValue : "\(role.rawValue)-\(index)"
    }

    public static func < (a: NodeID, b: NodeID) -> Bool { (a.role, a.index) < (b.role, b.index) }
}
