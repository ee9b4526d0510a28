import MachineCore
import Wire

/// Who holds which place: joins, exits, leases.
extension CoordinatorMachine {
    mutating func receiveJoin(
        _ join: Join, from asker: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        func refuse(_ reason: String) {
            var refusal = Refused()
            refusal.reason = reason
            refusal.fatal = true
            refusal.nonce = join.nonce
            effects.send(.refused(refusal), to: asker)
        }
        if let known = durable.members.first(where: { $0.nonce == join.nonce && join.nonce != 0 }) {
            if pending.isEmpty && !dirty { answerJoin(known, view, to: asker, into: &effects) }
            return
        }
        guard let role = Role(rawValue: join.role), let places = places(of: role) else {
            return refuse("'\(join.role)' is not a role that can join")
        }
        let index: Int
        if join.index >= 0 {
            guard Int(join.index) < places else {
                return refuse("the run has \(places) places for \(role.rawValue)s")
            }
            index = Int(join.index)
        } else {
            let free = (0..<places).first { liveness[NodeID(role: role, index: $0)]?.live != true }
            guard let free else {
                var refusal = Refused()
                refusal.reason = "all \(places) places for \(role.rawValue)s are taken"
                refusal.nonce = join.nonce
                effects.send(.refused(refusal), to: asker)
                return
            }
            index = free
        }
        admitMember(NodeID(role: role, index: index), join, asker: asker, at: now, into: &effects)
    }

    private func places(of role: Role) -> Int? {
        switch role {
        case .shard: settings.shards
        case .worker: settings.workers
        case .store: settings.stores
        case .coordinator, .tool: nil
        }
    }

    private mutating func admitMember(
        _ node: NodeID, _ join: Join, asker: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        let wasLive = liveness[node]?.live == true && liveness[node]?.wasHeard == true && member(node) != nil
        let isNew = member(node) == nil
        durable.nextIncarnation += 1
        var member = Member()
        member.node = node.description
        member.incarnation = durable.nextIncarnation
        member.endpoint = join.endpoint
        member.host = join.host
        member.pid = join.pid
        member.nonce = join.nonce
        let position = position(of: node)
        if isNew {
            durable.members.insert(member, at: position)
            places.insert(node, at: position)
        } else {
            durable.members[position] = member
        }
        if wasLive {
            // A new process in a place that seemed alive: the old one is dead or is fenced from now on.
            noticeFault(node, cause: "replaced by process \(join.pid)", began: now, at: now, into: &effects)
        }
        let entry = Liveness(lastHeard: now, live: true, hasSpoken: false)
        liveness[node] = entry
        expectLease(now + patience(with: entry))
        effects.report(.info, "membership", "\(node) joined as process \(join.pid) on \(join.host)")
        then(.joined(node, nonce: join.nonce, asker: asker))
        switch node.role {
        case .shard: shardJoined(node.index, isNew: isNew, at: now, into: &effects)
        case .store:
            formIfComplete(at: now, into: &effects)
            if recovery != nil { fenceResendAt = now }
        case .worker: acknowledged[node.index] = 0
        case .coordinator, .tool: break
        }
    }

    func answerJoin(_ member: Member, _ view: View, to asker: NodeID, into effects: inout Effects<Action>) {
        var joined = Joined()
        joined.nonce = member.nonce
        joined.node = member.node
        joined.incarnation = member.incarnation
        joined.configuration = configuration
        joined.view = view
        effects.send(.joined(joined), to: asker)
    }

    private mutating func shardJoined(
        _ shard: Int, isNew: Bool, at now: Instant, into effects: inout Effects<Action>
    ) {
        switch durable.phase {
        case .forming: formIfComplete(at: now, into: &effects)
        case .running, .finished:
            guard durable.phase == .running || isNew == false else { return }
            startRecovery(lost: [shard], at: now, into: &effects)
        case .fencing: recovery?.lost.insert(shard)
        case .freezing:
            recovery?.lost.insert(shard)
            recovery?.frozen[shard] = nil
            thawIfComplete(at: now, into: &effects)
        case .restoring:
            recovery?.lost.insert(shard)
            recovery?.restored.remove(shard)
            forgetParts(of: shard)
            instruct()
            then(.announce)
        case .UNRECOGNIZED: break
        }
    }

    /// A run begins when every shard is there and enough stores to make checkpoints durable.
    private mutating func formIfComplete(at now: Instant, into effects: inout Effects<Action>) {
        guard durable.phase == .forming, live(.shard).count == settings.shards,
            enoughStores(Set(live(.store).map(\.index)))
        else { return }
        effects.report(.info, "recovery", "every shard and enough stores are here: the run begins")
        startRecovery(lost: Set(0..<settings.shards), at: now, into: &effects)
    }

    // MARK: Deaths

    mutating func receiveExit(_ exit: NodeExited, at now: Instant, into effects: inout Effects<Action>) {
        guard let node = NodeID(exit.node) else { return }
        let age = UInt64(max(0, min(exit.ageMilliseconds, 60_000)) * 1e6)
        let began = Instant(nanoseconds: now.nanoseconds > age ? now.nanoseconds - age : 0)
        if node == .coordinator {
            // Told by the supervisor to the coordinator that follows.
            noticeFault(node, cause: exit.cause, began: began, at: now, into: &effects)
            recovered(node, mode: "restart", at: now, into: &effects)
            return
        }
        guard let member = member(node), member.pid == exit.pid, liveness[node]?.live == true else { return }
        died(node, cause: exit.cause, began: began, at: now, into: &effects)
    }

