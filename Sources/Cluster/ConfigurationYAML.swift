extension ClusterConfiguration {
    /// The effective configuration as YAML that ``parse(yaml:file:overrides:)`` reads back to the same value.
    public func yaml() -> String {
        let optimizer = training.optimizer
        var lines = ["cluster:", "  name: \(quoted(cluster.name))"]
        lines += [
            "  shards: \(cluster.shards)", "  workers: \(cluster.workers)", "  stores: \(cluster.stores)",
        ]
        lines += ["  transport: \(cluster.transport.rawValue)", "model:", "  kind: \(model.kind.rawValue)"]
        if let rank = model.rank { lines.append("  rank: \(rank)") }
        lines += ["data:", "  kind: \(data.kind.rawValue)"]
        if let path = data.path { lines.append("  path: \(quoted(path))") }
        lines += ["training:", "  steps: \(training.steps)", "  batch: \(training.batch)"]
        lines.append("  consistency: \(training.consistency.rawValue)")
        if let staleness = training.staleness { lines.append("  staleness: \(staleness)") }
        lines += ["  seed: \(training.seed)", "  optimizer:", "    kind: \(optimizer.kind.rawValue)"]
        lines += ["    learning_rate: \(optimizer.learningRate)", "    momentum: \(optimizer.momentum)"]
        lines += ["    beta1: \(optimizer.beta1)", "    beta2: \(optimizer.beta2)"]
        lines += ["    epsilon: \(optimizer.epsilon)", "checkpoint:", "  every: \(checkpoint.every)"]
        lines += codec("codec", checkpoint.codec) + codec("slots_codec", checkpoint.slotsCodec)
        lines += ["  write_quorum: \(checkpoint.writeQuorum)", "  replicas: \(checkpoint.replicas)"]
        lines += ["  base_every: \(checkpoint.baseEvery)", "  keep:", "    last: \(checkpoint.keep.last)"]
        lines += ["    every: \(checkpoint.keep.every)", "  max_lag: \(checkpoint.maxLag)"]
        lines += ["recovery:", "  mode: \(recovery.mode.rawValue)", "timing:"]
        lines += ["  heartbeat_ms: \(timing.heartbeatMs)", "  lease_ms: \(timing.leaseMs)"]
        lines += ["network:", "  bind: \(quoted(network.bind))"]
        if let advertise = network.advertise { lines.append("  advertise: \(quoted(advertise))") }
        lines.append("  coordinator_port: \(network.coordinatorPort)")
        return lines.joined(separator: "\n") + "\n"
    }

    private func codec(_ name: String, _ codec: Codec) -> [String] {
        var lines = [
            "  \(name):", "    kind: \(codec.kind.rawValue)",
            "    bits: \(codec.bits.map(String.init) ?? "all")", "    entropy: \(codec.entropy.rawValue)",
        ]
        if let error = codec.error { lines.append("    error: \(error)") }
        if let fraction = codec.fraction { lines.append("    fraction: \(fraction)") }
        if let block = codec.block { lines.append("    block: \(block)") }
        if let select = codec.select { lines.append("    select: \(select.rawValue)") }
        return lines
    }

    /// Double quotes, in which YAML knows an escape for everything that it would otherwise fold or refuse.
    private func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\u{2028}", "\u{2029}", "\u{FEFF}", "\u{FFFE}", "\u{FFFF}", "\u{0}"..."\u{1F}",
                "\u{7F}"..."\u{9F}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
