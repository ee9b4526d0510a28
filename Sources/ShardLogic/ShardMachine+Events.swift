import MachineCore
import Wire

extension ShardMachine {
    public mutating func handle(
        _ event: Event<Completion>, at now: Instant, into effects: inout Effects<Action>
    ) {
        switch event {
        case .message(let packet, let sender): receive(packet, from: sender, at: now, into: &effects)
        case .completed(let completion): finish(completion, at: now, into: &effects)
        case .tick: break
        case .peerConnected(let peer):
            if peer == .coordinator { membership.heartbeatNow() }
            // What was under way to this peer may be lost with the old connection.
            for position in inFlight.indices where !inFlight[position].acks.contains(peer) {
                if peer.role == .store { inFlight[position].resendAt = now }
            }
            if case .restoring(var restoring) = state, peer.role == .store, restoring.request == 0,
                !restoring.isWorking
            {
                restoring.deadline = now
                state = .restoring(restoring)
            }
        case .peerDisconnected: break
        }
        tryToApply(at: now, into: &effects)
        checkTimers(at: now, into: &effects)
    }

    private mutating func receive(
        _ packet: Packet, from sender: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard let body = packet.body else { return }
        switch body {
        case .push(let push): receivePush(push, packet: packet, from: sender, into: &effects)
        case .pull(let pull): receivePull(pull, packet: packet, from: sender, into: &effects)
        case .position(let position): receivePosition(position, packet: packet, from: sender, into: &effects)
        case .appended(let ack): receiveAck(ack, from: sender, at: now, into: &effects)
        case .appendRefused(let refusal): receiveRefusal(refusal, from: sender, at: now, into: &effects)
        case .chainPart(let part):
            receiveChain(part, payload: packet.payload, from: sender, at: now, into: &effects)
        case .fetchFailed(let failure): fetchFailed(failure, from: sender, at: now, into: &effects)
        case .view(let view): takeView(view, at: now, into: &effects)
        case .heartbeatReply(let reply): takeCommitted(reply.committedStep)
        case .refused(let refusal):
            if refusal.fatal && sender == .coordinator { effects.exit(refusal.reason, failed: false) }
        case .join, .joined, .heartbeat, .prepared, .restored, .restoreFailed, .frozen, .fence, .promised,
            .nodeExited,
            .ask, .answer, .notice, .positionReply, .parameters, .append, .fetchChain, .inventoryRequest,
            .inventory,
            .fetchRecord, .recordPart:
            break
        }
    }

    private mutating func finish(
        _ completion: Completion, at now: Instant, into effects: inout Effects<Action>
    ) {
        switch completion {
        case .initialized(let line, let parameters):
            guard case .restoring(let restoring) = state, restoring.line == line, restoring.step < 0 else {
                return
            }
            becomeReady(
                line: line, step: 0, stateDigest: "", baseStep: nil, parameters: parameters, version: 0)
            if settings.checkpointEvery > 0 { startCheckpoint(at: now, into: &effects) }
            tellRestored(step: -1, stateDigest: "", into: &effects)
        case .applied(let version, let parameters):
            // A step that was under way when a restore was ordered belongs to a state that is given up.
            guard case .ready = state, isApplying, version == self.version + 1 else { return }
            isApplying = false
            gradients[self.version] = nil
            self.version = version
            previousParameters = self.parameters
            self.parameters = parameters
            for slot in waiting.keys.sorted() { answer(slot, into: &effects) }
            if settings.isCheckpoint(version, target: view.targetStep) {
                startCheckpoint(at: now, into: &effects)
            }
        case .encoded(let part, let frame): encoded(part, frame, at: now, into: &effects)
        case .linkRestored(let line, let step): linkRestored(line: line, step: step, at: now, into: &effects)
        case .restored(let line, let step, let digest, let parameters):
            guard case .restoring(let restoring) = state, restoring.line == line else { return }
            becomeReady(
                line: line, step: step, stateDigest: digest, baseStep: restoring.baseStep,
                parameters: parameters,
                version: restoring.resumeVersion)
            effects.report(.info, "restore", "step \(step) is restored, digest \(digest)")
            tellRestored(step: Int64(step), stateDigest: digest, into: &effects)
        case .restoreFailed(let line, let reason, let isLoss):
            guard case .restoring(let restoring) = state, restoring.line == line else { return }
            sourceFailed(restoring, reason: reason, definite: isLoss, at: now, into: &effects)
        }
    }

    private mutating func becomeReady(
        line: UInt64, step: UInt64, stateDigest: String, baseStep: UInt64?, parameters: Payload,
        version: UInt64
    ) {
        state = .ready
        self.line = line
        self.version = version
        self.parameters = parameters
        previousParameters = nil
        gradients = [:]
        waiting = [:]
        isApplying = false
        isEncoding = false
        inFlight = []
        prepared = []
        toldStep = nil
        lastCheckpoint = baseStep == nil ? nil : step
        lastBaseStep = baseStep
    }

