import MachineCore
import Wire

/// Gradients in, parameters out.
extension ShardMachine {
    /// False when the sender was replaced; it is told so.
    private mutating func admits(
        _ slot: UInt32, packet: Packet, from sender: NodeID, into effects: inout Effects<Action>
    ) -> Bool {
        guard sender.role == .worker, sender.index == Int(slot), Int(slot) < settings.workers else {
            return false
        }
        let known = max(slotIncarnations[Int(slot)] ?? 0, membership.incarnation(of: sender))
        guard packet.incarnation >= known else {
            effects.report(.warning, "fenced", "refused a push of a replaced \(sender)")
            var refusal = Refused()
            refusal.reason = "\(sender) was replaced by another process"
            refusal.fatal = true
            effects.send(.refused(refusal), to: sender)
            return false
        }
        // What the process before it waited for is no answer to this one.
        if packet.incarnation > slotIncarnations[Int(slot)] ?? 0 { waiting[Int(slot)] = nil }
        slotIncarnations[Int(slot)] = packet.incarnation
        return true
    }

    mutating func receivePush(
        _ push: Push, packet: Packet, from sender: NodeID, into effects: inout Effects<Action>
    ) {
        guard isRunning, push.line == line || settings.mutation == .oldLineAccepted,
            admits(push.slot, packet: packet, from: sender, into: &effects)
        else { return }
        let slot = Int(push.slot)
        waiting[slot] = push.wantVersion
        if push.clock >= version, gradients[push.clock]?[slot] == nil {
            guard let payload = packet.payload ?? (elements == 0 ? Payload.empty : nil),
                payload.count == elements * 4,
                payload.withFloats({ _ in true }) == true
            else {
                effects.report(
                    .error, "protocol",
                    "a gradient of \(sender) has \(packet.payload?.count ?? 0) bytes, \(elements * 4) were expected"
                )
                return
            }
            guard push.clock < version + settings.window else {
                effects.report(
                    .error, "protocol", "\(sender) is at clock \(push.clock), beyond the window of \(version)"
                )
                return
            }
            gradients[push.clock, default: [:]][slot] = payload
        } else if settings.mutation == .pushNotDeduplicated, push.clock >= version,
            let payload = packet.payload
        {
            gradients[push.clock + 1, default: [:]][slot] = payload
        }
        answer(slot, into: &effects)
    }

    mutating func receivePull(
        _ pull: Pull, packet: Packet, from sender: NodeID, into effects: inout Effects<Action>
    ) {
        guard isRunning, pull.line == line, admits(pull.slot, packet: packet, from: sender, into: &effects)
        else { return }
        waiting[Int(pull.slot)] = pull.version
        answer(Int(pull.slot), into: &effects)
    }

    mutating func receivePosition(
        _ position: Position, packet: Packet, from sender: NodeID, into effects: inout Effects<Action>
    ) {
        guard admits(position.slot, packet: packet, from: sender, into: &effects) else { return }
        waitingPositions[Int(position.slot)] = position.line
        if isRunning { answerPosition(Int(position.slot), into: &effects) }
    }

    mutating func answerPosition(_ slot: Int, into effects: inout Effects<Action>) {
        guard let askedLine = waitingPositions[slot], askedLine <= line else { return }
        waitingPositions[slot] = nil
        guard askedLine == line else { return }
        var reply = PositionReply()
        reply.line = line
        reply.version = version
        reply.slotClock = slotClock(slot)
        effects.send(.positionReply(reply), to: .worker(slot))
    }

    /// The next clock that is expected from a slot.
    func slotClock(_ slot: Int) -> UInt64 {
        var clock = version
        while gradients[clock]?[slot] != nil { clock += 1 }
        return clock
    }

    /// Answers a waiting worker if the version that it wants exists: exactly that one where it is still held.
    mutating func answer(_ slot: Int, into effects: inout Effects<Action>) {
        guard let wanted = waiting[slot], version >= wanted else { return }
        waiting[slot] = nil
        var reply = Parameters()
        reply.line = line
        reply.slotClock = slotClock(slot)
        reply.version = version
        var payload = parameters
        if settings.staleness == 0, version == wanted + 1, let previousParameters {
            reply.version = wanted
            payload = previousParameters
        }
        effects.send(.parameters(reply), to: .worker(slot), payload: payload)
    }

    mutating func tryToApply(at now: Instant, into effects: inout Effects<Action>) {
        guard isRunning, !isApplying, version < view.targetStep, let set = gradients[version],
            set.count == settings.workers
        else {
            stalledSince = nil
            return
        }
        // A checkpoint of `version` itself is under way unless it is durable: training may be ahead by maxLag.
        let outstanding = inFlight.count + (isEncoding ? 1 : 0)
        guard
            outstanding < settings.maxLag || settings.checkpointEvery == 0 || settings.mutation == .lagIgnored
        else {
            if stalledSince == nil { stalledSince = now }
            return
        }
        if let since = stalledSince {
            stallNanoseconds += now.since(since).nanoseconds
            stalledSince = nil
        }
        isApplying = true
        var inputs = (0..<settings.workers).map { set[$0]! }
        if settings.mutation == .gradientsReversed && version % 2 == 1 { inputs.reverse() }
        effects.perform(.apply(version: version + 1, gradients: inputs))
    }
}
