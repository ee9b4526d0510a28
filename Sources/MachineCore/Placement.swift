import Wire

/// Which stores hold what. A pure function of the configuration, so that every node comes to the same answer.
public enum Placement {
    /// The stores that hold a shard's part of every checkpoint: `replicas` neighbours on the ring of stores.
    public static func stores(ofShard shard: Int, stores: Int, replicas: Int) -> [NodeID] {
        (0..<min(replicas, stores)).map { .store((shard + $0) % stores) }
    }

    /// The shards whose parts a store holds, in order; as many as there are, not all that are looked through.
    public static func shards(ofStore store: Int, shards: Int, stores: Int, replicas: Int) -> [Int] {
        (0..<min(replicas, stores))
            .flatMap { Array(stride(from: (store - $0 + stores) % stores, to: shards, by: stores)) }
            .sorted()
    }

    /// The elements of the model's flat vector that a shard holds: balanced, contiguous, in order of the shards.
    public static func range(ofShard shard: Int, shards: Int, elements: Int) -> Range<Int> {
        elements * shard / shards..<elements * (shard + 1) / shards
    }
}
