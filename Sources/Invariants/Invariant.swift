import MachineCore

/// What the cluster promises, by the names that code, simulator and reports share.
public enum Invariant: String, Sendable, Hashable, CaseIterable, Codable {
    case durable, atomic, proved, fenced
    case singleWriter = "single-writer"
    case chained
    case atMostOnce = "at-most-once"
    case tail, deterministic, monotonic
    case boundedLoss = "bounded-loss"
    case live, honest
    case boundedMemory = "bounded-memory"
}

/// A promise that did not hold, and what shows it.
public struct Violation: Sendable, Hashable, CustomStringConvertible {
    public var invariant: Invariant
    public var evidence: String

    public init(_ invariant: Invariant, _ evidence: String) {
        self.invariant = invariant
        self.evidence = evidence
    }

    public var description: String { "\(invariant.rawValue): \(evidence)" }
}

/// One line of a history.
public struct HistoryRecord: Sendable, Hashable, Codable {
    public var process: ProcessFact
    /// Nanoseconds on the clock of the process's machine; for people only.
    public var at: UInt64
    public var what: Observation

    public init(process: ProcessFact, at: UInt64, what: Observation) {
        self.process = process
        self.at = at
        self.what = what
    }
}

/// What the checkers have to know of a run.
public struct RunFacts: Sendable {
    public var shards: Int
    public var workers: Int
    public var stores: Int
    /// Stores that hold each shard's parts.
    public var replicas: Int
    public var writeQuorum: Int
    /// Nil: `asp`.
    public var staleness: Int?
    public var checkpointEvery: UInt64
    public var maxLag: Int
    public var isPartial: Bool
    /// Whether a restore yields the very bits that were there.
    public var isExact: Bool

    public init(_ settings: RunSettings, isExact: Bool) {
        shards = settings.shards
        workers = settings.workers
        stores = settings.stores
        replicas = settings.replicas
        writeQuorum = settings.writeQuorum
        staleness = settings.staleness
        checkpointEvery = settings.checkpointEvery
        maxLag = settings.maxLag
        isPartial = settings.partialRecovery
        self.isExact = isExact
    }

    /// Whether a run with faults must come through the same bits as one without.
    var isReproducible: Bool { staleness == 0 && isExact && !isPartial }
}

/// What the checkers have found so far.
public struct Findings: Sendable {
    /// How many facts each promise was held against: a promise without any was not shown to hold.
    public private(set) var facts: [Invariant: Int] = [:]
    public private(set) var violations: [Violation] = []

    mutating func count(_ invariant: Invariant) { facts[invariant, default: 0] += 1 }
    mutating func fail(_ invariant: Invariant, _ evidence: String) {
        // The first ones tell what happened; a broken run would give thousands.
        if violations.count < 100 { violations.append(Violation(invariant, evidence)) }
    }
}
