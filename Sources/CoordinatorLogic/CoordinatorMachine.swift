import MachineCore
import Wire

/// The decisions of the coordinator: who is who, what is committed, and how the model comes back.
///
/// Invariants:
/// - An epoch, a timeline, an incarnation and a commit are durable before any other node hears of them.
/// - `durable`, `atomic`: a step is committed only when every shard has told of a part of the current timeline that
///   `writeQuorum` stores acknowledged.
/// - `fenced`: before a restore begins, so many stores have promised the new epoch that no older writer can reach a
///   quorum any more; then what the stores hold decides which step is restored.
/// - `proved`: a shard counts as restored only with the digest that the manifest names.
/// - `monotonic`: the committed step never goes back, unless every copy of it is damaged; that is reported as an error.
/// - No tensor bytes pass through here.
public struct CoordinatorMachine: Machine {
    public enum Action: Sendable {
        /// Make this durable in one transaction, on the condition that this process still leads.
        case persist(CoordinatorState, commits: [Manifest], deletes: [UInt64])
        /// A sentence for the history that operators read.
        case record(node: String, kind: String, sentence: String)
    }

    public enum Completion: Sendable {
        case persisted
        /// Another process leads now.
        case notLeader
        case persistFailed(String)
    }

    /// What waits for the state to be durable.
    enum Continuation: Sendable {
        case announce
        case joined(NodeID, nonce: UInt64, asker: NodeID)
        case committed([Manifest])
        case fence
        /// What stores may forget: told only once the manifests of the rest are gone from the database.
        case retain(Retain)
        case answer(id: UInt64, to: NodeID)
    }

    struct Recovery: Sendable {
        /// Shards whose state is gone.
        var lost: Set<Int>
        var promised: Set<Int> = []
        /// Newer parts than the last commit, as the stores tell them: step → shard → payload digest → stores.
        var found: [UInt64: [Int: [String: (part: Part, stores: Set<Int>)]]] = [:]
        var quorumAt: Instant?
        var frozen: [Int: UInt64] = [:]
        var restored: Set<Int> = []
        var restoreStep: Int64 = -1
        var maxStep: Int64 = .max
        var stepBefore: UInt64 = 0
        var failedRounds: [Int: FailedRounds] = [:]
    }

    /// A shard has asked every store in vain, again and again.
    struct FailedRounds: Sendable {
        let began: Instant
        var last: Instant
        var alike = 1
        var reason: String

        /// Each round shows stores damage that they mend from each other: only rounds that find nothing new, while no store
        /// is fetching anything, prove that a step is lost. No store fetches for ever, but it might.
        mutating func isProof(_ next: String, storesAreWhole: Bool, at now: Instant) -> Bool {
            alike = next == reason && storesAreWhole ? alike + 1 : 1
            reason = next
            last = now
            return alike >= 2 || now.since(began) >= Self.patience
        }

        /// As long as a store's own repair may take.
        static let patience = Instant.Span.milliseconds(20_000)
    }

    struct Fault: Sendable {
        var began: Instant
        var detected: Instant
        var cause: String
        var lostSteps: UInt64 = 0
    }

    struct Liveness: Sendable {
        var lastHeard: Instant
        var live: Bool
        /// False until the first heartbeat: a process that has just joined may have much to read.
        var hasSpoken = true
        /// Whether this process of the coordinator has heard it; what an earlier one knew may be long ago.
        var wasHeard = false
        var state = "joining"
        var step: UInt64 = 0
        var stallNanoseconds: UInt64 = 0
        var caughtUp = false
        var line: UInt64 = 0
        var retainNumber: UInt64 = 0
        var manifestStep: UInt64 = 0
        /// The newest view that was sent on this connection, and when.
        var viewSent: UInt64 = 0
        var viewSentAt = Instant(nanoseconds: 0)
    }

