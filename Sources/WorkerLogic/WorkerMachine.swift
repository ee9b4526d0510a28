import MachineCore
import Wire

/// The decisions of a worker: where to begin, what to push, when to ask again.
///
/// A worker holds no state that matters: its clock is the smallest that any shard still expects from its slot, and
/// the samples of a clock are a pure function of seed, slot and clock. So after any recovery no sample is lost or used
/// twice.
///
/// Invariants:
/// - `at-most-once`: one gradient is computed per clock and timeline, and resent as it is; shards drop repeats.
/// - A gradient is computed only from parameters that every shard gave for this clock (exactly this version in `bsp`).
public struct WorkerMachine: Machine {
    public enum Action: Sendable {
        /// The parameters of all shards in order; the gradient of the batch of this clock is wanted.
        case compute(line: UInt64, clock: UInt64, parameters: [Payload])
    }

    public enum Completion: Sendable {
        /// The flat gradient of the whole model.
        case computed(line: UInt64, clock: UInt64, loss: Float, gradient: Payload)
        case computeFailed(line: UInt64, clock: UInt64, reason: String)
    }

    enum State: Sendable {
        /// The view does not run, or it is not known where this slot stands.
        case waiting
        /// Asking every shard where it is.
        case positioning(clocks: [Int: UInt64], versions: [Int: UInt64])
        case pulling(clock: UInt64, parameters: [Int: Payload])
        case computing(clock: UInt64)
        case pushing(clock: UInt64, gradient: Payload, parameters: [Int: Payload])
        /// Every clock up to the target is delivered.
        case done(clock: UInt64)
    }

    public internal(set) var membership: Membership
    let settings: RunSettings
    let ranges: [Range<Int>]
    var state: State = .waiting
    public internal(set) var line: UInt64 = 0
    var losses: [StepLoss] = []
    var pendingLoss: Float = .nan
    var retryAt: Instant?

    /// - Parameter elements: Float32 values of the whole model.
    public init(membership: Membership, settings: RunSettings, elements: Int) {
        self.membership = membership
        self.settings = settings
        ranges = (0..<settings.shards).map {
            Placement.range(ofShard: $0, shards: settings.shards, elements: elements)
        }
    }

    public var identity: Identity { membership.identity }
    public var dialable: [NodeID: String] { membership.endpoints(of: [.shard]) }
    public var dialableRevision: UInt64 { membership.revision }
    var slot: UInt32 { UInt32(identity.node.index) }

    /// The clock that is under way or next.
    public var clock: UInt64 {
        switch state {
        case .waiting, .positioning: 0
        case .pulling(let clock, _), .computing(let clock), .pushing(let clock, _, _), .done(let clock): clock
        }
    }

    public var nextDeadline: Instant? {
        guard let heartbeat = membership.nextDeadline else { return retryAt }
        return retryAt.map { min($0, heartbeat) } ?? heartbeat
    }

    public mutating func handle(
        _ event: Event<Completion>, at now: Instant, into effects: inout Effects<Action>
    ) {
        switch event {
        case .message(let packet, let sender): receive(packet, from: sender, at: now, into: &effects)
        case .completed(.computed(let line, let clock, let loss, let gradient)):
            computed(line: line, clock: clock, loss: loss, gradient: gradient, at: now, into: &effects)
        case .completed(.computeFailed(_, let clock, let reason)):
            effects.exit("the gradient of clock \(clock) can't be computed: \(reason)", failed: true)
        case .tick: break
        case .peerConnected(let peer):
            if peer == .coordinator { membership.heartbeatNow() }
            // Answers of an older connection may be lost: ask this shard again at once.
            if peer.role == .shard, retryAt != nil { retryAt = now }
        case .peerDisconnected: break
        }
        if let due = retryAt, now >= due { askAgain(at: now, into: &effects) }
        if membership.heartbeatIsDue(at: now) { sendHeartbeat(at: now, into: &effects) }
    }

