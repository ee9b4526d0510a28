import Wire

/// What every role but the coordinator knows of the cluster, and how it keeps its place in it: heartbeats out, views in.
public struct Membership: Sendable {
    public private(set) var identity: Identity
    public private(set) var view: View
    public let heartbeatInterval: Instant.Span
    private var heartbeatDue: Instant?
    /// Counts the views taken.
    public private(set) var revision: UInt64 = 0
    /// The view's members by role, and who holds which place: read when they change, asked for at every message.
    private var byRole: [Role: [(node: NodeID, member: Member)]] = [:]
    private var incarnations: [NodeID: UInt64] = [:]

    public init(identity: Identity, view: View, heartbeatInterval: Instant.Span) {
        self.identity = identity
        self.view = view
        self.heartbeatInterval = heartbeatInterval
        self.identity.epoch = max(identity.epoch, view.epoch)
        // The view that came with the place is only known, not acted upon yet: the coordinator's next one, which the
        // first heartbeat asks for, counts as newer even if it is the same.
        self.view.number = 0
        readMembers()
    }

    private mutating func readMembers() {
        byRole.removeAll(keepingCapacity: true)
        incarnations.removeAll(keepingCapacity: true)
        for member in view.members {
            guard let node = NodeID(member.node) else { continue }
            byRole[node.role, default: []].append((node, member))
            incarnations[node] = member.incarnation
        }
    }

    public enum ViewChange: Sendable { case old, taken }

    /// Takes a newer view; an older epoch or number changes nothing: its sender was replaced or is late.
    public mutating func take(_ new: View) -> ViewChange {
        guard (new.epoch, new.number) > (view.epoch, view.number) else { return .old }
        // Most views tell of a new phase or step among the same members.
        let isSame = new.members == view.members
        view = new
        // A peer that could not be dialled is tried again.
        revision += 1
        if !isSame { readMembers() }
        identity.epoch = max(identity.epoch, new.epoch)
        return .taken
    }

    /// True when the view gives this place to another process.
    public var isReplaced: Bool { incarnation(of: identity.node) > identity.incarnation }

    public func endpoints(of roles: [Role]) -> [NodeID: String] {
        var result: [NodeID: String] = [:]
        for role in roles {
            for (node, member) in members(of: role) where !member.endpoint.isEmpty && node != identity.node {
                result[node] = member.endpoint
            }
        }
        return result
    }

    public func members(of role: Role) -> [(node: NodeID, member: Member)] { byRole[role] ?? [] }

    public func incarnation(of node: NodeID) -> UInt64 { incarnations[node] ?? 0 }

    public var nextDeadline: Instant? { heartbeatDue ?? Instant(nanoseconds: 0) }

    public mutating func heartbeatIsDue(at now: Instant) -> Bool {
        if let heartbeatDue, now < heartbeatDue { return false }
        heartbeatDue = now + heartbeatInterval
        return true
    }

    public mutating func heartbeatNow() { heartbeatDue = nil }
}
