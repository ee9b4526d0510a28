import Cluster
import Foundation
import LCCheckpoint
import MachineCore
import Node
import ParameterState
import Training

/// What a coordinator tells every node that joins: the configuration, and the sizes that the data decides.
struct RunDescription: Codable {
    var yaml: String
    var users: Int?
    var items: Int?
    var mean: Float?

    /// - Throws: `DataError` for a factorization whose data can't be read; other models need no data here.
    init(configuration: ClusterConfiguration) throws {
        yaml = configuration.yaml()
        guard configuration.model.kind == .mf else { return }
        let dataset = try loadDataset(kind: configuration.dataKind, path: configuration.data.path)
        guard case .ratings(let ratings) = dataset else {
            throw DataError.unsuitable("model mf learns from ratings, and data.kind names images")
        }
        users = ratings.userCount
        items = ratings.itemCount
        mean = ratings.mean
    }

    init(json: String) throws { self = try JSONDecoder().decode(RunDescription.self, from: Data(json.utf8)) }

    var json: String {
        get throws { String(decoding: try JSONEncoder().encode(self), as: UTF8.self) }
    }

    func plan() throws -> RunPlan {
        let configuration = try ClusterConfiguration.parse(
            yaml: yaml, file: "the run's configuration", overrides: [])
        let shape: ModelShape =
            switch configuration.model.kind {
            case .mlr: .mlr(inputs: 784, classes: 10)
            case .lenet5: .lenet5
            case .alexnet: .alexnet
            case .mf:
                .mf(
                    users: users ?? 0, items: items ?? 0,
                    rank: configuration.model.rank ?? ModelShape.defaultRank,
                    mean: mean ?? 0)
            }
        return configuration.plan(shape: shape)
    }
}

// The name of the library's type that the configuration's own one of the same name hides.
typealias SampleKind = Training.DataKind

extension ClusterConfiguration {
    var dataKind: SampleKind {
        switch data.kind {
        case .mnist: .mnist
        case .fashionMNIST: .fashionMNIST
        case .movielens: .movielens
        case .synthetic: model.kind == .mf ? .syntheticRatings : .synthetic
        }
    }

    func plan(shape: ModelShape) -> RunPlan {
        return RunPlan(
            settings: runSettings, shape: shape, optimizer: updateRule, codec: checkpoint.codec.settings,
            slotCodec: checkpoint.slotsCodec.settings,
            selection: checkpoint.codec.selection(seed: training.seed), seed: training.seed,
            batch: training.batch,
            data: dataKind,
            dataPath: data.path)
    }
}

extension ClusterConfiguration.Codec {
    /// What a delta brings up to date; nil for everything.
    func selection(seed: UInt64) -> PartialSelection? {
        guard let fraction else { return nil }
        let order: PartialSelection.Order =
            switch select ?? .priority {
            case .priority: .priority
            case .roundRobin: .roundRobin
            case .random: .random(seed: seed)
            }
        return switch kind {
        case .lc, .auto, .exact, .full: nil
        case .topn: PartialSelection(rule: .topN, fraction: fraction)
        case .scar: PartialSelection(rule: .blocks(size: block ?? 64, order), fraction: fraction)
        }
    }
}