    private mutating func receive(
        _ packet: Packet, from sender: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard let body = packet.body else { return }
        switch body {
        case .view(let view): takeView(view, at: now, into: &effects)
        case .positionReply(let reply): takePosition(reply, from: sender, at: now, into: &effects)
        case .parameters(let reply):
            takeParameters(reply, payload: packet.payload, from: sender, at: now, into: &effects)
        case .heartbeatReply(let reply): losses.removeAll { $0.step <= reply.acknowledgedStep }
        case .refused(let refusal):
            if refusal.fatal { effects.exit(refusal.reason, failed: false) }
        case .join, .joined, .heartbeat, .prepared, .restored, .restoreFailed, .frozen, .fence, .promised,
            .nodeExited,
            .ask, .answer, .notice, .position, .pull, .push, .append, .appended, .appendRefused, .fetchChain,
            .chainPart, .fetchFailed, .inventoryRequest, .inventory, .fetchRecord, .recordPart:
            break
        }
    }

    private mutating func takeView(_ view: View, at now: Instant, into effects: inout Effects<Action>) {
        guard membership.take(view) == .taken else { return }
        if membership.isReplaced {
            effects.exit("\(identity.node) was replaced by another process", failed: false)
            return
        }
        let runs = view.phase == .running || view.phase == .finished
        if runs && view.line != line {
            line = view.line
            losses = []
            startPositioning(at: now, into: &effects)
        } else if runs, case .done(let clock) = state, clock < view.targetStep {
            startPositioning(at: now, into: &effects)
        }
    }

    // MARK: Finding the place

    private mutating func startPositioning(at now: Instant, into effects: inout Effects<Action>) {
        state = .positioning(clocks: [:], versions: [:])
        for shard in 0..<settings.shards { askPosition(of: shard, into: &effects) }
        retryAt = now + settings.retry
    }

    private func askPosition(of shard: Int, into effects: inout Effects<Action>) {
        var position = Position()
        position.line = line
        position.slot = slot
        effects.send(.position(position), to: .shard(shard))
    }

    private func pull(_ version: UInt64, from shard: Int, into effects: inout Effects<Action>) {
        var pull = Pull()
        pull.line = line
        pull.slot = slot
        pull.version = version
        effects.send(.pull(pull), to: .shard(shard))
    }

    private mutating func takePosition(
        _ reply: PositionReply, from sender: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard isCurrent(line: reply.line, from: sender) else { return }
        let shard = sender.index
        switch state {
        case .positioning(var clocks, var versions):
            // Taken out of the state, so that a reply of one shard does not copy those of all others.
            state = .waiting
            clocks[shard] = reply.slotClock
            versions[shard] = reply.version
            guard clocks.count == settings.shards else {
                state = .positioning(clocks: clocks, versions: versions)
                return
            }
            let clock = clocks.values.min() ?? 0
            if clock >= membership.view.targetStep {
                state = .done(clock: clock)
                retryAt = nil
                return
            }
            state = .pulling(clock: clock, parameters: [:])
            let wanted = neededVersion(forClock: clock)
            for shard in 0..<settings.shards { pull(wanted, from: shard, into: &effects) }
            retryAt = now + settings.retry
        case .pulling(let clock, let parameters):
            if parameters[shard] == nil { pull(neededVersion(forClock: clock), from: shard, into: &effects) }
        case .pushing(let clock, let gradient, let parameters):
            guard parameters[shard] == nil else { return }
            if reply.slotClock <= clock {
                push(clock, gradient, to: shard, into: &effects)
            } else {
                pull(settings.wantedVersion(afterClock: clock), from: shard, into: &effects)
            }
        case .waiting, .computing, .done: break
        }
    }

    private func isCurrent(line told: UInt64, from sender: NodeID) -> Bool {
        (told == line || settings.mutation == .oldLineAccepted) && sender.role == .shard
            && sender.index < settings.shards
    }

    /// The version that the gradient of a clock is to be computed from, at least.
    private func neededVersion(forClock clock: UInt64) -> UInt64 {
        clock == 0 ? 0 : settings.wantedVersion(afterClock: clock - 1)
    }

    /// In lockstep a newer version is an answer to the process before this one, and would give another gradient. Where
    /// survivors go on while others go back, versions differ, and nothing is said to be reproducible.
    private func isUsable(_ version: UInt64, forClock clock: UInt64) -> Bool {
        let needed = neededVersion(forClock: clock)
        return settings.staleness == 0 && !settings.partialRecovery ? version == needed : version >= needed
    }

    // MARK: Training

