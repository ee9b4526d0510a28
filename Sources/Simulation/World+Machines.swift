import CoordinatorLogic
import MachineCore
import ShardLogic
import StoreLogic
import Wire
import WorkerLogic

/// What the machines are told, and what becomes of what they ask for.
extension World {
    /// What a process is told, whatever its role.
    enum Told {
        case message(Packet, from: NodeID)
        case tick
        case connected(NodeID)
        case disconnected(NodeID)
    }

    func event<Completion>(_ told: Told) -> Event<Completion> {
        switch told {
        case .message(let packet, let sender): .message(packet, from: sender)
        case .tick: .tick
        case .connected(let peer): .peerConnected(peer)
        case .disconnected(let peer): .peerDisconnected(peer)
        }
    }

    func tell(_ process: Process, _ told: Told) {
        guard process.isAlive, process.isJoined, failure == nil else { return }
        switch process.place.role {
        case .coordinator: drive(process, coordinator: event(told))
        case .shard: drive(process, shard: event(told))
        case .store: drive(process, store: event(told))
        case .worker: drive(process, worker: event(told))
        case .tool: break
        }
    }

    func drive(_ process: Process, coordinator event: Event<CoordinatorMachine.Completion>) {
        carryOut(react(&process.coordinator!, to: event, process), of: process) {
            // A line for the history ends by itself.
            if case .record = $0 { return nil }
            return .coordinator($0)
        }
    }

    func drive(_ process: Process, shard event: Event<ShardMachine.Completion>) {
        carryOut(react(&process.shard!, to: event, process), of: process) { .shard($0) }
    }

    func drive(_ process: Process, store event: Event<StoreMachine.Completion>) {
        carryOut(react(&process.store!, to: event, process), of: process) { .store($0) }
    }

    func drive(_ process: Process, worker event: Event<WorkerMachine.Completion>) {
        carryOut(react(&process.worker!, to: event, process), of: process) { .worker($0) }
    }

    /// What a machine does about an event. Everything that is asked of it is asked in one access: each by itself would copy
    /// the whole machine out of its process.
    private func react<Node: Machine>(
        _ machine: inout Node, to event: Event<Node.Completion>, _ process: Process
    ) -> [Effect<Node.Action>] {
        var effects = Effects<Node.Action>()
        machine.handle(event, at: instant(of: process), into: &effects)
        process.stands(machine.identity, machine.nextDeadline, machine.dialableRevision)
        took(machine.observations(of: event, effects.items), of: process)
        return effects.items
    }

    func carryOut<Action>(_ effects: consuming [Effect<Action>], of process: Process, _ job: (Action) -> Job?)
    {
        // Taken out one by one: what an effect holds is large, and need not be copied.
        effects.reverse()
        while let effect = effects.popLast() {
            guard process.isAlive else { return }
            if let left = process.effectsLeft {
                guard left > 0 else {
                    count(.killMidway)
                    return kill(process, cause: "killed between two effects")
                }
                process.effectsLeft = left - 1
            }
            switch effect {
            case .send(let body, let payload, let node): send(body, payload, from: process, to: node)
            case .perform(let action): if let job = job(action) { perform(job, process) }
            case .report(let decision): heed(decision, of: process)
            case .exit(let reason, _):
                kill(process, cause: reason)
                return
            }
        }
        synchronizeDials(process)
        scheduleTimer(process)
    }

    private func heed(_ decision: Decision, of process: Process) {
        say("\(process.label) [\(decision.kind)] \(decision.sentence)")
        onDecision?(decision, process)
    }

    func scheduleTimer(_ process: Process) {
        guard process.isAlive, let deadline = process.nextDeadline, deadline.nanoseconds != .max else {
            return
        }
        let wanted = process.clock.world(deadline.nanoseconds)
        if wanted <= now {
            process.spins += 1
            if process.spins > 2000 { return fail("live: \(process.label) asks for ticks without end") }
        } else {
            process.spins = 0
        }
        let at = max(wanted, now + 1000)
        if let known = process.wakeAt, known <= at { return }
        process.wakeAt = at
        queue.add(.timer(process: process.id), at: at)
    }
}
