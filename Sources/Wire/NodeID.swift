/// What a process does in the cluster.
public enum Role: String, Sendable, Hashable, CaseIterable, Comparable {
    case coordinator, store, shard, worker
    /// The command line, a supervisor, a drill: asks and is told, holds no state of the run.
    case tool

    public static func < (a: Role, b: Role) -> Bool { a.order < b.order }

    /// By number, not by name: dictionaries of roles and nodes are looked into at every message.
    public func hash(into hasher: inout Hasher) { hasher.combine(order) }

    fileprivate var order: Int {
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

    /// Reads `coordinator` or `role-index`; nil for anything else. Every message names its sender, so nothing is allocated.
    public init?(_ text: String) {
        var text = text
        guard let read = text.withUTF8({ NodeID(utf8: $0) }) else { return nil }
        self = read
    }

    private init?(utf8 bytes: UnsafeBufferPointer<UInt8>) {
        if bytes.elementsEqual("coordinator".utf8) {
            self = .coordinator
            return
        }
        guard let dash = bytes.lastIndex(of: UInt8(ascii: "-")),
            let role = Self.numbered.first(where: { bytes[..<dash].elementsEqual($0.rawValue.utf8) })
        else { return nil }
        let digits = bytes[(dash + 1)...]
        // One spelling for each place: `shard-07` is nothing.
        guard (1...9).contains(digits.count), digits.allSatisfy({ $0 >= 48 && $0 <= 57 }),
            digits.count == 1 || digits.first != 48
        else { return nil }
        self.init(role: role, index: digits.reduce(0) { $0 * 10 + Int($1 - 48) })
    }

    private static let numbered: [Role] = [.shard, .worker, .store, .tool]

    public var description: String {
        role == .coordinator ? role.rawValue : "\(role.rawValue)-\(index)"
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(index << 3 | role.order) }

    public static func == (a: NodeID, b: NodeID) -> Bool { a.index == b.index && a.role == b.role }

    public static func < (a: NodeID, b: NodeID) -> Bool { (a.role, a.index) < (b.role, b.index) }
}