    public let identityRun: String
    /// This process, for those who ask for the status.
    public var selfMember = Member()
    let settings: RunSettings
    let configuration: String
    /// The state as it is decided; a part of it may still be on its way to the disk.
    var durable: CoordinatorState
    /// The state as the disk holds it: the only one that other nodes hear of.
    var stable: CoordinatorState
    var persisting: CoordinatorState?
    var viewNumber: UInt64
    /// The view of that number, once this process has announced it.
    var announced: View?
    var recovery: Recovery?
    var liveness: [NodeID: Liveness] = [:]
    /// The places of `durable.members`, in the same order: their names are not read again at every message.
    var places: [NodeID] = []
    /// No lease ends before this moment: so not every event looks at every lease.
    var leasesDue = Instant(nanoseconds: .max)
    var faults: [NodeID: Fault] = [:]
    var parts: [UInt64: [Int: Part]] = [:]
    var manifests: [UInt64: Manifest] = [:]
    /// Decided, and on their way to the disk.
    var committing: [UInt64: Manifest] = [:]
    var pending: [[Continuation]] = []
    var batch: [Continuation] = []
    var batchCommits: [Manifest] = []
    var batchDeletes: [UInt64] = []
    var dirty = false
    /// When commits that nothing waits for are made durable.
    var commitDue = Instant(nanoseconds: 0)
    var losses: [UInt64: [Int: Float]] = [:]
    var newestStep: UInt64 = 0
    var lastLoss: Float = .nan
    var acknowledged: [Int: UInt64] = [:]
    var stepTimes: [(step: UInt64, at: Instant)] = []
    var notices: [(number: UInt64, fields: [(String, String)])] = []
    var noticeNumber: UInt64 = 0
    var followers: [NodeID: Instant] = [:]
    /// What the stores are told to keep.
    var retain = Retain()
    /// As it is decided; on its way to the disk it is newer than `retain`.
    var decidedRetain = Retain()
    var startedAt: Instant?
    var stallTotal: [Int: UInt64] = [:]
    var verifies: [UInt64: VerifyRound] = [:]
    var fenceResendAt: Instant?
    var unrecoverable: String?
    var forcedPrune = false
    var stopDeadline: Instant?
    var hasToldOfTheEnd = false
    let epochAtStart: UInt64
    var lastHandled: Instant?

    /// - Parameters:
    ///   - state: what the database holds; nil for a new run.
    ///   - manifests: committed ones.
    public init(
        run: String, settings: RunSettings, configuration: String, state: CoordinatorState?,
        manifests: [Manifest],
        now: Instant
    ) {
        identityRun = run
        self.settings = settings
        self.configuration = configuration
        durable = state ?? CoordinatorState()
        stable = durable
        viewNumber = durable.viewNumber
        if state == nil {
            durable.committedStep = -1
            durable.nextIncarnation = 1
            durable.phase = .forming
            stable = durable
        }
        durable.epoch += 1
        epochAtStart = durable.epoch
        // Notices count on over the lives of a coordinator, so that a follower can tell old ones from new ones.
        noticeNumber = durable.epoch << 32
        durable.targetStep = settings.steps
        for manifest in manifests { self.manifests[manifest.step] = manifest }
        durable.members.removeAll { NodeID($0.node) == nil }
        places = durable.members.map { NodeID($0.node)! }
        for node in places { liveness[node] = Liveness(lastHeard: now, live: true) }
        expectLease(now + settings.lease)
        newestStep = UInt64(max(durable.committedStep, 0))
        if durable.phase == .finished && Int64(durable.targetStep) > durable.committedStep {
            durable.phase = .running
        }
        switch durable.phase {
        case .fencing, .freezing, .restoring:
            recovery = Recovery(lost: Set(durable.lostShards.map { Int($0) }), stepBefore: newestStep)
            durable.phase = .fencing
            then(.fence)
        case .forming, .running, .finished, .UNRECOGNIZED: then(.announce)
        }
        // The last commit may have been the last thing that the coordinator before this one made durable.
        if durable.phase == .running && durable.committedStep >= Int64(durable.targetStep) { finish() }
        updateRetain()
    }

    public var identity: Identity {
        Identity(node: .coordinator, run: identityRun, incarnation: stable.epoch, epoch: stable.epoch)
    }
    public var dialable: [NodeID: String] { [:] }
    public var dialableRevision: UInt64 { 0 }
    public var committedStep: Int64 { durable.committedStep }
    public var phase: Phase { durable.phase }
    public var isFinished: Bool { durable.phase == .finished }

    public var nextDeadline: Instant? {
        var next: Instant?
        func consider(_ candidate: Instant?) {
            if let candidate, next.map({ candidate < $0 }) ?? true { next = candidate }
        }
        if dirty && pending.isEmpty { consider(mayPersistLater ? commitDue : Instant(nanoseconds: 0)) }
        if let lastHandled { consider(lastHandled + ownPulse) }
        if leasesDue.nanoseconds != .max { consider(leasesDue) }
        consider(fenceResendAt)
        consider(recovery?.quorumAt.map { $0 + Self.inventoryPatience })
        for round in verifies.values { consider(round.deadline) }
        consider(stopDeadline)
        return next
    }

    /// At least this often the coordinator looks at the time, so that it can tell when it was itself held up.
    var ownPulse: Instant.Span { Instant.Span(nanoseconds: settings.lease.nanoseconds / 8) }

