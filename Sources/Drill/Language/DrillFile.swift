import Cluster

/// A fault drill as its file says it, checked and with every default filled in.
///
/// Read with ``parse(yaml:file:readFile:)``. Times are milliseconds, `line` counts from 1.
public struct DrillFile: Sendable {
    /// How a drill's run is to end.
    public enum Ending: String, Sendable, CaseIterable {
        /// Stopped in order once the steps are done, with a last checkpoint.
        case stopped
        /// Trained up to `training.steps`.
        case finished
        /// `varve up` gives up by itself, with words that say why.
        case refused
    }

    public var path: String
    public var name: String
    public var about: String
    public var seed: UInt64
    public var timeoutMilliseconds: Int
    public var configuration: ClusterConfiguration
    public var steps: [DrillStep]
    public var ending: Ending
    public var expectations: Expectations
    /// From here on no further fault step begins, and with it ends what follows; nil: all steps are done.
    public var noNewFaultAfterMilliseconds: Int?
    /// The command that runs it again, where that isn't `varve drill run` with its file.
    public var command: String?
}

/// One step: what is done, under which name, from which line.
public struct DrillStep: Sendable {
    public enum Action: Sendable {
        case wait(Condition, withinMilliseconds: Int)
        case assert(Condition, withinMilliseconds: Int, forMilliseconds: Int)
        case fault(Fault)
        /// Ends what an earlier fault step of this name began, or all.
        case heal(String?)
        case pause(milliseconds: Int)
        case run(command: String, withinMilliseconds: Int)
        /// Reads every copy, again and again until it finds what is wished for.
        case verify(VerifyWish, withinMilliseconds: Int)
        case parallel([DrillStep])
    }

    public var name: String
    public var line: Int
    public var action: Action
}

/// What a verification of all copies is to come to.
public enum VerifyWish: String, Sendable, CaseIterable {
    /// Some damage is found.
    case damaged
    /// What is damaged is fetched from peers, until nothing is.
    case mended
    /// No damage is found.
    case whole
    /// There is damage that no peer can mend.
    case unmendable
}

/// What must hold at the end. What is nil was not asked for.
public struct Expectations: Sendable {
    public var invariants: [Invariant] = Invariant.observable
    public var lostSteps: Int?
    public var recoveredWithinMilliseconds: Int?
    public var recoveriesAtLeast: Int?
    /// Largest difference in accuracy (a fraction) or RMSE from a run without faults to the same step.
    public var accuracyWithin: Double?
    public var sameBits: Bool?
    public var restoredTwice = true
    public var noOrphans = true
    /// Least share of the steps per second before the first fault.
    public var throughputAfter: Double?
    /// What the last words of `varve up` must contain when it is to refuse.
    public var says: String?

    /// Whether a run without faults has to be made to compare with.
    public var needsReference: Bool { accuracyWithin != nil || sameBits == true }
}

/// The promises that a drill can look at, under the names that they have everywhere.
public enum Invariant: String, Sendable, CaseIterable {
    case durable, atomic, proved, fenced, chained, tail, deterministic, monotonic, live, honest
    case singleWriter = "single-writer"
    case atMostOnce = "at-most-once"
    case boundedLoss = "bounded-loss"
    case boundedMemory = "bounded-memory"

    /// Those that show from outside: in events, in what is committed and in what can be restored.
    public static let observable: [Invariant] = [
        .durable, .atomic, .proved, .deterministic, .monotonic, .boundedLoss, .live,
    ]
}
