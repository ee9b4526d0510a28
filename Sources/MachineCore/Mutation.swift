/// Mistakes that can be built into the decisions on purpose, to show that the checkers find them.
///
/// No configuration and no message names one: only code of this package can set `RunSettings.mutation`, and only the
/// simulator does. Where none is set, a decision costs one comparison of a byte more.
package enum Mutation: String, Sendable, Hashable, CaseIterable {
    // A store's decisions.
    /// An append is acknowledged when it is queued, not when it is synced.
    case ackBeforeSync = "ack-before-sync"
    /// Appends of an epoch older than the promised one are taken.
    case epochUnchecked = "epoch-unchecked"
    /// A promise is given at once and never written.
    case promiseNotSynced = "promise-not-synced"
    /// Compaction keeps committed steps, but not what they build on.
    case compactionDropsBases = "compaction-drops-bases"
    /// Compaction frees what is newer than the last commit.
    case compactionDropsUncommitted = "compaction-drops-uncommitted"
    /// A damaged record is left out, and nobody is asked for it.
    case damageForgotten = "damage-forgotten"
    /// What a peer holds replaces a whole, committed record of the same step.
    case repairOverwrites = "repair-overwrites"
    /// A peer is given a record that is known to be damaged.
    case repairFromCorrupt = "repair-from-corrupt"
    /// Any number of records waits to be fetched.
    case repairsUnlimited = "repairs-unlimited"

    // A shard's decisions.
    /// One acknowledgement fewer than the write quorum makes a part durable.
    case quorumOneShort = "quorum-one-short"
    /// A part is told of before those that it builds on are durable.
    case toldOutOfOrder = "told-out-of-order"
    /// A gradient that is sent again counts as that of the next clock.
    case pushNotDeduplicated = "push-not-deduplicated"
    /// Gradients, parameters, positions and parts of a timeline that was given up are taken.
    case oldLineAccepted = "old-line-accepted"
    /// Every other step applies the gradients from the last slot to the first.
    case gradientsReversed = "gradients-reversed"
    /// Any number of checkpoints may be under way while training goes on.
    case lagIgnored = "lag-ignored"
    /// All replicas are named as holders of a part when a quorum has it.
    case holdersInvented = "holders-invented"

    // A worker's decisions.
    /// Parameters of any version count as those that were asked for.
    case staleParameters = "stale-parameters"

    // The coordinator's decisions.
    /// A checkpoint is committed with an older part of a shard whose newest is missing.
    case manifestOfTwoSteps = "manifest-of-two-steps"
    /// One shard is told to restore the committed step before the one that the others restore.
    case restoreOfTwoSteps = "restore-of-two-steps"
    /// Silence never counts as death.
    case leaseNeverExpires = "lease-never-expires"
    /// A recovery reports one lost step fewer than there were.
    case lostStepsMisreported = "lost-steps-misreported"
    /// A recovery goes back to the committed step before the last one.
    case commitGoesBack = "commit-goes-back"
    /// What is decided is told before it is durable.
    case toldBeforeDurable = "told-before-durable"
    /// One promise fewer than needed lets a restore begin.
    case fenceOneShort = "fence-one-short"
    /// Retention drops steps that an operator has pinned.
    case pruneDropsPinned = "prune-drops-pinned"
}
