import Training

/// What is trained, on what, and how: all that decides the bits of a run but the seed.
public struct Workload: Sendable, Hashable {
    /// Names it in tables and in cells: the model, and more where one model is trained in several ways.
    public var name: String
    public var model: ModelKind
    public var data: DataKind
    /// A folder or file; nil where the kind needs none.
    public var path: String?
    public var optimizer: OptimizerKind
    /// Samples per step.
    public var batch: Int
    /// Training samples of the fixed set on which the loss is compared.
    public var evaluationSamples: Int
    /// Elements of a block of SCAR: where the model has rows, a divisor or multiple of them.
    public var block: Int

    public init(
        name: String, model: ModelKind, data: DataKind, path: String? = nil, optimizer: OptimizerKind,
        batch: Int, evaluationSamples: Int, block: Int = 64
    ) {
        self.name = name
        self.model = model
        self.data = data
        self.path = path
        self.optimizer = optimizer
        self.batch = batch
        self.evaluationSamples = evaluationSamples
        self.block = block
    }

    /// What a cell must have been computed with to be used again.
    var settings: [String: String] {
        [
            "workload": name, "model": model.rawValue, "data": data.rawValue, "path": path ?? "",
            "optimizer": "\(optimizer)", "batch": "\(batch)", "evaluation_samples": "\(evaluationSamples)",
            "block": "\(block)",
        ]
    }

    /// The optimizer in words, as it stands in tables.
    public var rule: String {
        switch optimizer {
        case .sgd(let rate, let momentum):
            momentum == 0 ? "SGD, rate \(rate)" : "SGD, rate \(rate), momentum \(momentum)"
        case .adagrad(let rate, epsilon: _): "Adagrad, rate \(rate)"
        case .adam(let rate, beta1: _, beta2: _, epsilon: _): "Adam, rate \(rate)"
        }
    }
}

/// A workload with its data in memory and the order of its samples.
///
/// One for each thread: the model's scratch memory is behind a lock.
final class Subject: Sendable {
    let workload: Workload
    let seed: UInt64
    let model: Model
    let dataset: Dataset
    let sampler: Sampler
    /// The fixed samples on which losses are compared: the first of the training set.
    let evaluation: Samples

    /// - Throws: `DataError` when the data isn't there, or doesn't suit.
    init(_ workload: Workload, seed: UInt64, parts: DatasetParts = .training) throws(DataError) {
        self.workload = workload
        self.seed = seed
        // The data is the same for every seed: only the parameters and the order of the samples differ.
        dataset = try loadDataset(kind: workload.data, path: workload.path, seed: 1, parts: parts)
        model = try Model(kind: workload.model, for: dataset)
        sampler = try Sampler(
            sampleCount: dataset.training.count, workers: 1, batch: workload.batch, seed: seed)
        evaluation = dataset.training.prefix(workload.evaluationSamples)
    }
}
