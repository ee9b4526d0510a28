import MachineCore
import Testing
import Wire

/// Feeds one machine with events at a clock that the test moves, and hands back what the machine asks for.
struct Stepper<Role: Machine> {
    var machine: Role
    var now = Instant(nanoseconds: 1_000_000_000)

    init(_ machine: Role) { self.machine = machine }

    mutating func handle(_ event: Event<Role.Completion>) -> Outcome<Role.Action> {
        var effects = Effects<Role.Action>()
        machine.handle(event, at: now, into: &effects)
        return Outcome(items: effects.items)
    }

    mutating func receive(
        _ body: Envelope.OneOf_Body, from sender: NodeID, incarnation: UInt64 = 1, epoch: UInt64 = 1,
        payload: Payload? = nil
    ) -> Outcome<Role.Action> {
        let packet = Packet(
            body, run: "run", from: sender.description, incarnation: incarnation, epoch: epoch,
            payload: payload)
        return handle(.message(packet, from: sender))
    }

    mutating func complete(_ completion: Role.Completion) -> Outcome<Role.Action> {
        handle(.completed(completion))
    }

    mutating func wait(milliseconds: Int) -> Outcome<Role.Action> {
        now = now + .milliseconds(milliseconds)
        return handle(.tick)
    }
}

/// What one event led to; `sent` leaves heartbeats out.
struct Outcome<Action: Sendable> {
    struct Sent {
        var body: Envelope.OneOf_Body
        var payload: Payload?
        var to: NodeID
    }

    let items: [Effect<Action>]

    var all: [Sent] {
        items.compactMap { item in
            guard case .send(let body, let payload, let to) = item else { return nil }
            return Sent(body: body, payload: payload, to: to)
        }
    }
    var sent: [Sent] {
        all.filter { sent in
            if case .heartbeat = sent.body { return false }
            return true
        }
    }
    var heartbeats: [Heartbeat] {
        all.compactMap { sent in
            guard case .heartbeat(let heartbeat) = sent.body else { return nil }
            return heartbeat
        }
    }
    var actions: [Action] {
        items.compactMap { item in
            guard case .perform(let action) = item else { return nil }
            return action
        }
    }
    var decisions: [Decision] {
        items.compactMap { item in
            guard case .report(let decision) = item else { return nil }
            return decision
        }
    }
    var exits: [String] {
        items.compactMap { item in
            guard case .exit(let reason, _) = item else { return nil }
            return reason
        }
    }

    func said(_ level: Decision.Level, _ kind: String) -> Bool {
        decisions.contains { $0.level == level && $0.kind == kind }
    }
}

func bytes(of payload: Payload?) -> [UInt8]? { payload.map { $0.withBytes { Array($0) } } }

/// One Float32 of parameters or gradients, told apart by its bytes.
func tensor(_ value: UInt8) -> Payload { Payload([value, 0, 0, 0]) }

func makeMember(_ node: NodeID, incarnation: UInt64 = 1, live: Bool = true) -> Member {
    var member = Member()
    member.node = node.description
    member.incarnation = incarnation
    member.endpoint = "tcp://127.0.0.1:1"
    member.live = live
    return member
}

func makeView(
    number: UInt64 = 1, epoch: UInt64 = 1, line: UInt64 = 1, phase: Phase = .running, target: UInt64 = 100,
    members: [Member] = [], restores: [Restore] = []
) -> View {
    var view = View()
    view.number = number
    view.epoch = epoch
    view.line = line
    view.phase = phase
    view.targetStep = target
    view.committedStep = -1
    view.members = members
    view.restores = restores
    return view
}

func makeMembership(_ node: NodeID, view: View) -> Membership {
    Membership(
        identity: Identity(node: node, run: "run", incarnation: 1, epoch: view.epoch), view: view,
        heartbeatInterval: .milliseconds(100))
}

func makePart(
    shard: UInt32 = 0, step: UInt64, epoch: UInt64 = 1, line: UInt64 = 1, base: UInt64? = nil,
    digest: String = "p", bytes: UInt64 = 4, stores: [UInt32] = []
) -> Part {
    var part = Part()
    part.shard = shard
    part.step = step
    part.epoch = epoch
    part.line = line
    part.kind = base == nil ? .base : .delta
    part.baseStep = base ?? 0
    part.baseDigest = base.map { "s\($0)" } ?? ""
    part.stateDigest = "s\(step)"
    part.payloadDigest = "\(digest)\(step)"
    part.rawBytes = 16
    part.encodedBytes = bytes
    part.stores = stores
    return part
}

func makeAppend(_ part: Part) -> Envelope.OneOf_Body {
    var append = Append()
    append.part = part
    return .append(append)
}