    /// A coordinator that was paused or starved has heard nobody: that says nothing about the others, so every lease is
    /// longer by the time that it was away.
    mutating func allowForOwnPause(at now: Instant) {
        defer { lastHandled = now }
        guard let lastHandled, now.since(lastHandled) > Instant.Span(nanoseconds: ownPulse.nanoseconds * 2)
        else { return }
        let away = now.since(lastHandled)
        // Another process may lead by now. The database says so, and nobody else may be left who would.
        if away >= settings.lease { dirty = true }
        for node in liveness.keys {
            guard let heard = liveness[node]?.lastHeard else { continue }
            liveness[node]?.lastHeard = min(now, heard + away)
        }
    }

    func patience(with entry: Liveness) -> Instant.Span {
        if settings.mutation == .leaseNeverExpires { return .milliseconds(1_000_000_000) }
        return entry.hasSpoken ? settings.lease : max(settings.lease, .milliseconds(10_000))
    }

    /// How long the stores beyond the quorum are waited for before the restored step is chosen.
    static let inventoryPatience = Instant.Span.milliseconds(100)

    // MARK: The view

    var view: View {
        var view = View()
        view.number = viewNumber
        view.epoch = told.epoch
        view.line = told.line
        view.phase = told.phase
        view.committedStep = told.committedStep
        view.targetStep = told.targetStep
        view.restores = told.restores
        view.resumeVersion = told.resumeVersion
        view.members = told.members.map { member in
            var member = member
            member.live = NodeID(member.node).flatMap { liveness[$0]?.live } ?? false
            return member
        }
        return view
    }

    /// What others hear of: nothing that is not durable.
    var told: CoordinatorState { settings.mutation == .toldBeforeDurable ? durable : stable }

    /// Where a place stands, or would stand, among the members; O(log n).
    func position(of node: NodeID) -> Int {
        var (low, high) = (0, places.count)
        while low < high {
            let middle = (low + high) / 2
            if places[middle] < node { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func member(_ node: NodeID) -> Member? {
        let position = position(of: node)
        return position < places.count && places[position] == node ? durable.members[position] : nil
    }

    /// Those of a role that are not known to be dead, in order; O(n).
    func live(_ role: Role) -> [NodeID] {
        places.filter { $0.role == role && liveness[$0]?.live == true }
    }

    mutating func expectLease(_ end: Instant) { leasesDue = min(leasesDue, end) }

    mutating func announce(at now: Instant, into effects: inout Effects<Action>) {
        viewNumber += 1
        announced = view
        for node in places where liveness[node]?.live == true { sendView(to: node, at: now, into: &effects) }
    }

    private mutating func sendView(to node: NodeID, at now: Instant, into effects: inout Effects<Action>) {
        guard let announced else { return }
        effects.send(.view(announced), to: node)
        liveness[node]?.viewSent = announced.number
        liveness[node]?.viewSentAt = now
    }

    /// A node whose heartbeat shows that it lacks the newest view gets it again, unless that view may still be on its way:
    /// views name every node, and one for every heartbeat would grow with the square of the cluster.
    mutating func sendViewAgain(to node: NodeID, at now: Instant, into effects: inout Effects<Action>) {
        guard let entry = liveness[node] else { return }
        guard entry.viewSent < viewNumber || now.since(entry.viewSentAt) >= settings.retry else { return }
        sendView(to: node, at: now, into: &effects)
    }

    // MARK: Durability

    mutating func then(_ continuation: Continuation) {
        dirty = true
        batch.append(continuation)
    }

    /// True when all that waits for the disk is commits of steps in the middle of the training: shards tell of them at
    /// different moments, and one transaction can do for several.
    private var mayPersistLater: Bool {
        batch.allSatisfy { continuation in
            switch continuation {
            case .committed(let manifests): manifests.allSatisfy { $0.step < durable.targetStep }
            case .retain: true
            case .announce, .joined, .fence, .answer: false
            }
        } && !batch.isEmpty && durable.phase == .running
    }

    mutating func flush(at now: Instant, into effects: inout Effects<Action>) {
        // Which shards are lost must outlive this process, whenever it was learnt.
        if let recovery {
            let lost = recovery.lost.sorted().map { UInt32($0) }
            if durable.lostShards != lost {
                durable.lostShards = lost
                dirty = true
            }
        }
        // One transaction at a time; what comes meanwhile shares the next one.
        guard dirty, pending.isEmpty, now >= commitDue || !mayPersistLater else { return }
        commitDue = now + settings.tellPause
        dirty = false
        pending.append(batch)
        durable.viewNumber = viewNumber + 1
        persisting = durable
        effects.perform(.persist(durable, commits: batchCommits, deletes: batchDeletes))
        batch = []
        batchCommits = []
        batchDeletes = []
    }
}
