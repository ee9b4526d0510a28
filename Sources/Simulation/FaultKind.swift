/// The kinds of trouble; which of them a run meets is drawn from its seed.
public enum FaultKind: String, Sendable, CaseIterable {
    case killCoordinator, killStore, killShard, killWorker, killAll
    /// A process dies between two effects of one event.
    case killMidway
    case pause, replaceWhilePaused
    case loss, duplicate, slow
    /// One pair of places is slow for a while.
    case slowLink
    case cut, oneWayCut
    /// One pair of places is cut and healed several times in a row.
    case flap
    /// Peers of a process that died notice it only seconds later.
    case halfOpen
    /// Few messages may be under way on a connection; more are dropped.
    case fullLink
    case wipe, flip
    /// An old copy of a disk takes the place of the disk.
    case staleDisk
    /// A write lands on another record: both are damaged, and the store does not know.
    case misdirect
    case diskFull, syncError, slowSync
    /// Compaction leaves what it frees on the disk: it is there again after the next start.
    case lazyCompaction
    /// A transaction of the coordinator, a compaction or a gradient fails.
    case engineError
    /// Clocks run at different rates.
    case clockSkew
    /// A node's clock jumps ahead.
    case clockJump
}

/// What an operator orders while the cluster has trouble.
public enum OrderKind: String, Sendable, CaseIterable {
    case pin, unpin, prune, stop, verify, repair, look
}

/// How large the clusters are that seeds stand for.
public enum ClusterSize: String, Sendable, CaseIterable {
    /// At most 2 shards, 2 workers and 3 stores.
    case small
    /// Mostly as `small`; up to 16 shards, 8 workers and 7 stores.
    case any
}
