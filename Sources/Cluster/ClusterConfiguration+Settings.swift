import LCCheckpoint
import MachineCore
import Training

/// An optimizer with its numbers: the library's type, which the configuration's own one of the same name hides.
public typealias UpdateRule = Training.OptimizerKind

extension ClusterConfiguration {
    /// What the decisions of a run are told of its configuration.
    public var runSettings: RunSettings {
        var settings = RunSettings(shards: cluster.shards, workers: cluster.workers, stores: cluster.stores)
        settings.replicas = checkpoint.replicas
        settings.writeQuorum = checkpoint.writeQuorum
        switch training.consistency {
        case .bsp: settings.staleness = 0
        case .ssp: settings.staleness = training.staleness ?? 1
        case .asp: settings.staleness = nil
        }
        settings.steps = UInt64(training.steps)
        settings.checkpointEvery = UInt64(checkpoint.every)
        // A full checkpoint is a base of its own.
        settings.baseEvery = checkpoint.codec.kind == .full ? 1 : UInt64(checkpoint.baseEvery)
        settings.maxLag = checkpoint.maxLag
        settings.partialRecovery = recovery.mode == .partial
        settings.keepLast = checkpoint.keep.last
        settings.keepEvery = UInt64(checkpoint.keep.every)
        settings.heartbeat = .milliseconds(timing.heartbeatMs)
        settings.lease = .milliseconds(timing.leaseMs)
        return settings
    }

    /// The optimizer with its numbers.
    public var updateRule: UpdateRule {
        let optimizer = training.optimizer
        let rate = Float(optimizer.learningRate)
        return switch optimizer.kind {
        case .sgd: .sgd(learningRate: rate, momentum: Float(optimizer.momentum))
        case .adagrad: .adagrad(learningRate: rate, epsilon: Float(optimizer.epsilon))
        case .adam:
            .adam(
                learningRate: rate, beta1: Float(optimizer.beta1), beta2: Float(optimizer.beta2),
                epsilon: Float(optimizer.epsilon))
        }
    }
}

extension ClusterConfiguration.Codec {
    public var settings: CodecSettings {
        let coder: CodecSettings.Entropy =
            switch entropy {
            case .quick: .quick
            case .best: .best
            case .huffman: .huffman
            }
        return switch kind {
        case .lc: CodecSettings(kind: .lc(bits: bits), entropy: coder)
        case .auto: CodecSettings(kind: .auto(error: error ?? 1e-3), entropy: coder)
        case .exact, .full, .topn, .scar: CodecSettings(kind: .exact, entropy: coder)
        }
    }
}
