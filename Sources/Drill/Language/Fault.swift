/// What can be done to a cluster. The raw value is the word in the file.
public enum FaultKind: String, Sendable, CaseIterable {
    case kill, term, pause, resume
    /// Paused, and a successor is started beside it.
    case replace
    case clockJump = "clock-jump"
    case cut, delay, limit, reset
    case halfOpen = "half-open"
    case garbage, oversize
    case stalledHandshakes = "stalled-handshakes"
    case bitFlip = "bit-flip"
    case tornTail = "torn-tail"
    case missingSegment = "missing-segment"
    case misdirectedWrite = "misdirected-write"
    case wipe
    case staleDisk = "stale-disk"
    case diskFull = "disk-full"
    case fsyncError = "fsync-error"
    case slowFsync = "slow-fsync"

    /// What it strikes, which decides how its targets are written.
    enum Family { case process, link, peer, disk }

    var family: Family {
        switch self {
        case .kill, .term, .pause, .resume, .replace, .clockJump: .process
        case .cut, .delay, .limit, .reset, .halfOpen: .link
        case .garbage, .oversize, .stalledHandshakes: .peer
        case .bitFlip, .tornTail, .missingSegment, .misdirectedWrite, .wipe, .staleDisk, .diskFull,
            .fsyncError, .slowFsync:
            .disk
        }
    }

    /// Whether it goes on until it is healed, so that `for:` makes sense.
    var lasts: Bool {
        switch self {
        case .pause, .replace, .clockJump, .cut, .delay, .limit, .stalledHandshakes, .diskFull, .fsyncError,
            .slowFsync:
            true
        case .kill, .term, .resume, .reset, .halfOpen, .garbage, .oversize, .bitFlip, .tornTail,
            .missingSegment, .misdirectedWrite, .wipe, .staleDisk:
            false
        }
    }

    /// Whether it changes what a node finds on its disk.
    var changesDisks: Bool {
        switch self {
        case .bitFlip, .tornTail, .missingSegment, .misdirectedWrite, .wipe, .staleDisk: true
        case .kill, .term, .pause, .resume, .replace, .clockJump, .cut, .delay, .limit, .reset, .halfOpen,
            .garbage, .oversize, .stalledHandshakes, .diskFull, .fsyncError, .slowFsync:
            false
        }
    }

    /// Whether processes end by it, and have to come back.
    var endsProcesses: Bool {
        switch self {
        case .kill, .term, .tornTail, .missingSegment, .wipe, .staleDisk, .diskFull, .fsyncError: true
        case .pause, .resume, .replace, .clockJump, .cut, .delay, .limit, .reset, .halfOpen, .garbage,
            .oversize,
            .stalledHandshakes, .bitFlip, .misdirectedWrite, .slowFsync:
            false
        }
    }

    /// Whether the links have to run through the drill's proxy for it.
    var needsProxy: Bool { family == .link || self == .replace }
}

/// The call to the system within which a process is killed.
public enum KillMoment: String, Sendable, CaseIterable { case fsync, sending, receiving }

/// Which kind of record bits are flipped in.
public enum RecordKind: String, Sendable, CaseIterable { case base, delta }

/// One fault of a drill: what, on whom, how long, how often.
public struct Fault: Sendable {
    public enum Target: Sendable {
        case nodes(NodeSelector)
        /// Traffic between two groups; `oneWay` is from the first to the second alone.
        case links(NodeSelector, NodeSelector, oneWay: Bool)
    }

    public var kind: FaultKind
    public var target: Target
    /// It ends by itself after this; nil: when it is healed.
    public var forMilliseconds: Int?
    public var everyMilliseconds: Int?
    public var times = 1
    public var delayMilliseconds = 0
    public var jitterMilliseconds = 0
    public var bytesPerSecond = 0
    /// Connections, or flipped bits.
    public var count = 1
    /// For `kill`: only once it is within such a call.
    public var during: KillMoment?
    public var record = RecordKind.delta
    /// How old the stale copy of a disk is.
    public var ageMilliseconds = 0
    /// How far a clock jumps ahead.
    public var byMilliseconds = 0

    /// Its targets, in the words of the file.
    public var targetText: String {
        switch target {
        case .nodes(let nodes): nodes.text
        case .links(let first, let second, let oneWay):
            oneWay ? "\(first.text) → \(second.text)" : "\(first.text) ↔ \(second.text)"
        }
    }
}
