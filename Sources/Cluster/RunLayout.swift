/// What a run can't change once it has begun, because its checkpoints lie and look as they did then.
extension ClusterConfiguration {
    /// The first key by which checkpoints of a run with the configuration `old` can't be restored into this one, with
    /// both values; nil when there is none.
    public func layoutChange(since old: ClusterConfiguration) -> String? {
        let keys: [(name: String, value: (ClusterConfiguration) -> String)] = [
            ("cluster.shards", { "\($0.cluster.shards)" }),
            // Which stores a shard's parts are on follows from their number.
            ("cluster.stores", { "\($0.cluster.stores)" }),
            ("model.kind", { $0.model.kind.rawValue }),
            ("model.rank", { $0.model.rank.map(String.init) ?? "none" }),
            ("data.kind", { $0.data.kind.rawValue }),
            ("training.optimizer.kind", { $0.training.optimizer.kind.rawValue }),
        ]
        for (name, value) in keys where value(old) != value(self) {
            return "\(name) was \(value(old)) and would be \(value(self))"
        }
        let hadSlot = old.training.optimizer.momentum != 0
        let hasSlot = training.optimizer.momentum != 0
        guard training.optimizer.kind == .sgd, hadSlot != hasSlot else { return nil }
        return
            "training.optimizer.momentum was \(old.training.optimizer.momentum) and would be \(training.optimizer.momentum)"
    }
}
