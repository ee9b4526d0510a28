import MachineCore
import ParameterState
import ShardLogic
import StoreLogic
import Wire
import WorkerLogic

/// Connections, and what happens to messages on them.
extension World {
    func isCut(_ from: NodeID, _ to: NodeID) -> Bool {
        !cuts.isEmpty && cuts.values.contains { $0.delay == nil && $0.covers(from, to) }
    }

    /// What slow links add to the way of a message.
    private func extraDelay(_ from: NodeID, _ to: NodeID) -> UInt64 {
        cuts.isEmpty ? 0 : cuts.values.reduce(0) { $1.covers(from, to) ? max($0, $1.delay ?? 0) : $0 }
    }

    func send(
        _ body: consuming Envelope.OneOf_Body, _ payload: Payload?, from process: Process, to node: NodeID
    ) {
        if node == Self.tool { return hear(body, from: process) }
        guard let route = process.route(to: node), case let link = connections[route], link.isOpen else {
            say("\(process.label) → \(node): no connection for \(describe(body))")
            return
        }
        let toAcceptor = link.dialer == process.id
        let receiver = toAcceptor ? link.acceptor : link.dialer
        let isLost = plan.lossProbability > 0 && !isCalm && random.chance(plan.lossProbability)
        let isFull = !isCalm && link.underWay(toAcceptor) >= plan.linkCapacity
        let there = processes[receiver].place
        guard !isLost, !isFull, !isCut(process.place, there) else {
            if isLost { count(.loss) } else if isFull { count(.fullLink) }
            say("\(process.label) → \(node): lost \(describe(body))\(isFull ? ", its queue is full" : "")")
            return
        }
        let identity = process.identity
        let packet = Packet(
            body, run: identity.run, from: process.nameText, incarnation: identity.incarnation,
            epoch: identity.epoch, payload: payload)
        var delay = random.span(0.05, 0.6)
        if plan.slowProbability > 0 && !isCalm && random.chance(plan.slowProbability) {
            delay += random.span(5, 300)
            count(.slow)
        }
        delay += extraDelay(process.place, there)
        let at = connections[route].book(toAcceptor, at: now + delay)
        let delivery = Happening.deliver(connection: route, from: process.name, to: receiver, packet)
        queue.add(delivery, at: at)
        if plan.duplicateProbability > 0 && !isCalm && random.chance(plan.duplicateProbability) {
            connections[route].countUnderWay(toAcceptor, 1)
            count(.duplicate)
            queue.add(delivery, at: at + random.span(0, 20))
        }
    }

    func deliver(_ packet: Packet, over connection: Int, from sender: NodeID, to process: Process) {
        say("\(sender) → \(process.label): \(packet.body.map(describe) ?? "nothing") e\(packet.epoch)")
        if connections[connection].acceptor == process.id, process.accepted[sender] != connection {
            process.accepted[sender] = connection
            tell(process, .connected(sender))
            guard process.isAlive else { return }
        }
        guard process.isJoined else { return takeAnswer(packet, process) }
        if process.id == currentCoordinator {
            heard[sender] = (process.id, packet.incarnation, now)
        }
        tell(process, .message(packet, from: sender))
    }

    func synchronizeDials(_ process: Process) {
        guard process.isAlive, process.place != .coordinator,
            process.dialedRevision != process.dialableRevision
        else { return }
        process.dialedRevision = process.dialableRevision
        let wanted = process.dialable
        for node in process.dials.keys.sorted() where node != .coordinator {
            guard let dial = process.dials[node], wanted[node] != dial.endpoint else { continue }
            process.dials[node] = nil
            if let connection = dial.connection { close(connection) }
        }
        for node in wanted.keys.sorted() where process.dials[node] == nil {
            process.dials[node] = Dial(endpoint: wanted[node]!, connection: nil)
            queue.add(
                .dial(process: process.id, target: node, endpoint: wanted[node]!),
                at: now + random.span(0.2, 2))
        }
    }

