import CoordinatorLogic
import MachineCore
import ShardLogic
import StoreLogic
import Wire
import WorkerLogic

/// How much a cluster says, and how long its coordinator works, for one committed checkpoint.
public struct ScaleReport: Sendable {
    public var shards: Int
    public var stores: Int
    public var workers: Int
    /// Checkpoints that were committed while it was counted.
    public var commits = 0
    /// Virtual time while it was counted.
    public var milliseconds: UInt64 = 0
    /// Messages that the coordinator got and sent, heartbeats and their answers apart: those go by time.
    public var coordinatorMessages = 0
    public var heartbeats = 0
    /// Processor time of the coordinator's decisions, heartbeats and the end's announcements included.
    public var coordinatorNanoseconds: UInt64 = 0
    /// Tensor bytes that the coordinator got or sent.
    public var coordinatorPayloadBytes = 0
    /// Control bytes of what the coordinator got and sent.
    public var coordinatorBytes = 0
    /// Messages of all shards to and from stores.
    public var storeMessages = 0
    /// Messages between workers and shards: each worker talks to each shard, so they grow with the product.
    public var gradientMessages = 0
    /// Why the run did not come to its end, if it did not.
    public var failure: String?
}

/// A cluster without faults in virtual time: the real machines, with arithmetic and disks that take time and do nothing.
///
/// It is apart from `World` because of the numbers: there are millions of messages per step, and none is ever lost.
/// Workers and shards take their turns a little apart, so that only few messages are under way at a time; a step takes
/// about 0.1 s, however large the cluster.
public final class Scale {
    private enum Item {
        case message(Packet, from: NodeID, to: NodeID)
        case tick(NodeID)
        case coordinatorDone(CoordinatorMachine.Completion)
        case shardDone(Int, ShardMachine.Completion)
        case storeDone(Int, StoreMachine.Completion)
        case workerDone(Int, WorkerMachine.Completion)
    }

    private let settings: RunSettings
    private let processorNanoseconds: () -> UInt64
    private var queue = EventQueue<Item>()
    private var now: UInt64 = 1_000_000
    private var coordinator: CoordinatorMachine
    private var shards: [ShardMachine?]
    private var stores: [StoreMachine?]
    private var workers: [WorkerMachine?]
    private var wake: [NodeID: UInt64] = [:]
    private var report: ScaleReport
    private var isCounting = false
    private var countingSince: UInt64 = 0
    private var firstCounted: Int64 = 0
    private let slice = Payload([0, 0, 0, 0])
    private let gradient: Payload
    private let frame = Payload([UInt8](repeating: 7, count: 64))

    private init(shards: Int, stores: Int, workers: Int, steps: UInt64, processor: @escaping () -> UInt64) {
        var settings = RunSettings(shards: shards, workers: workers, stores: stores)
        settings.steps = steps
        // Nothing is lost, and a step of thousands of workers takes long.
        settings.retry = .milliseconds(60_000)
        settings.lease = .milliseconds(10_000)
        self.settings = settings
        processorNanoseconds = processor
        coordinator = CoordinatorMachine(
            run: "scale", settings: settings, configuration: "", state: nil, manifests: [],
            now: Instant(nanoseconds: 1_000_000))
        self.shards = Array(repeating: nil, count: shards)
        self.stores = Array(repeating: nil, count: stores)
        self.workers = Array(repeating: nil, count: workers)
        report = ScaleReport(shards: shards, stores: stores, workers: workers)
        gradient = Payload([UInt8](repeating: 0, count: shards * 4))
    }

    /// Trains `steps` steps with a checkpoint after each, and counts from the first commit to the last.
    ///
    /// - Parameter processorNanoseconds: the processor time of this thread so far.
    public static func measure(
        shards: Int, stores: Int, workers: Int, steps: UInt64,
        processorNanoseconds: @escaping () -> UInt64
    ) -> ScaleReport {
        let scale = Scale(
            shards: shards, stores: stores, workers: workers, steps: steps, processor: processorNanoseconds)
        scale.run()
        return scale.report
    }

