import Synchronization

/// How well a model does on samples that it wasn't trained on.
public struct Evaluation: Sendable, Hashable {
    /// The measure that fits the model.
    public enum Quality: Sendable, Hashable {
        /// The share of right answers, 0 to 1.
        case accuracy(Double)
        /// The root of the mean squared error, in units of the ratings.
        case rmse(Double)
    }

    /// The mean loss over the samples.
    public let loss: Double
    public let quality: Quality
}

/// What a gradient buffer holds when it is handed to `Model.lossAndGradient`.
public enum GradientContent: Sendable, Hashable {
    /// Anything: every element is written.
    case unknown
    /// Zeros, or what `Model.recycle` left: a sparse model then writes only what the batch touches.
    case recycled
}

/// A model that computes losses and gradients on one flat parameter vector.
///
/// The vector is all tensors in UTF-8 order of their names laid end to end; shards cut exactly that vector. Scratch
/// memory lives in the model behind a lock, so use one model for each thread. The same inputs give the same bits on
/// one machine: BLAS is held to a single thread.
public final class Model: Sendable {
    public let shape: ModelShape
    /// The tensors, sorted by name.
    public let parameters: [ParameterSpec]
    /// The length of the flat vector.
    public let parameterCount: Int
    private let network: Mutex<Network>

    public init(_ shape: ModelShape) {
        BLAS.useOneThread
        self.shape = shape
        parameters = shape.parameters
        parameterCount = parameters.reduce(0) { $0 + $1.count }
        network = Mutex(Network(shape))
    }

    /// A model of `kind` with the sizes of the data set.
    ///
    /// - Throws: `DataError.unsuitable` when the model can't learn from such data.
    public convenience init(
        kind: ModelKind, for dataset: Dataset, rank: Int = ModelShape.defaultRank
    ) throws(DataError) {
        self.init(try ModelShape(kind: kind, for: dataset, rank: rank))
    }

    /// Starting values, a pure function of the seed and the tensor's place, the same on every platform.
    ///
    /// Layers: uniform in ±1/√(inputs of a unit), as PyTorch does for weights and biases; of AlexNet, see there.
    /// Factorization: uniform in ±0.1.
    public func initialParameters(seed: UInt64) -> [Float] {
        var values: [Float] = []
        values.reserveCapacity(parameterCount)
        for (place, spec) in parameters.enumerated() {
            var generator = SplitMix64(seed: seed, stream: UInt64(place) | 1 << 63)
            let limit = initialLimit(spec)
            for _ in 0..<spec.count { values.append(generator.symmetric(limit: limit)) }
        }
        return values
    }

    /// The mean loss over the batch, and its gradient in `gradient`.
    ///
    /// - Parameters:
    ///   - content: `.recycled` spares a sparse model the clearing of the whole buffer; see `recycle(_:after:)`.
    /// - Precondition: The buffers hold `parameterCount` elements, and the batch is not empty and of the model's sort.
    public func lossAndGradient(
        parameters: UnsafeBufferPointer<Float>, batch: Batch, gradient: UnsafeMutableBufferPointer<Float>,
        content: GradientContent = .unknown
    ) -> Float {
        precondition(parameters.count == parameterCount && gradient.count == parameterCount)
        precondition(!batch.indices.isEmpty, "an empty batch")
        let (p, g) = (parameters.baseAddress!, gradient.baseAddress!)
        return network.withLock { network in
            switch (network, batch.samples) {
            case (.images(let model), .images(let samples)):
                return model.lossAndGradient(p, samples, batch.indices, g)
            case (.ratings(let model), .ratings(let samples)):
                if content == .unknown { g.update(repeating: 0, count: parameterCount) }
                return model.lossAndGradient(p, samples, batch.indices, g)
            case (.images, .ratings), (.ratings, .images):
                preconditionFailure("a batch of the wrong sort for model \(shape.kind.rawValue)")
            }
        }
    }

    /// Makes a buffer ready to be handed in as `.recycled` after `lossAndGradient` wrote it for this batch.
    ///
    /// A sparse model zeros the rows that the batch touched; a dense one has nothing to do, as it overwrites.
    public func recycle(_ gradient: UnsafeMutableBufferPointer<Float>, after batch: Batch) {
        precondition(gradient.count == parameterCount)
        let g = gradient.baseAddress!
        network.withLock { network in
            switch (network, batch.samples) {
            case (.ratings(let model), .ratings(let samples)):
                model.clear(samples, batch.indices, g)
            case (.images, .images), (.images, .ratings), (.ratings, .images):
                break
            }
        }
    }

    /// Loss and quality over all of `samples`; an empty set gives zeros.
    public func evaluate(parameters: UnsafeBufferPointer<Float>, samples: Samples) -> Evaluation {
        precondition(parameters.count == parameterCount)
        let p = parameters.baseAddress!
        return network.withLock { network in
            switch (network, samples) {
            case (.images(let model), .images(let samples)):
                return evaluation(samples) { model.score(p, samples, $0) }
            case (.ratings(let model), .ratings(let samples)):
                return model.evaluate(p, samples)
            case (.images, .ratings), (.ratings, .images):
                preconditionFailure("samples of the wrong sort for model \(shape.kind.rawValue)")
            }
        }
    }

    /// As above, over the held-out part.
    public func evaluate(parameters: UnsafeBufferPointer<Float>, dataset: Dataset) -> Evaluation {
        evaluate(parameters: parameters, samples: dataset.heldOut)
    }

    private func initialLimit(_ spec: ParameterSpec) -> Float {
        // A bias has the limit of its layer, so look at the layer's weight.
        let layer = spec.name.prefix { $0 != "." }
        let weight = parameters.first { $0.name == layer + ".weight" } ?? spec
        let inputs = Float(weight.shape.dropFirst().reduce(1, *))
        switch shape {
        case .mf: return 0.1
        case .mlr, .lenet5: return 1 / inputs.squareRoot()
        case .alexnet: return spec.shape.count == 1 ? 0 : (6 / inputs).squareRoot()
        }
    }
}

/// The loss summed over some images, and how many of them were told right.
struct Score {
    var loss: Double = 0
    var correct = 0
}

/// Adds up the scores of consecutive blocks of images.
private func evaluation(_ samples: ImageSamples, score: ([Int32]) -> Score) -> Evaluation {
    var total = Score()
    for start in stride(from: 0, to: samples.count, by: 256) {
        let part = score((start..<min(start + 256, samples.count)).map { Int32($0) })
        total.loss += part.loss
        total.correct += part.correct
    }
    let count = Double(max(samples.count, 1))
    return Evaluation(loss: total.loss / count, quality: .accuracy(Double(total.correct) / count))
}

/// The arithmetic of one model with its scratch memory.
private enum Network: Sendable {
    case images(any ImageNetwork)
    case ratings(MatrixFactorization)

    init(_ shape: ModelShape) {
        switch shape {
        case .mlr(let inputs, let classes):
            self = .images(SoftmaxRegression(inputs: inputs, classes: classes))
        case .lenet5: self = .images(LeNet5())
        case .alexnet: self = .images(AlexNet())
        case .mf(let users, let items, let rank, let mean, let regularization):
            self = .ratings(
                MatrixFactorization(
                    users: users, items: items, rank: rank, mean: mean, regularization: regularization))
        }
    }
}
