import MachineCore
import Wire

/// The decisions of a parameter-server shard.
///
/// The version of a shard is the number of steps that it has applied. Step `v` applies, in order of the worker slots,
/// the gradients with clock `v − 1` of all slots: so every shard applies the same set in the same order, whatever the
/// order of arrival. Consistency modes differ only in which version may answer a worker.
///
/// Invariants:
/// - `at-most-once`: a gradient (slot, clock) is held once and applied once; clocks below the version are done.
/// - `bounded-loss`: a step is applied only while fewer than `maxLag` checkpoints wait for their quorum.
/// - `fenced`: nothing is applied, answered or appended unless the newest view runs this shard's timeline.
/// - `chained`: a delta names the state that it builds on; a restore is checked link by link and at its end.
public struct ShardMachine: Machine {
    public enum Action: Sendable {
        /// Begin from the seed.
        case initialize(line: UInt64)
        /// Apply the gradients, in this order, to come to `version`.
        case apply(version: UInt64, gradients: [Payload])
        case encode(step: UInt64, asBase: Bool)
        /// Frames of a chain; the first begins with a base, the last must lead to `stateDigest`.
        case restore(ChainLink)
    }

    public struct ChainLink: Sendable {
        public var line: UInt64
        public var parts: [Part]
        public var frames: Payload
        public var isFirst: Bool
        public var isLast: Bool
        public var stateDigest: String
        /// The version at which the shard takes part again.
        public var resumeVersion: UInt64
    }

    public enum Completion: Sendable {
        case initialized(line: UInt64, parameters: Payload)
        case applied(version: UInt64, parameters: Payload)
        /// The part lacks shard, epoch and line: the machine adds them.
        case encoded(Part, frame: Payload)
        case linkRestored(line: UInt64, step: UInt64)
        case restored(line: UInt64, step: UInt64, stateDigest: String, parameters: Payload)
        /// `isLoss`: what the store gave is not what was asked for; else the fault may be here.
        case restoreFailed(line: UInt64, reason: String, isLoss: Bool)
    }

    enum State: Sendable {
        /// No instruction for this process yet.
        case waiting
        case restoring(Restoring)
        /// Has a state; trains when the view says so.
        case ready
    }

    struct Restoring: Sendable {
        var line: UInt64
        var step: Int64
        var stateDigest: String
        var resumeVersion: UInt64
        var sources: [NodeID]
        var sourceIndex = 0
        var definiteFailures: Set<NodeID> = []
        /// Answers that did not come in time: a long one on a slow link needs longer.
        var unanswered = 0
        var lastReason = "no store has answered"
        var afterStep: Int64 = -1
        var request: UInt64 = 0
        var deadline: Instant
        var baseStep: UInt64 = 0
        /// The arithmetic on what has arrived, or on the seed, is under way: nothing is asked for meanwhile.
        var isWorking = false
    }

    struct InFlight: Sendable {
        var part: Part
        var frame: Payload
        var acks: Set<NodeID> = []
        var began: Instant
        var resendAt: Instant
    }

    public internal(set) var membership: Membership
    let settings: RunSettings
    let elements: Int
    /// The stores that hold this shard's parts.
    let replicas: [NodeID]
    var state: State = .waiting
    /// The timeline that the state belongs to.
    public internal(set) var line: UInt64 = 0
    public internal(set) var version: UInt64 = 0
    var parameters = Payload.empty
    var previousParameters: Payload?
    var gradients: [UInt64: [Int: Payload]] = [:]
    var isApplying = false
    /// Per slot: the version that its worker waits for.
    var waiting: [Int: UInt64] = [:]
    var waitingPositions: [Int: UInt64] = [:]
    var slotIncarnations: [Int: UInt64] = [:]

    var isEncoding = false
    var encodeBegan = Instant(nanoseconds: 0)
    var lastCheckpoint: UInt64?
    var lastBaseStep: UInt64?
    var inFlight: [InFlight] = []
    /// Durable parts that the coordinator has not confirmed as committed yet.
    var prepared: [Part] = []
    /// The newest of them that the coordinator was told of at least once.
    var toldStep: UInt64?
    var toldAt: Instant?
    var preparedResendAt: Instant?
    var restoredReport: Restored?
    var nextRequest: UInt64 = 1
    var stalledSince: Instant?
    public internal(set) var stallNanoseconds: UInt64 = 0

    /// - Parameter elements: Float32 values of this shard's slice.
    public init(membership: Membership, settings: RunSettings, elements: Int) {
        self.membership = membership
        self.settings = settings
        self.elements = elements
        replicas = Placement.stores(
            ofShard: membership.identity.node.index, stores: settings.stores, replicas: settings.replicas)
    }

    public var identity: Identity { membership.identity }
    public var dialable: [NodeID: String] { membership.endpoints(of: [.store]) }
    public var dialableRevision: UInt64 { membership.revision }
    var view: View { membership.view }
    var shard: UInt32 { UInt32(identity.node.index) }

    /// True when this shard may change its state and answer workers.
    var isRunning: Bool {
        guard case .ready = state else { return false }
        return line == view.line && (view.phase == .running || view.phase == .finished)
    }

    /// True when frames of this timeline may go to the stores.
    ///
    /// Not before every shard has come back: a survivor that dies until then is restored to the common step, on the same
    /// timeline and in the same epoch, and would give the steps after it other payloads (`single-writer`).
    var mayAppend: Bool {
        guard case .ready = state, line == view.line else { return false }
        switch view.phase {
        case .running, .finished: return true
        case .forming, .fencing, .freezing, .restoring, .UNRECOGNIZED: return false
        }
    }

    public var nextDeadline: Instant? {
        var next = membership.nextDeadline
        func consider(_ candidate: Instant?) {
            if let candidate, next.map({ candidate < $0 }) ?? true { next = candidate }
        }
        if case .restoring(let restoring) = state { consider(restoring.deadline) }
        if mayAppend { for item in inFlight { consider(item.resendAt) } }
        consider(preparedResendAt)
        return next
    }
}
