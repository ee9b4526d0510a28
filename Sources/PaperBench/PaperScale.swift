import Training

/// How one model is trained and struck.
public struct ModelPlan: Sendable {
    public var workload: Workload
    /// Bytes at which policies are compared: those of lc with so many bits.
    public var budgets: [Int]
    /// Steps whose checkpoints are counted.
    public var compressionSteps: Int
    /// Failures happen after these steps.
    public var window: Range<Int>
    /// Of each seed.
    public var failures: Int
    public var seeds: Int
    /// The most steps that a recovered run is followed.
    public var horizon: Int
    /// Steps of training in which failures follow each other; 0: the model is left out there.
    public var accuracySteps: Int
}

/// How large the experiments are.
public struct PaperScale: Sendable {
    public var name: String
    public var models: [ModelPlan]
    /// Passes of the search for policies that take as many bytes.
    public var calibrationPasses: Int
    public var accuracySeeds: Int
    public var accuracyFailures: [Int]
    /// Of other optimizers than the paper's, and how they are struck.
    public var sensitivity: [ModelPlan]
    public var chain: [Workload]
    public var chainLengths: [Int]
    public var chainBases: [Int]
    public var chainRounds: Int
    public var intervals: [Int]
    public var intervalRounds: Int
    public var intervalSteps: Int
    public var intervalBatch: Int

    private static func images(
        _ model: ModelKind, _ optimizer: OptimizerKind, batch: Int, evaluated: Int, name: String? = nil
    ) -> Workload {
        // A shard of regression has few blocks of 64: one of them a step would be more than the budget.
        Workload(
            name: name ?? model.rawValue, model: model, data: .fashionMNIST, optimizer: optimizer,
            batch: batch, evaluationSamples: evaluated, block: model == .mlr ? 16 : 64)
    }

    /// Rows of a factorization are its blocks.
    private static func ratings(_ path: String?, evaluated: Int) -> Workload {
        Workload(
            name: "mf", model: .mf, data: path == nil ? .syntheticRatings : .movielens, path: path,
            optimizer: .sgd(learningRate: 40), batch: 1000, evaluationSamples: evaluated,
            block: ModelShape.defaultRank)
    }

    private static func sensitivityPlans(
        seeds: Int, failures: Int, window: Range<Int>, horizon: Int, evaluated: Int
    ) -> [ModelPlan] {
        let rules: [(String, OptimizerKind)] = [
            ("SGD 0.02", .sgd(learningRate: 0.02)), ("SGD 0.1", .sgd(learningRate: 0.1)),
            ("SGD 0.5", .sgd(learningRate: 0.5)),
            ("momentum 0.01", .sgd(learningRate: 0.01, momentum: 0.9)),
            ("momentum 0.05", .sgd(learningRate: 0.05, momentum: 0.9)),
            ("Adagrad 0.01", .adagrad(learningRate: 0.01)), ("Adam 0.001", .adam(learningRate: 0.001)),
        ]
        return rules.map { name, optimizer in
            ModelPlan(
                workload: images(.lenet5, optimizer, batch: 128, evaluated: evaluated, name: name),
                budgets: [], compressionSteps: 0, window: window, failures: failures, seeds: seeds,
                horizon: horizon,
                accuracySteps: 0)
        }
    }