    private func run() {
        let roles: [(Role, Int)] = [
            (.store, settings.stores), (.shard, settings.shards), (.worker, settings.workers),
        ]
        for (role, count) in roles { for index in 0..<count { join(NodeID(role: role, index: index)) } }
        while let at = queue.nextTime, let item = queue.next() {
            now = at
            happen(item)
            if !isCounting && coordinator.committedStep >= 0 {
                isCounting = true
                countingSince = now
                firstCounted = coordinator.committedStep
            }
            if coordinator.isFinished { break }
        }
        report.commits = Int(coordinator.committedStep - firstCounted)
        report.milliseconds = (now - countingSince) / 1_000_000
        if coordinator.committedStep < Int64(settings.steps) {
            report.failure = "nothing was left to do at step \(coordinator.committedStep)"
        }
    }

    private func join(_ node: NodeID) {
        var join = Join()
        join.role = node.role.rawValue
        join.index = Int32(node.index)
        join.pid = 1
        join.nonce = UInt64(node.index) << 8 | UInt64(node.role == .shard ? 1 : node.role == .store ? 2 : 3)
        join.endpoint = "tcp://10.0.0.1:\(node.index)"
        let packet = Packet(.join(join), run: "scale", from: node.description)
        queue.add(.message(packet, from: node, to: .coordinator), at: now)
    }

    private func happen(_ item: Item) {
        switch item {
        case .message(let packet, let sender, let node):
            if case .joined(let joined)? = packet.body { return begin(node, joined, packet) }
            count(packet, sender, node)
            switch node.role {
            case .coordinator: drive(.message(packet, from: sender))
            case .shard: drive(shard: node.index, .message(packet, from: sender))
            case .store: drive(store: node.index, .message(packet, from: sender))
            case .worker: drive(worker: node.index, .message(packet, from: sender))
            case .tool: break
            }
        case .tick(let node):
            guard wake[node] == now else { return }
            wake[node] = nil
            switch node.role {
            case .coordinator: drive(.tick)
            case .shard: drive(shard: node.index, .tick)
            case .store: drive(store: node.index, .tick)
            case .worker: drive(worker: node.index, .tick)
            case .tool: break
            }
        case .coordinatorDone(let completion): drive(.completed(completion))
        case .shardDone(let index, let completion): drive(shard: index, .completed(completion))
        case .storeDone(let index, let completion): drive(store: index, .completed(completion))
        case .workerDone(let index, let completion): drive(worker: index, .completed(completion))
        }
    }

    private func begin(_ node: NodeID, _ joined: Joined, _ packet: Packet) {
        let membership = Membership(
            identity: Identity(
                node: node, run: "scale", incarnation: joined.incarnation, epoch: packet.epoch),
            view: joined.view, heartbeatInterval: settings.heartbeat)
        switch node.role {
        case .shard:
            shards[node.index] = ShardMachine(membership: membership, settings: settings, elements: 1)
        case .worker:
            workers[node.index] = WorkerMachine(
                membership: membership, settings: settings, elements: settings.shards)
        case .store:
            stores[node.index] = StoreMachine(
                membership: membership,
                settings: StoreMachine.Settings(
                    stores: settings.stores, replicas: settings.replicas, retry: settings.retry),
                found: StoreMachine.Found())
        case .coordinator, .tool: return
        }
        queue.add(.tick(node), at: now + 1)
        wake[node] = now + 1
    }

    private func count(_ packet: Packet, _ sender: NodeID, _ receiver: NodeID) {
        guard isCounting else { return }
        if sender == .coordinator || receiver == .coordinator {
            report.coordinatorPayloadBytes += packet.payload?.count ?? 0
            report.coordinatorBytes += (try? packet.envelope.serializedBytes() as [UInt8])?.count ?? 0
            switch packet.body {
            case .heartbeat, .heartbeatReply: report.heartbeats += 1
            default: report.coordinatorMessages += 1
            }
        } else if sender.role == .worker || receiver.role == .worker {
            report.gradientMessages += 1
        } else {
            report.storeMessages += 1
        }
    }

    // MARK: Machines

