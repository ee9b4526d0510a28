import MachineCore
import Wire

/// What an operator orders, and what has come of it.
extension World {
    /// Processes that have no place yet are tools too, with the small numbers.
    static let tool = NodeID(role: .tool, index: 999_999)

    func ask(_ what: String, id: UInt64, step: Int64 = -1) {
        guard currentCoordinator >= 0 else { return }
        var ask = Ask()
        ask.id = id
        ask.what = what
        ask.step = step
        let coordinator = processes[currentCoordinator]
        guard coordinator.isAlive, !coordinator.isPaused else { return }
        say("\(Self.tool) → \(coordinator.label): Ask \(what) \(step)")
        tell(coordinator, .message(Packet(.ask(ask), from: Self.tool.description), from: Self.tool))
    }

    func giveOrder() {
        guard !isCalm else { return }
        queue.add(.order, at: now + random.span(30, 500))
        let kind = random.pick(plan.orders)
        nextOrder += 1
        let steps = database.manifests.keys.sorted()
        let step = steps.isEmpty ? 0 : random.pick(steps)
        orderSteps[nextOrder] = (kind, step)
        switch kind {
        case .pin, .prune, .verify, .repair: ask(kind.rawValue, id: nextOrder, step: Int64(step))
        case .unpin:
            // From the moment of the order on nobody may count on the pin.
            pinned.remove(step)
            ask(kind.rawValue, id: nextOrder, step: Int64(step))
        case .stop:
            guard random.chance(0.2) else { return }
            wasStopped = true
            ask(kind.rawValue, id: nextOrder)
        case .look:
            ask(random.pick(["status", "manifests", "view", "events", "what"]), id: nextOrder)
        }
    }

    /// What the operator is told.
    func hear(_ body: Envelope.OneOf_Body, from process: Process) {
        say("\(process.label) → \(Self.tool): \(describe(body))")
        onAnswer?(body, process)
        guard case .answer(let answer) = body, answer.ok, let order = orderSteps[answer.id],
            process.id == currentCoordinator
        else { return }
        if order.kind == .pin { pinned.insert(order.step) }
    }

    /// `monotonic`: a step that is pinned is neither forgotten nor freed.
    func lostPin() -> String? {
        for step in pinned.sorted() where database.manifests[step] == nil {
            return "monotonic: step \(step) was pinned and is gone"
        }
        return nil
    }
}