    /// The sizes of the tables in the documents.
    public static func whole(ratings path: String?) -> PaperScale {
        PaperScale(
            name: "whole",
            models: [
                ModelPlan(
                    workload: images(.mlr, .sgd(learningRate: 0.1), batch: 256, evaluated: 1000),
                    budgets: [2, 3], compressionSteps: 100, window: 30..<180, failures: 12, seeds: 2,
                    horizon: 60, accuracySteps: 200),
                ModelPlan(
                    workload: ratings(path, evaluated: 10_000), budgets: [2, 3], compressionSteps: 100,
                    window: 60..<200, failures: 12, seeds: 2, horizon: 60, accuracySteps: 200),
                ModelPlan(
                    workload: images(.lenet5, .sgd(learningRate: 0.1), batch: 128, evaluated: 500),
                    budgets: [2, 3], compressionSteps: 100, window: 60..<200, failures: 12, seeds: 1,
                    horizon: 60, accuracySteps: 100),
                ModelPlan(
                    workload: images(.alexnet, .sgd(learningRate: 0.02), batch: 16, evaluated: 100),
                    budgets: [3], compressionSteps: 20, window: 15..<50, failures: 10, seeds: 1, horizon: 15,
                    accuracySteps: 0),
            ],
            calibrationPasses: 5, accuracySeeds: 3, accuracyFailures: [0, 1, 5, 10],
            sensitivity: sensitivityPlans(
                seeds: 1, failures: 8, window: 60..<180, horizon: 40, evaluated: 500),
            chain: [images(.lenet5, .sgd(learningRate: 0.1), batch: 64, evaluated: 100)],
            chainLengths: [1, 2, 5, 10, 20, 50, 100, 200, 400], chainBases: [0, 100, 25, 10], chainRounds: 5,
            intervals: [1, 2, 5, 10, 20], intervalRounds: 3, intervalSteps: 200, intervalBatch: 256)
    }

    /// A look at everything in a few minutes: fewer failures, and no AlexNet where it would take long.
    public static func quick(ratings path: String?) -> PaperScale {
        var scale = whole(ratings: path)
        scale.name = "quick"
        scale.models = [
            ModelPlan(
                workload: images(.mlr, .sgd(learningRate: 0.1), batch: 128, evaluated: 500), budgets: [3],
                compressionSteps: 40, window: 20..<90, failures: 10, seeds: 1, horizon: 40, accuracySteps: 80),
            ModelPlan(
                workload: ratings(path, evaluated: 5000), budgets: [3], compressionSteps: 40,
                window: 40..<100, failures: 10, seeds: 1, horizon: 40, accuracySteps: 100),
            ModelPlan(
                workload: images(.lenet5, .sgd(learningRate: 0.1), batch: 64, evaluated: 200), budgets: [3],
                compressionSteps: 40, window: 40..<90, failures: 10, seeds: 1, horizon: 20, accuracySteps: 0),
            ModelPlan(
                workload: images(.alexnet, .sgd(learningRate: 0.02), batch: 8, evaluated: 100), budgets: [],
                compressionSteps: 8, window: 0..<0, failures: 0, seeds: 0, horizon: 0, accuracySteps: 0),
        ]
        scale.calibrationPasses = 4
        scale.accuracySeeds = 1
        scale.accuracyFailures = [0, 1, 5]
        scale.sensitivity = sensitivityPlans(
            seeds: 1, failures: 4, window: 40..<60, horizon: 15, evaluated: 200)
        scale.chainLengths = [1, 5, 20, 100]
        scale.chainBases = [0, 25]
        scale.chainRounds = 3
        scale.intervals = [1, 10]
        scale.intervalRounds = 1
        scale.intervalSteps = 120
        return scale
    }

    /// Seconds of synthetic data, for tests.
    static var tiny: PaperScale {
        var scale = whole(ratings: nil)
        scale.name = "tiny"
        scale.models = [
            ModelPlan(
                workload: Workload(
                    name: "mlr", model: .mlr, data: .synthetic, optimizer: .sgd(learningRate: 0.1), batch: 16,
                    evaluationSamples: 50), budgets: [3], compressionSteps: 5, window: 5..<15, failures: 3,
                seeds: 1,
                horizon: 8, accuracySteps: 12)
        ]
        scale.calibrationPasses = 2
        scale.accuracySeeds = 1
        scale.accuracyFailures = [0, 2]
        scale.sensitivity = [scale.models[0]]
        scale.chain = [scale.models[0].workload]
        scale.chainLengths = [1, 4]
        scale.chainBases = [0, 2]
        scale.chainRounds = 1
        scale.intervals = [1]
        scale.intervalRounds = 1
        return scale
    }
}
