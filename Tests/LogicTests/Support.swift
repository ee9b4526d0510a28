import LCCheckpoint
import MachineCore
import StoreLogic
import Testing
import Wire

/// Runs one machine by hand: what it is told, and what it asks for in return.
struct Driver<Tested: Machine> {
    var machine: Tested
    var now = Instant(nanoseconds: 1_000_000_000)

    init(_ machine: Tested) { self.machine = machine }

    @discardableResult
    mutating func tell(_ event: Event<Tested.Completion>, after milliseconds: Int = 0) -> [Effect<
        Tested.Action
    >] {
        now = now + .milliseconds(milliseconds)
        var effects = Effects<Tested.Action>()
        machine.handle(event, at: now, into: &effects)
        return effects.items
    }

    @discardableResult
    mutating func hear(
        _ body: Envelope.OneOf_Body, from sender: NodeID, incarnation: UInt64 = 1, epoch: UInt64 = 1,
        payload: Payload? = nil, after milliseconds: Int = 0
    ) -> [Effect<Tested.Action>] {
        let packet = Packet(
            body, run: "test", from: sender.description, incarnation: incarnation, epoch: epoch,
            payload: payload)
        return tell(.message(packet, from: sender), after: milliseconds)
    }
}

extension Driver<StoreMachine> {
    /// A shard asks for a record that the disk no longer gives.
    mutating func findDamage(in part: Part) throws -> [Effect<StoreMachine.Action>] {
        var fetch = FetchChain()
        fetch.request = 9
        fetch.shard = part.shard
        fetch.step = part.step
        fetch.stateDigest = part.stateDigest
        fetch.afterStep = -1
        let reads = hear(.fetchChain(fetch), from: .shard(Int(part.shard))).actions()
        let purpose = try #require(
            reads.compactMap { if case .read(_, let purpose) = $0 { purpose } else { nil } }.first)
        return tell(.completed(.readFailed(part, why: "is torn", purpose)))
    }
}

extension Array {
    /// The messages among the effects, with their receivers.
    func sent<Action>() -> [(body: Envelope.OneOf_Body, payload: Payload?, to: NodeID)]
    where Element == Effect<Action> {
        compactMap { effect in
            if case .send(let body, let payload, let node) = effect { return (body, payload, node) }
            return nil
        }
    }

    func actions<Action>() -> [Action] where Element == Effect<Action> {
        compactMap { effect in
            if case .perform(let action) = effect { return action }
            return nil
        }
    }

    func decisions<Action>() -> [Decision] where Element == Effect<Action> {
        compactMap { effect in
            if case .report(let decision) = effect { return decision }
            return nil
        }
    }

    func exits<Action>() -> Bool where Element == Effect<Action> {
        contains { effect in
            if case .exit = effect { return true }
            return false
        }
    }
}

func membership(_ node: NodeID, incarnation: UInt64 = 1, view: View = View()) -> Membership {
    Membership(
        identity: Identity(node: node, run: "test", incarnation: incarnation, epoch: max(view.epoch, 1)),
        view: view,
        heartbeatInterval: .milliseconds(100))
}

func member(_ node: NodeID, incarnation: UInt64 = 1) -> Member {
    var member = Member()
    member.node = node.description
    member.incarnation = incarnation
    member.endpoint = node.role == .worker ? "" : "here-\(node)"
    member.live = true
    return member
}

func view(
    _ number: UInt64, epoch: UInt64 = 1, line: UInt64 = 1, _ phase: Phase, members: [Member] = [],
    restores: [Restore] = [], resume: UInt64 = 0, committed: Int64 = -1, target: UInt64 = 100
) -> View {
    var view = View()
    view.number = number
    view.epoch = epoch
    view.line = line
    view.phase = phase
    view.members = members
    view.restores = restores
    view.resumeVersion = resume
    view.committedStep = committed
    view.targetStep = target
    return view
}

func restore(shard: UInt32, step: Int64, digest: String = "", incarnation: UInt64 = 1) -> Restore {
    var restore = Restore()
    restore.shard = shard
    restore.step = step
    restore.stateDigest = digest
    restore.incarnation = incarnation
    return restore
}

func floats(_ values: [Float]) -> Payload {
    Payload(count: values.count * 4) { raw in values.withUnsafeBytes { raw.copyMemory(from: $0) } }
}

func part(
    shard: UInt32 = 0, step: UInt64, epoch: UInt64 = 1, line: UInt64 = 1, base: UInt64? = nil,
    frame: [UInt8]? = nil
) -> (part: Part, payload: Payload) {
    let payload = Payload(frame ?? [UInt8(step), UInt8(line), 7])
    var part = Part()
    part.shard = shard
    part.step = step
    part.epoch = epoch
    part.line = line
    part.kind = base == nil ? .base : .delta
    part.baseStep = base ?? 0
    part.baseDigest = base.map { "state-\(shard)-\($0)-\(line)" } ?? ""
    part.stateDigest = "state-\(shard)-\(step)-\(line)"
    part.payloadDigest = payload.withBytes { Digest.of($0).description }
    part.encodedBytes = UInt64(payload.count)
    return (part, payload)
}