    private func carryOut<Action>(
        _ effects: Effects<Action>, of identity: Identity, deadline: Instant?, _ perform: (Action) -> Void
    ) {
        for effect in effects.items {
            switch effect {
            case .send(let body, let payload, let node):
                let packet = Packet(
                    body, run: identity.run, from: identity.node.description,
                    incarnation: identity.incarnation, epoch: identity.epoch, payload: payload)
                queue.add(.message(packet, from: identity.node, to: node), at: now + 20_000)
            case .perform(let action): perform(action)
            case .report(let decision):
                if decision.level == .error { report.failure = report.failure ?? decision.sentence }
            case .exit(let reason, _): report.failure = report.failure ?? reason
            }
        }
        guard let deadline, deadline.nanoseconds != .max else { return }
        let at = max(deadline.nanoseconds, now + 1000)
        if let known = wake[identity.node], known <= at { return }
        wake[identity.node] = at
        queue.add(.tick(identity.node), at: at)
    }

    private func drive(_ event: Event<CoordinatorMachine.Completion>) {
        var effects = Effects<CoordinatorMachine.Action>()
        let before = processorNanoseconds()
        coordinator.handle(event, at: Instant(nanoseconds: now), into: &effects)
        let deadline = coordinator.nextDeadline
        if isCounting { report.coordinatorNanoseconds += processorNanoseconds() - before }
        carryOut(effects, of: coordinator.identity, deadline: deadline) { action in
            guard case .persist = action else { return }
            queue.add(.coordinatorDone(.persisted), at: now + 2_000_000)
        }
    }

    private func drive(shard index: Int, _ event: Event<ShardMachine.Completion>) {
        guard shards[index] != nil else { return }
        var effects = Effects<ShardMachine.Action>()
        shards[index]!.handle(event, at: Instant(nanoseconds: now), into: &effects)
        carryOut(effects, of: shards[index]!.identity, deadline: shards[index]!.nextDeadline) { action in
            // Shards take their turns: so their answers to all workers are not under way at the same time.
            var takes = UInt64(1_000_000)
            let completion: ShardMachine.Completion
            switch action {
            case .initialize(let line): completion = .initialized(line: line, parameters: slice)
            case .apply(let version, _):
                takes += UInt64(index) * 50_000_000 / UInt64(settings.shards)
                completion = .applied(version: version, parameters: slice)
            case .encode(let step, let asBase):
                var part = Part()
                part.step = step
                part.kind = asBase ? .base : .delta
                part.baseStep = asBase ? 0 : step - 1
                part.baseDigest = asBase ? "" : "\(step - 1)"
                part.stateDigest = "\(step)"
                part.payloadDigest = "\(index) \(step)"
                part.encodedBytes = UInt64(frame.count)
                part.rawBytes = 4
                completion = .encoded(part, frame: frame)
            case .restore(let link):
                completion = .restoreFailed(line: link.line, reason: "nothing is lost here", isLoss: false)
            }
            queue.add(.shardDone(index, completion), at: now + takes)
        }
    }

    private func drive(store index: Int, _ event: Event<StoreMachine.Completion>) {
        guard stores[index] != nil else { return }
        var effects = Effects<StoreMachine.Action>()
        stores[index]!.handle(event, at: Instant(nanoseconds: now), into: &effects)
        carryOut(effects, of: stores[index]!.identity, deadline: stores[index]!.nextDeadline) { action in
            let completion: StoreMachine.Completion
            switch action {
            case .write: completion = .written
            case .read(let parts, let purpose): completion = .read(parts, frame, purpose)
            case .compact: completion = .compacted(freedBytes: 0)
            case .verify(let asked, let repair):
                completion = .verified(asked: asked, checked: 0, damages: [], repair: repair)
            }
            queue.add(.storeDone(index, completion), at: now + 1_000_000)
        }
    }

    private func drive(worker index: Int, _ event: Event<WorkerMachine.Completion>) {
        guard workers[index] != nil else { return }
        var effects = Effects<WorkerMachine.Action>()
        workers[index]!.handle(event, at: Instant(nanoseconds: now), into: &effects)
        carryOut(effects, of: workers[index]!.identity, deadline: workers[index]!.nextDeadline) { action in
            switch action {
            case .compute(let line, let clock, _):
                queue.add(
                    .workerDone(
                        index, .computed(line: line, clock: clock, loss: 1, gradient: gradient)),
                    at: now + 1_000_000 + UInt64(index) * 50_000_000 / UInt64(settings.workers))
            }
        }
    }
}
