import Wire

/// What every role but the coordinator knows of the cluster, and how it keeps its place in it: heartbeats out, views in.
public struct Membership: Sendable {
    public private(set) var identity: Identity
    public private(set) var view: View
    public let heartbeatInterval: Instant.Span
    private var heartbeatDue: Instant?
    /// Counts the views taken.
    public private(set) var revision: UInt64 = 0

    public init(identity: Identity, view: View, heartbeatInterval: Instant.Span) {
        self.identity = identity
        self.view = view
        self.heartbeatInterval = heartbeatInterval
        self.identity.epoch = max(identity.epoch, view.epoch)
        // The view that came with the place is only known, not acted upon yet: the coordinator's next one, which the
        // first heartbeat asks for, counts as newer even if it is the same.
        self.view.number = 0
    }

    public enum ViewChange: Sendable { case old, taken }

    /// Takes a newer view; an older epoch or number changes nothing: its sender was replaced or is late.
    public mutating func take(_ new: View) -> ViewChange {
        guard (new.epoch, new.number) > (view.epoch, view.number) else { return .old }
        view = new
        revision += 1
        identity.epoch = max(identity.epoch, new.epoch)
        return .taken
    }

    /// True when the view gives this place to another process.
    public var isReplaced: Bool {
        view.members.contains {
            $0.node == identity.node.description && $0.incarnation > identity.incarnation
        }
    }

    public func endpoints(of roles: [Role]) -> [NodeID: String] {
        var result: [NodeID: String] = [:]
        for member in view.members where !member.endpoint.isEmpty {
            guard let node = NodeID(member.node), roles.contains(node.role), node != identity.node else {
                continue
            }
            result[node] = member.endpoint
        }
        return result
    }

    public func members(of role: Role) -> [(node: NodeID, member: Member)] {
        view.members.compactMap { member in
            NodeID(member.node).flatMap { $0.role == role ? ($0, member) : nil }
        }
    }

    public func incarnation(of node: NodeID) -> UInt64 {
        view.members.first { $0.node == node.description }?.incarnation ?? 0
    }

    public var nextDeadline: Instant? { heartbeatDue ?? Instant(nanoseconds: 0) }

    public mutating func heartbeatIsDue(at now: Instant) -> Bool {
        if let heartbeatDue, now < heartbeatDue { return false }
        heartbeatDue = now + heartbeatInterval
        return true
    }

    public mutating func heartbeatNow() { heartbeatDue = nil }
}
