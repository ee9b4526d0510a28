import Yams

extension ClusterConfiguration {
    /// A longer text is refused unread.
    public static let sizeLimitBytes = ConfigurationText.sizeLimitBytes

    /// Reads YAML, applies `key.path=value` overrides and checks the whole.
    ///
    /// Every problem is reported, with its line. Text above 1 MiB and YAML aliases are refused.
    public static func parse(
        yaml: String, file: String, overrides: [String] = []
    ) throws(ConfigurationError) -> ClusterConfiguration {
        var reader = ConfigurationReader(file: file)
        do {
            try ConfigurationText.guardBounds(yaml)
            let found = try ConfigurationText.compose(yaml) { root -> ConfigurationReader in
                var collected = ConfigurationReader(file: file)
                if root.mapping == nil, root.scalar?.string.isEmpty != true {
                    collected.report("must be a mapping such as 'cluster: {shards: 4}'", line: 1)
                } else if root.mapping != nil {
                    collected.collect(root, path: "")
                }
                return collected
            }
            if let found { reader = found }
        } catch let refusal as ConfigurationText.Refusal {
            reader.report(refusal.message, line: refusal.line)
        } catch {
            let refusal = ConfigurationText.explain(error, in: yaml)
            reader.report(refusal.message, line: refusal.line)
        }
        return try finish(&reader, overrides)
    }

    /// Reads a part of another YAML file that has the form of a configuration; problems name the lines of that file.
    package static func parse(
        node: Node, file: String, overrides: [String]
    ) throws(ConfigurationError) -> ClusterConfiguration {
        var reader = ConfigurationReader(file: file)
        if node.mapping != nil {
            reader.collect(node, path: "")
        } else {
            reader.report("must be a mapping such as 'cluster: {shards: 4}'", line: node.mark?.line ?? 0)
        }
        return try finish(&reader, overrides)
    }

    private static func finish(
        _ reader: inout ConfigurationReader, _ overrides: [String]
    ) throws(ConfigurationError) -> ClusterConfiguration {
        for override in overrides { reader.override(override) }
        guard reader.problems.isEmpty else { throw ConfigurationError(problems: reader.problems) }
        var configuration = ClusterConfiguration()
        configuration.read(&reader)
        reader.reportUnknownKeys()
        configuration.check(&reader)
        guard reader.problems.isEmpty else { throw ConfigurationError(problems: reader.problems) }
        return configuration
    }

    private mutating func read(_ reader: inout ConfigurationReader) {
        reader.string("cluster.name", &cluster.name)
        reader.integer("cluster.shards", &cluster.shards, 1...256)
        reader.integer("cluster.workers", &cluster.workers, 1...256)
        reader.integer("cluster.stores", &cluster.stores, 1...64)
        reader.choice("cluster.transport", &cluster.transport, later: ["tls+tcp"])
        reader.choice("model.kind", &model.kind)
        reader.integer("model.rank", &model.rank, 1...4096)
        if model.kind == .mf, model.rank == nil { model.rank = 16 }
        reader.choice("data.kind", &data.kind)
        reader.string("data.path", &data.path)
        readTraining(&reader)
        checkpoint.replicas = min(cluster.stores, 3)
        checkpoint.writeQuorum = checkpoint.replicas / 2 + 1
        reader.integer("checkpoint.every", &checkpoint.every, 0...1_000_000)
        reader.codec("checkpoint.codec", &checkpoint.codec)
        reader.slotsCodec("checkpoint.slots_codec", &checkpoint.slotsCodec, following: checkpoint.codec)
        reader.integer("checkpoint.write_quorum", &checkpoint.writeQuorum, 1...64)
        reader.integer("checkpoint.replicas", &checkpoint.replicas, 1...64)
        reader.integer("checkpoint.base_every", &checkpoint.baseEvery, 1...1_000_000)
        reader.integer("checkpoint.keep.last", &checkpoint.keep.last, 1...1_000_000)
        reader.integer("checkpoint.keep.every", &checkpoint.keep.every, 0...1_000_000)
        reader.integer("checkpoint.max_lag", &checkpoint.maxLag, 1...10_000)
        reader.choice("recovery.mode", &recovery.mode)
        reader.integer("timing.heartbeat_ms", &timing.heartbeatMs, 1...60_000)
        reader.integer("timing.lease_ms", &timing.leaseMs, 10...600_000)
        reader.string("network.bind", &network.bind)
        reader.string("network.advertise", &network.advertise)
        reader.integer("network.coordinator_port", &network.coordinatorPort, 0...65_535)
    }

    private mutating func readTraining(_ reader: inout ConfigurationReader) {
        reader.integer("training.steps", &training.steps, 1...1_000_000_000)
        reader.integer("training.batch", &training.batch, 1...1_048_576)
        reader.choice("training.consistency", &training.consistency)
        reader.integer("training.staleness", &training.staleness, 0...10_000)
        reader.integer("training.seed", &training.seed, 0...UInt64.max)
        reader.choice("training.optimizer.kind", &training.optimizer.kind)
        reader.number("training.optimizer.learning_rate", &training.optimizer.learningRate, 0..<1000)
        reader.number("training.optimizer.momentum", &training.optimizer.momentum, 0..<1)
        reader.number("training.optimizer.beta1", &training.optimizer.beta1, 0..<1)
        reader.number("training.optimizer.beta2", &training.optimizer.beta2, 0..<1)
        reader.number("training.optimizer.epsilon", &training.optimizer.epsilon, 0..<1)
    }

    private func check(_ reader: inout ConfigurationReader) {
        let quorum = checkpoint.writeQuorum
        if checkpoint.replicas > cluster.stores {
            reader.report(
                "'checkpoint.replicas' \(checkpoint.replicas) exceeds 'cluster.stores' \(cluster.stores)",
                at: "checkpoint.replicas")
        }
        if quorum > checkpoint.replicas {
            reader.report(
                "'checkpoint.write_quorum' \(quorum) exceeds 'checkpoint.replicas' \(checkpoint.replicas)",
                at: "checkpoint.write_quorum")
        }
        if training.consistency == .ssp, training.staleness == nil {
            reader.report(
                "'training.consistency: ssp' needs 'training.staleness'", at: "training.consistency")
        }
        if training.consistency != .ssp, training.staleness != nil {
            reader.report("'training.staleness' belongs to 'consistency: ssp'", at: "training.staleness")
        }
        if model.kind != .mf, model.rank != nil {
            reader.report("'model.rank' belongs to 'kind: mf'", at: "model.rank")
        }
        if (model.kind == .mf) != (data.kind == .movielens), data.kind != .synthetic {
            reader.report("'\(model.kind.rawValue)' can't train on '\(data.kind.rawValue)'", at: "data.kind")
        }
        if timing.leaseMs < 2 * timing.heartbeatMs {
            reader.report(
                "'timing.lease_ms' must be at least twice 'timing.heartbeat_ms'", at: "timing.lease_ms")
        }
    }
}