    mutating func died(
        _ node: NodeID, cause: String, began: Instant, at now: Instant, into effects: inout Effects<Action>
    ) {
        liveness[node]?.live = false
        liveness[node]?.state = "dead"
        noticeFault(node, cause: cause, began: began, at: now, into: &effects)
        guard node.role == .shard else {
            then(.announce)
            return
        }
        switch durable.phase {
        case .running: startRecovery(lost: [node.index], at: now, into: &effects)
        case .fencing: recovery?.lost.insert(node.index)
        case .freezing:
            recovery?.lost.insert(node.index)
            recovery?.frozen[node.index] = nil
            thawIfComplete(at: now, into: &effects)
        case .restoring:
            recovery?.lost.insert(node.index)
            recovery?.restored.remove(node.index)
            forgetParts(of: node.index)
        case .forming, .finished, .UNRECOGNIZED: then(.announce)
        }
    }

    /// A survivor that is lost while the others are restored goes back as well: what it told of its later steps is no
    /// longer a part of them.
    private mutating func forgetParts(of shard: Int) {
        for step in parts.keys { parts[step]?[shard] = nil }
        parts = parts.filter { !$0.value.isEmpty }
    }

    /// The same process is heard after its lease had ended.
    mutating func cameBack(_ node: NodeID, at now: Instant, into effects: inout Effects<Action>) {
        then(.announce)
        formIfComplete(at: now, into: &effects)
        guard node.role == .shard else { return }
        switch durable.phase {
        case .restoring:
            recovery?.restored.remove(node.index)
            instruct()
        case .forming, .fencing, .freezing, .running, .finished, .UNRECOGNIZED: break
        }
    }

    mutating func noticeFault(
        _ node: NodeID, cause: String, began: Instant, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard faults[node] == nil else { return }
        faults[node] = Fault(began: began, detected: now, cause: cause)
        let sentence = "\(node) failed: \(cause)"
        effects.report(.warning, "fault", sentence)
        effects.perform(.record(node: node.description, kind: "fault", sentence: sentence))
        notify(
            [
                ("event", "\"fault\""), ("node", JSONText.quoted(node.description)),
                ("cause", JSONText.quoted(cause)),
            ], into: &effects)
    }

    mutating func recovered(
        _ node: NodeID, mode: String, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard let fault = faults.removeValue(forKey: node) else { return }
        durable.recoveries += 1
        dirty = true
        let took = now.since(fault.began).milliseconds
        let sentence = "\(node) is back after \(Int(took)) ms (\(mode), \(fault.lostSteps) steps lost)"
        effects.report(.info, "recovered", sentence)
        effects.perform(.record(node: node.description, kind: "recovered", sentence: sentence))
        notify(
            [
                ("event", "\"recovered\""), ("node", JSONText.quoted(node.description)),
                ("mode", JSONText.quoted(mode)),
                ("detected_ms", JSONText.number(fault.detected.since(fault.began).milliseconds)),
                ("recovered_ms", JSONText.number(took)), ("lost_steps", "\(fault.lostSteps)"),
            ], into: &effects)
    }

    /// Workers and stores are back when they say so themselves.
    mutating func noticeReturn(
        of node: NodeID, _ entry: Liveness, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard faults[node] != nil else { return }
        switch node.role {
        case .worker:
            if entry.line == durable.line && (entry.state == "training" || entry.state == "done") {
                recovered(node, mode: "rejoin", at: now, into: &effects)
            }
        case .store: if entry.caughtUp { recovered(node, mode: "catch-up", at: now, into: &effects) }
        case .shard:
            if durable.phase == .running && entry.line == durable.line && entry.state != "waiting"
                && entry.state != "restoring"
            {
                recovered(node, mode: "rejoin", at: now, into: &effects)
            }
        case .coordinator, .tool: break
        }
    }

    mutating func checkTimers(at now: Instant, into effects: inout Effects<Action>) {
        if now >= leasesDue { endLeases(at: now, into: &effects) }
        if !followers.isEmpty { followers = followers.filter { now.since($0.value) < .milliseconds(5_000) } }
        if let due = fenceResendAt, now >= due { sendFences(at: now, into: &effects) }
        if let quorumAt = recovery?.quorumAt, durable.phase == .fencing,
            now >= quorumAt + Self.inventoryPatience
        {
            chooseStep(at: now, into: &effects)
        }
        expireVerifies(at: now, into: &effects)
        if let deadline = stopDeadline, now >= deadline { moveStop(at: now, into: &effects) }
    }

    private mutating func endLeases(at now: Instant, into effects: inout Effects<Action>) {
        leasesDue = Instant(nanoseconds: .max)
        for node in places {
            guard let entry = liveness[node], entry.live else { continue }
            let end = entry.lastHeard + patience(with: entry)
            guard now >= end else {
                expectLease(end)
                continue
            }
            let silence = Int(now.since(entry.lastHeard).milliseconds)
            died(
                node, cause: "not heard for \(silence) ms, its lease has ended", began: entry.lastHeard,
                at: now,
                into: &effects)
        }
    }
}
