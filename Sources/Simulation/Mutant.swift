import LCCheckpoint
import MachineCore
import ParameterState
import ShardLogic
import StoreLogic
import Wire

/// Mistakes that are built in on purpose, to show that the checkers find them.
///
/// Most are mistakes of the decisions (`Mutation`, by the same names); the rest are mistakes of what carries decisions
/// out: disks, databases, arithmetic.
public enum Mutant: String, Sendable, CaseIterable {
    case ackBeforeSync = "ack-before-sync"
    case epochUnchecked = "epoch-unchecked"
    case promiseNotSynced = "promise-not-synced"
    case compactionDropsBases = "compaction-drops-bases"
    case compactionDropsUncommitted = "compaction-drops-uncommitted"
    case damageForgotten = "damage-forgotten"
    case repairOverwrites = "repair-overwrites"
    /// A store gives a peer what is damaged, and the peer writes it unread.
    case repairFromCorrupt = "repair-from-corrupt"
    case repairsUnlimited = "repairs-unlimited"
    case quorumOneShort = "quorum-one-short"
    case toldOutOfOrder = "told-out-of-order"
    case pushNotDeduplicated = "push-not-deduplicated"
    case oldLineAccepted = "old-line-accepted"
    case gradientsReversed = "gradients-reversed"
    case lagIgnored = "lag-ignored"
    case holdersInvented = "holders-invented"
    case staleParameters = "stale-parameters"
    case manifestOfTwoSteps = "manifest-of-two-steps"
    case restoreOfTwoSteps = "restore-of-two-steps"
    case leaseNeverExpires = "lease-never-expires"
    case lostStepsMisreported = "lost-steps-misreported"
    case commitGoesBack = "commit-goes-back"
    case toldBeforeDurable = "told-before-durable"
    case fenceOneShort = "fence-one-short"
    case pruneDropsPinned = "prune-drops-pinned"
    /// A disk says that it has synced, and does so much later.
    case syncDoesNothing = "sync-does-nothing"
    /// A store that finds damage cuts its log off there, whatever was acknowledged after it.
    case tailCutAtDamage = "tail-cut-at-damage"
    /// A coordinator goes on though another one leads.
    case ignoreLeader = "ignore-leader"
    /// A restored shard goes on from parameters in which one value is wrong.
    case wrongRestore = "wrong-restore"
    /// A restore leaves out the last delta, and says that it has come to the end.
    case linkSkipped = "link-skipped"
    /// A restore applies the last delta twice.
    case deltaTwice = "delta-twice"
    /// A shard applies the gradients of every fifth step once more.
    case applyTwice = "apply-twice"
    /// A worker reads its samples on from where it was when training went back.
    case readerNotRestored = "reader-not-restored"

    static var mutationCount: Int { Mutation.allCases.count }

    /// The mistake of a machine, if it is one.
    var mutation: Mutation? { Mutation(rawValue: rawValue) }
}

/// The mistakes of what carries decisions out.
extension World {
    /// What a store finds when it starts.
    func found(onDisk store: Int, seesDamage: Bool) -> StoreMachine.Found {
        let damaged = disks[store].records.keys.sorted().first { disks[store].records[$0]!.isDamaged }
        if plan.mutant == .tailCutAtDamage, let damaged {
            let before = disks[store].records.keys.filter { $0.step < damaged.step }
            _ = disks[store].keep(Set(before), isLazy: false)
        }
        return disks[store].found(seesDamage: seesDamage)
    }

    func withoutLastLink(_ link: ShardMachine.ChainLink) -> [Part] {
        link.isLast && link.parts.count > 1 ? Array(link.parts.dropLast()) : link.parts
    }

    func reconstruction(of state: ShardState) -> [Float] { state.withReconstruction { Array($0[0]) } }

    /// Moves a restored state on by the change that its last frame made.
    func addDeltaAgain(to state: ShardState, before: [Float]) throws(CodecError) {
        let after = reconstruction(of: state)
        let wrong = ShardState(
            range: state.range, optimizer: plan.optimizer, codec: plan.codec, slotCodec: plan.codec)
        let values = zip(before, after).map { 2 * $1 - $0 }
        values.withUnsafeBufferPointer { wrong.initialize($0) }
        let frame = try wrong.encode(step: 0, asBase: true).frame
        var problem: CodecError?
        frame.bytes.withUnsafeBytes { raw in
            do throws(CodecError) { try state.restoreFrame(raw, isFirst: true) } catch { problem = error }
        }
        if let problem { throw problem }
    }

    func withWrongValue(_ parameters: Payload) -> Payload {
        Payload(count: parameters.count) { raw in
            parameters.withBytes { raw.copyMemory(from: $0) }
            raw.bindMemory(to: Float.self)[0] += 0.5
        }
    }

    func appliedTwice(_ parameters: Payload, _ state: ShardState, _ gradients: [Payload]) -> Payload {
        let again = ShardState(
            range: state.range, optimizer: .sgd(learningRate: 0.05), codec: plan.codec,
            slotCodec: plan.codec)
        _ = parameters.withFloats { again.initialize($0) }
        return again.apply(version: 1, gradients: gradients)
    }

    /// The clock whose samples a worker reads.
    func position(of process: Process, clock: UInt64) -> UInt64 {
        guard plan.mutant == .readerNotRestored else { return clock }
        process.reader = max(process.reader.map { $0 + 1 } ?? clock, clock)
        return process.reader!
    }

    /// The bytes of a part's record, if it can be read as it was written.
    func readable(_ part: Part, onDisk store: Int, for purpose: StoreMachine.ReadPurpose) -> Payload? {
        if let whole = disks[store].intact(part.shard, part.step, payloadDigest: part.payloadDigest) {
            return whole.payload
        }
        guard plan.mutant == .repairFromCorrupt, case .record = purpose else { return nil }
        let damaged = disks[store].records[StoreMachine.Key(shard: part.shard, step: part.step)]
        return damaged.map { record in
            Payload(count: record.payload.count) { raw in
                record.payload.withBytes { raw.copyMemory(from: $0) }
                raw[raw.count / 2] ^= 1
            }
        }
    }
}
