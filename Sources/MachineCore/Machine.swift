import Wire

/// What a role is told.
public enum Event<Completion: Sendable>: Sendable {
    /// A message arrived; its envelope was checked to be well formed and of this run.
    case message(Packet, from: NodeID)
    /// An action that the role asked for has ended, well or badly.
    indirect case completed(Completion)
    /// The time that `nextDeadline` named has come.
    case tick
    /// A connection to a peer was made, or made again: what was sent before may be lost.
    case peerConnected(NodeID)
    case peerDisconnected(NodeID)
}

/// What a role asks for. Its values stand apart, because they are large and handed on several times.
public indirect enum Effect<Action: Sendable>: Sendable {
    case send(Envelope.OneOf_Body, payload: Payload?, to: NodeID)
    /// Work that takes time or touches the world: arithmetic, disk. Actions of one role run one after another, in
    /// order; each ends in exactly one `completed` event.
    case perform(Action)
    /// Something that people want to know, with its reason. The same sentence goes to log, history and reports.
    case report(Decision)
    /// The process ends: it was replaced, or can't go on. A supervisor starts a fresh one.
    case exit(reason: String, failed: Bool)
}

/// A decision or an observation in words.
public struct Decision: Sendable, Hashable {
    public enum Level: String, Sendable { case debug, info, warning, error }

    public var level: Level
    /// What kind of thing happened, such as `recovery`, `fenced`, `commit`.
    public var kind: String
    public var sentence: String

    public init(_ level: Level, _ kind: String, _ sentence: String) {
        self.level = level
        self.kind = kind
        self.sentence = sentence
    }
}

/// The effects of one event, in the order in which they are to happen.
public struct Effects<Action: Sendable>: Sendable {
    public private(set) var items: [Effect<Action>] = []

    public init() {}

    public mutating func send(_ body: Envelope.OneOf_Body, to node: NodeID, payload: Payload? = nil) {
        items.append(.send(body, payload: payload, to: node))
    }

    public mutating func perform(_ action: Action) { items.append(.perform(action)) }

    public mutating func report(_ level: Decision.Level, _ kind: String, _ sentence: String) {
        items.append(.report(Decision(level, kind, sentence)))
    }

    public mutating func exit(_ reason: String, failed: Bool) {
        items.append(.exit(reason: reason, failed: failed))
    }

    public mutating func removeAll() { items.removeAll(keepingCapacity: true) }
}

/// A role without IO: the same value runs in production, in unit tests and in the simulator.
public protocol Machine: Sendable {
    associatedtype Action: Sendable
    associatedtype Completion: Sendable

    /// The envelope fields that every message of this role carries.
    var identity: Identity { get }
    /// When the role next wants a tick; nil when nothing is awaited.
    var nextDeadline: Instant? { get }
    /// Where each peer can be dialled, as far as the role knows.
    var dialable: [NodeID: String] { get }
    /// Another number whenever `dialable` may have changed, so that nobody need compare it after each event.
    var dialableRevision: UInt64 { get }

    mutating func handle(_ event: Event<Completion>, at now: Instant, into effects: inout Effects<Action>)

    /// What can be held against this process from its beginning on; asked for once, before the first event.
    var beginnings: [Observation] { get }
    /// What can be held against this process of an event that it has just handled, and of the effects of that.
    func observations(of event: Event<Completion>, _ effects: [Effect<Action>]) -> [Observation]
}

/// Who a process is, as the coordinator told it.
public struct Identity: Sendable, Hashable {
    public var node: NodeID
    public var run: String
    public var incarnation: UInt64
    public var epoch: UInt64

    public init(node: NodeID, run: String, incarnation: UInt64, epoch: UInt64) {
        self.node = node
        self.run = run
        self.incarnation = incarnation
        self.epoch = epoch
    }
}
