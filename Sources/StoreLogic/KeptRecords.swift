import Wire

/// Finds out what a compaction has to leave: chains down to their bases.
///
/// Where a link is missing here, or is of another timeline than what builds on it, nobody can say from here what else it
/// builds on: others may hold the link, and count on this store for the rest. So everything below such a gap is kept, until
/// it is closed or the steps above it are needed no more.
struct KeptRecords {
    /// Whole and damaged ones.
    let held: [StoreMachine.Key: Part]
    /// False only where the simulator has a mistake built in.
    let followsChains: Bool
    var keys: Set<StoreMachine.Key> = []
    /// By shard, the step below which everything is kept.
    private var gaps: [UInt32: UInt64] = [:]

    init(held: [StoreMachine.Key: Part], followsChains: Bool) {
        self.held = held
        self.followsChains = followsChains
    }

    /// O(length of the chain), and less where it joins one that is kept already.
    mutating func keepChain(of first: StoreMachine.Key) {
        var key = first
        while true {
            guard let part = held[key] else { return keepBelow(key.step, of: key.shard) }
            guard keys.insert(key).inserted, part.kind == .delta, followsChains else {
                return
            }
            let base = StoreMachine.Key(shard: key.shard, step: part.baseStep)
            if let known = held[base], known.stateDigest != part.baseDigest {
                return keepBelow(base.step &+ 1, of: key.shard)
            }
            key = base
        }
    }

    private mutating func keepBelow(_ step: UInt64, of shard: UInt32) {
        guard followsChains else { return }
        gaps[shard] = max(gaps[shard] ?? 0, step)
    }

    /// Once, after all chains: O(records).
    mutating func keepBelowGaps() {
        guard !gaps.isEmpty else { return }
        for key in held.keys where key.step < gaps[key.shard] ?? 0 { keys.insert(key) }
    }
}