    private mutating func tellRestored(step: Int64, stateDigest: String, into effects: inout Effects<Action>)
    {
        var restored = Restored()
        restored.line = line
        restored.step = step
        restored.stateDigest = stateDigest
        restored.version = version
        restoredReport = restored
        effects.send(.restored(restored), to: .coordinator)
    }

    // MARK: Views

    private mutating func takeView(_ new: View, at now: Instant, into effects: inout Effects<Action>) {
        guard membership.take(new) == .taken else { return }
        if membership.isReplaced {
            effects.exit("\(identity.node) was replaced by another process", failed: false)
            return
        }
        takeCommitted(new.committedStep)
        // A shard that went over to the timeline as a survivor may be counted as lost a moment later.
        let isOrderedAgain =
            new.line == line && new.phase == .restoring && restoredReport?.line != line
            && new.restores.contains { $0.shard == shard && $0.incarnation == identity.incarnation }
        if new.line > line || isOrderedAgain { takeLine(new, at: now, into: &effects) }
        if new.phase == .running && restoredReport?.line == new.line { restoredReport = nil }
        if new.phase == .freezing, case .ready = state {
            var frozen = Frozen()
            frozen.line = new.epoch
            frozen.version = isApplying ? version + 1 : version
            effects.send(.frozen(frozen), to: .coordinator)
        }
        if isRunning {
            for slot in waitingPositions.keys.sorted() { answerPosition(slot, into: &effects) }
            for position in inFlight.indices where inFlight[position].part.epoch < identity.epoch {
                inFlight[position].resendAt = now
            }
            // The end may have been moved to the version that is already there.
            if version == new.targetStep, lastCheckpoint != version, !isEncoding, !isApplying {
                startCheckpoint(at: now, into: &effects)
            }
        }
    }

    private mutating func takeLine(_ new: View, at now: Instant, into effects: inout Effects<Action>) {
        let mine = new.restores.first { $0.shard == shard && $0.incarnation == identity.incarnation }
        if let mine {
            if case .restoring(let known) = state, known.line == new.line { return }
            beginRestore(mine, view: new, at: now, into: &effects)
        } else if case .ready = state, !new.restores.contains(where: { $0.shard == shard }) {
            // Others were lost; this shard goes on from where it is, on the new timeline.
            // Its checkpoints do so too: what it has made durable counts on the new timeline.
            line = new.line
            for position in inFlight.indices { inFlight[position].part.line = line }
            for position in prepared.indices { prepared[position].line = line }
            toldStep = nil
            if !prepared.isEmpty { preparedResendAt = now }
        }
    }

    private mutating func takeCommitted(_ step: Int64) {
        guard step >= 0 else { return }
        prepared.removeAll { Int64($0.step) <= step }
        if prepared.isEmpty { preparedResendAt = nil }
    }

    // MARK: Timers

    private mutating func checkTimers(at now: Instant, into effects: inout Effects<Action>) {
        if case .restoring(let restoring) = state, now >= restoring.deadline {
            if restoring.request == 0 {
                askForChain(restoring, at: now, into: &effects)
            } else {
                sourceFailed(restoring, reason: "no answer in time", definite: false, at: now, into: &effects)
            }
        }
        resendAppends(at: now, into: &effects)
        if let due = preparedResendAt, now >= due { preparedIsDue(at: now, into: &effects) }
        if membership.heartbeatIsDue(at: now) { sendHeartbeat(at: now, into: &effects) }
    }

    private func sendHeartbeat(at now: Instant, into effects: inout Effects<Action>) {
        var heartbeat = Heartbeat()
        heartbeat.viewNumber = view.number
        heartbeat.step = version
        heartbeat.line = line
        heartbeat.stallNanoseconds = stallNanoseconds
        heartbeat.sentNanoseconds = now.nanoseconds
        switch state {
        case .waiting: heartbeat.state = "waiting"
        case .restoring: heartbeat.state = "restoring"
        case .ready: heartbeat.state = isRunning ? (stalledSince == nil ? "training" : "stalled") : "ready"
        }
        effects.send(.heartbeat(heartbeat), to: .coordinator)
        if let restoredReport { effects.send(.restored(restoredReport), to: .coordinator) }
        if view.phase == .freezing, case .ready = state {
            var frozen = Frozen()
            frozen.line = view.epoch
            frozen.version = isApplying ? version + 1 : version
            effects.send(.frozen(frozen), to: .coordinator)
        }
    }
}