    private mutating func takeParameters(
        _ reply: Parameters, payload: Payload?, from sender: NodeID, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        guard isCurrent(line: reply.line, from: sender) else { return }
        let shard = sender.index
        let payload = payload ?? .empty
        guard payload.count == ranges[shard].count * 4 else {
            effects.report(
                .error, "protocol",
                "\(sender) sent \(payload.count) bytes of parameters, \(ranges[shard].count * 4) were expected"
            )
            return
        }
        switch state {
        case .pulling(let clock, var parameters):
            guard isUsable(reply.version, forClock: clock) || settings.mutation == .staleParameters
            else { return }
            state = .waiting
            parameters[shard] = payload
            state = .pulling(clock: clock, parameters: parameters)
            if parameters.count == settings.shards { compute(clock, parameters, into: &effects) }
        case .pushing(let clock, let gradient, var parameters):
            // An answer to an earlier question would hold an older version, or stand for a push that was not received.
            guard
                reply.version >= settings.wantedVersion(afterClock: clock) && reply.slotClock > clock
                    || settings.mutation == .staleParameters
            else { return }
            state = .waiting
            parameters[shard] = payload
            if parameters.count == settings.shards { stepDelivered(clock) }
            if parameters.count < settings.shards {
                state = .pushing(clock: clock, gradient: gradient, parameters: parameters)
            } else if clock + 1 >= membership.view.targetStep {
                state = .done(clock: clock + 1)
                retryAt = nil
                membership.heartbeatNow()
            } else {
                compute(clock + 1, parameters, into: &effects)
            }
        case .waiting, .positioning, .computing, .done: break
        }
    }

    /// A step is told of when every shard has taken it, not when its loss is known: what was told is never lost
    /// beyond the bound that the configuration sets.
    private mutating func stepDelivered(_ clock: UInt64) {
        var stepLoss = StepLoss()
        stepLoss.step = clock + 1
        stepLoss.loss = pendingLoss
        losses.append(stepLoss)
        if losses.count > 1024 { losses.removeFirst(losses.count - 1024) }
    }

    private mutating func compute(
        _ clock: UInt64, _ parameters: [Int: Payload], into effects: inout Effects<Action>
    ) {
        state = .computing(clock: clock)
        retryAt = nil
        effects.perform(
            .compute(line: line, clock: clock, parameters: (0..<settings.shards).map { parameters[$0]! }))
    }

    private mutating func computed(
        line computedLine: UInt64, clock: UInt64, loss: Float, gradient: Payload, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        guard computedLine == line, case .computing(clock) = state else { return }
        pendingLoss = loss
        if clock >= membership.view.targetStep {
            state = .done(clock: clock)
            return
        }
        state = .pushing(clock: clock, gradient: gradient, parameters: [:])
        for shard in 0..<settings.shards { push(clock, gradient, to: shard, into: &effects) }
        retryAt = now + settings.retry
    }

    private func push(
        _ clock: UInt64, _ gradient: Payload, to shard: Int, into effects: inout Effects<Action>
    ) {
        var push = Push()
        push.line = line
        push.slot = slot
        push.clock = clock
        push.wantVersion = settings.wantedVersion(afterClock: clock)
        let range = ranges[shard]
        effects.send(
            .push(push), to: .shard(shard),
            payload: gradient.slice(range.lowerBound * 4..<range.upperBound * 4))
    }

    /// A shard may answer late because another worker is late: so ask for its position, and send again what it lacks.
    private mutating func askAgain(at now: Instant, into effects: inout Effects<Action>) {
        retryAt = now + settings.retry
        switch state {
        case .positioning(let clocks, _):
            for shard in 0..<settings.shards where clocks[shard] == nil {
                askPosition(of: shard, into: &effects)
            }
        case .pulling(_, let parameters), .pushing(_, _, let parameters):
            for shard in 0..<settings.shards where parameters[shard] == nil {
                askPosition(of: shard, into: &effects)
            }
        case .waiting, .computing, .done: retryAt = nil
        }
    }

    private func sendHeartbeat(at now: Instant, into effects: inout Effects<Action>) {
        var heartbeat = Heartbeat()
        heartbeat.viewNumber = membership.view.number
        heartbeat.step = clock
        heartbeat.line = line
        heartbeat.losses = Array(losses.prefix(256))
        heartbeat.sentNanoseconds = now.nanoseconds
        switch state {
        case .waiting: heartbeat.state = "waiting"
        case .positioning, .pulling: heartbeat.state = "joining"
        case .computing, .pushing: heartbeat.state = "training"
        case .done: heartbeat.state = "done"
        }
        effects.send(.heartbeat(heartbeat), to: .coordinator)
    }
}