    func dial(_ process: Process, _ target: NodeID, _ endpoint: String) {
        guard let dial = process.dials[target], dial.endpoint == endpoint, dial.connection == nil else {
            return
        }
        let number = target == .coordinator ? currentCoordinator : Process.number(ofEndpoint: endpoint)
        let listener = number.flatMap { processes.indices.contains($0) ? processes[$0] : nil }
        guard let listener, listener.isAlive, !isCut(process.place, listener.place),
            !isCut(listener.place, process.place)
        else { return redial(process, target) }
        connections.append(Connection(dialer: process.id, acceptor: listener.id))
        process.dials[target]?.connection = connections.count - 1
        if process.isJoined { tell(process, .connected(target)) } else { sendJoin(process) }
    }

    func redial(_ process: Process, _ target: NodeID) {
        guard process.isAlive, let dial = process.dials[target] else { return }
        queue.add(
            .dial(process: process.id, target: target, endpoint: dial.endpoint), at: now + random.span(10, 60)
        )
    }

    func close(_ connection: Int) {
        guard connections[connection].isOpen else { return }
        connections[connection].isOpen = false
        let dialer = processes[connections[connection].dialer]
        let acceptor = processes[connections[connection].acceptor]
        if dialer.isAlive {
            for node in dialer.dials.keys.sorted() where dialer.dials[node]?.connection == connection {
                dialer.dials[node]?.connection = nil
                queue.add(.lost(process: dialer.id, peer: node), at: now)
                redial(dialer, node)
            }
        }
        if acceptor.isAlive {
            for node in acceptor.accepted.keys.sorted() where acceptor.accepted[node] == connection {
                acceptor.accepted[node] = nil
                queue.add(.lost(process: acceptor.id, peer: node), at: now)
            }
        }
    }

    // MARK: Joining

    func sendJoin(_ process: Process) {
        guard process.isAlive, !process.isJoined else { return }
        queue.add(.joinAgain(process: process.id), at: now + 250_000_000)
        guard process.dials[.coordinator]?.connection != nil else { return }
        var join = Join()
        join.role = process.place.role.rawValue
        join.index = Int32(process.place.index)
        join.host = "sim"
        join.pid = UInt32(process.id)
        join.endpoint = process.place.role == .worker ? "" : process.endpoint
        join.nonce = process.nonce
        send(.join(join), nil, from: process, to: .coordinator)
    }

    private func takeAnswer(_ packet: Packet, _ process: Process) {
        if case .refused(let refusal)? = packet.body, refusal.nonce == process.nonce, refusal.fatal {
            return kill(process, cause: refusal.reason)
        }
        guard case .joined(let joined)? = packet.body, joined.nonce == process.nonce,
            let node = NodeID(joined.node)
        else { return }
        process.name = node
        let identity = Identity(
            node: node, run: packet.run, incarnation: joined.incarnation, epoch: packet.epoch)
        let membership = Membership(
            identity: identity, view: joined.view, heartbeatInterval: plan.settings.heartbeat)
        let settings = plan.settings
        switch node.role {
        case .shard:
            let range = plan.range(ofShard: node.index)
            process.shard = ShardMachine(membership: membership, settings: settings, elements: range.count)
            process.state = plan.state(ofShard: node.index)
        case .worker:
            process.worker = WorkerMachine(
                membership: membership, settings: settings, elements: plan.elements)
        case .store:
            disks[node.index].open()
            let found = found(onDisk: node.index, seesDamage: random.chance(0.5))
            var own = StoreMachine.Settings(
                stores: settings.stores, replicas: settings.replicas,
                maxAnswerBytes: random.pick([200, 2000, 1 << 20]),
                maxRepairs: plan.storesAreNarrow ? 5 : 4096, maxInventory: plan.storesAreNarrow ? 7 : 8192,
                retry: settings.retry)
            own.mutation = settings.mutation
            process.store = StoreMachine(membership: membership, settings: own, found: found)
        case .coordinator, .tool: return
        }
        say("\(process.label) has its place: incarnation \(joined.incarnation)")
        begin(process, process.store?.beginnings ?? [])
        tell(process, .connected(.coordinator))
    }
}
