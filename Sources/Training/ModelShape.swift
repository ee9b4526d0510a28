/// The name and shape of one tensor of a model.
///
/// Weights use the layout of PyTorch: `[out, in]` for dense layers, `[out, in, height, width]` for convolutions.
public struct ParameterSpec: Sendable, Hashable {
    /// The tensor's name, for example `conv1.weight`.
    public var name: String
    /// The length of each dimension, outermost first.
    public var shape: [Int]

    public init(name: String, shape: [Int]) {
        self.name = name
        self.shape = shape
    }

    /// The number of elements: the product of the dimensions.
    public var count: Int { shape.reduce(1, *) }
}

/// The models that can be named in a configuration.
public enum ModelKind: String, Sendable, Hashable, CaseIterable {
    /// Multinomial logistic regression: one dense layer and softmax.
    case mlr
    /// The convolutional network LeNet-5 with tanh and mean pooling.
    case lenet5
    /// The convolutional network AlexNet, scaled to images of 28×28.
    case alexnet
    /// Matrix factorization of ratings.
    case mf
}

/// A model with the sizes that the data and the configuration decide.
public enum ModelShape: Sendable, Hashable {
    /// Softmax regression from `inputs` pixels to `classes`.
    case mlr(inputs: Int, classes: Int)
    /// LeNet-5 on images of 28×28 pixels and 10 classes.
    case lenet5
    /// AlexNet with a quarter of the channels, on images of 28×28 pixels and 10 classes.
    case alexnet
    /// `rating = mean + user · item` with `rank` factors each; `regularization` is the weight of the squared
    /// length of the two rows that a sample touches.
    case mf(users: Int, items: Int, rank: Int, mean: Float, regularization: Float = 0.02)

    /// The rank of a factorization unless the configuration says otherwise.
    public static let defaultRank = 16

    /// The kind, without the sizes.
    public var kind: ModelKind {
        switch self {
        case .mlr: .mlr
        case .lenet5: .lenet5
        case .alexnet: .alexnet
        case .mf: .mf
        }
    }

    /// The tensors in UTF-8 order of their names, which is the order of the flat parameter vector.
    public var parameters: [ParameterSpec] {
        let specs: [ParameterSpec] =
            switch self {
            case .mlr(let inputs, let classes):
                [
                    ParameterSpec(name: "linear.weight", shape: [classes, inputs]),
                    ParameterSpec(name: "linear.bias", shape: [classes]),
                ]
            case .lenet5:
                LeNet5.parameters
            case .alexnet:
                AlexNet.parameters
            case .mf(let users, let items, let rank, mean: _, regularization: _):
                [
                    ParameterSpec(name: "user.weight", shape: [users, rank]),
                    ParameterSpec(name: "item.weight", shape: [items, rank]),
                ]
            }
        return specs.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }

    /// What an exported file must carry beside the tensors: `mean` for a factorization.
    public var metadata: [String: String] {
        switch self {
        case .mlr, .lenet5, .alexnet: [:]
        case .mf(users: _, items: _, rank: _, let mean, regularization: _): ["mean": "\(mean)"]
        }
    }

    /// The shape of a model of this kind for a data set.
    ///
    /// - Throws: `DataError.unsuitable` when the model can't learn from such data, for example LeNet-5 from ratings.
    public init(kind: ModelKind, for dataset: Dataset, rank: Int = defaultRank) throws(DataError) {
        switch (kind, dataset) {
        case (.mlr, .images(let images)):
            self = .mlr(inputs: images.training.pixelsPerImage, classes: images.training.classes)
        case (.lenet5, .images(let images)), (.alexnet, .images(let images)):
            let samples = images.training
            guard samples.height == 28, samples.width == 28, samples.classes <= 10 else {
                throw .unsuitable(
                    "model \(kind.rawValue) reads images of 28×28 pixels in 10 classes, and the data set has "
                        + "\(samples.height)×\(samples.width) in \(samples.classes); choose model mlr")
            }
            self = kind == .lenet5 ? .lenet5 : .alexnet
        case (.mf, .ratings(let ratings)):
            guard (1...4096).contains(rank) else {
                throw .unsuitable("the rank of model mf is \(rank); choose 1 to 4096")
            }
            self = .mf(users: ratings.userCount, items: ratings.itemCount, rank: rank, mean: ratings.mean)
        case (.mlr, .ratings), (.lenet5, .ratings), (.alexnet, .ratings):
            throw .unsuitable(
                "model \(kind.rawValue) reads images, and the data set holds ratings; choose model mf")
        case (.mf, .images):
            throw .unsuitable(
                "model mf reads ratings, and the data set holds images; choose model mlr, lenet5 or alexnet")
        }
    }
}
