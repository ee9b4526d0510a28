import LCCheckpoint
import ParameterState
import Training
import Wire

/// A policy at work beside a run: the shards of a cluster, their frames, and what a restore of those yields.
///
/// Writing and reading are a shard's own; the frames are kept as a store keeps them, from the last base on.
final class Follower {
    let policy: Policy
    private let workload: Workload
    private var shards: [ShardState]
    private var chains: [[[UInt8]]]
    /// The step of the newest checkpoint.
    private(set) var checkpoint: UInt64 = 0
    /// Bytes of all frames but the first base, which every policy has.
    private(set) var bytes = 0
    /// Steps followed.
    private(set) var steps = 0
    /// `‖u − ũ‖ / ‖u‖` of the parameters after each checkpoint, over all shards.
    private(set) var errors: [Double] = []

    /// Begins where the run stands, with a base.
    ///
    /// - Precondition: The run is at step 0.
    init(_ policy: Policy, shards count: Int, following run: TrainingRun) throws {
        precondition(run.clock == 0, "a chain starts with training")
        self.policy = policy
        workload = run.subject.workload
        shards = policy.makeShards(count, at: run)
        chains = try shards.map { [try $0.encode(step: 0, asBase: true).frame.bytes] }
    }

    /// Takes the step that the run takes, and writes a checkpoint if one is due.
    func follow(_ gradient: Payload, step: UInt64) throws {
        steps += 1
        for shard in shards { shard.take(gradient, step: step) }
        guard step % UInt64(policy.every) == 0 else { return }
        checkpoint = step
        var norms = (difference: 0.0, live: 0.0)
        for (index, shard) in shards.enumerated() {
            let frame = try shard.encode(step: step, asBase: policy.isBase).frame.bytes
            bytes += frame.count
            if policy.isBase { chains[index] = [] }
            chains[index].append(frame)
            addNorms(shard, &norms)
        }
        errors.append(norms.live > 0 ? (norms.difference / norms.live).squareRoot() : 0)
    }

    private func addNorms(_ shard: ShardState, _ norms: inout (difference: Double, live: Double)) {
        shard.withLive { live in
            shard.withReconstruction { restored in
                for (u, r) in zip(live[0], restored[0]) where u.isFinite && r.isFinite {
                    let difference = Double(u) - Double(r)
                    norms.difference += difference * difference
                    norms.live += Double(u) * Double(u)
                }
            }
        }
    }

    /// A shard as a new process builds it from its chain.
    private func restoredShard(_ index: Int, version: UInt64) throws -> ShardState {
        try policy.makeShard(shards[index].range, of: workload, from: chains[index], version: version)
    }

    /// The run after these shards were lost and restored: with all of them at the step of the checkpoint, with some (partial
    /// recovery) at the step where the others stand.
    func recovered(_ run: TrainingRun, lost: Range<Int>) throws -> TrainingRun {
        let clock = lost.count == shards.count ? checkpoint : run.clock
        var restored = run
        for index in lost { restored.adopt(try restoredShard(index, version: clock), clock: clock) }
        return restored
    }

    /// All shards are lost, and restored ones take their places; the run goes back to the checkpoint.
    func restart(_ run: inout TrainingRun) throws {
        for index in shards.indices {
            shards[index] = try restoredShard(index, version: checkpoint)
            run.adopt(shards[index], clock: checkpoint)
        }
    }
}
