/// Labelled grey images of one size, one byte a pixel; they become Float in [0, 1] a batch at a time.
public struct ImageSamples: Sendable {
    public let height: Int
    public let width: Int
    /// One more than the largest label may be.
    public let classes: Int
    /// `count × height × width` bytes, row by row.
    let pixels: [UInt8]
    let labels: [UInt8]

    public var count: Int { labels.count }
    public var pixelsPerImage: Int { height * width }

    /// - Throws: `DataError.unsuitable` when the counts don't match or a label isn't below `classes`.
    public init(
        height: Int, width: Int, classes: Int, pixels: [UInt8], labels: [UInt8]
    ) throws(DataError) {
        guard height > 0, width > 0, (1...256).contains(classes),
            pixels.count == labels.count * height * width
        else {
            throw .unsuitable(
                "\(pixels.count) pixels aren't \(labels.count) images of \(height)×\(width) in \(classes) classes"
            )
        }
        if let label = labels.first(where: { Int($0) >= classes }) {
            throw .unsuitable("label \(label) isn't below the number of classes, \(classes)")
        }
        self.height = height
        self.width = width
        self.classes = classes
        self.pixels = pixels
        self.labels = labels
    }

    private init(first count: Int, of all: ImageSamples) {
        (height, width, classes) = (all.height, all.width, all.classes)
        pixels = Array(all.pixels[..<(count * all.pixelsPerImage)])
        labels = Array(all.labels[..<count])
    }

    fileprivate func prefix(_ count: Int) -> ImageSamples { ImageSamples(first: count, of: self) }
}

/// Ratings as triples of user row, item row and rating.
public struct RatingSamples: Sendable {
    let users: [Int32]
    let items: [Int32]
    let ratings: [Float]

    public var count: Int { ratings.count }

    /// - Precondition: The arrays are equally long, and no row is negative.
    public init(users: [Int32], items: [Int32], ratings: [Float]) {
        precondition(users.count == ratings.count && items.count == ratings.count)
        precondition(users.allSatisfy { $0 >= 0 } && items.allSatisfy { $0 >= 0 })
        self.users = users
        self.items = items
        self.ratings = ratings
    }
}

/// Samples of either sort.
public enum Samples: Sendable {
    case images(ImageSamples)
    case ratings(RatingSamples)

    public var count: Int {
        switch self {
        case .images(let samples): samples.count
        case .ratings(let samples): samples.count
        }
    }

    /// The first `limit` samples, or all if there are fewer.
    public func prefix(_ limit: Int) -> Samples {
        let kept = min(max(limit, 0), count)
        switch self {
        case .images(let samples): return .images(samples.prefix(kept))
        case .ratings(let samples):
            return .ratings(
                RatingSamples(
                    users: Array(samples.users[..<kept]), items: Array(samples.items[..<kept]),
                    ratings: Array(samples.ratings[..<kept])))
        }
    }
}

/// A training set of images and the samples held out from it.
public struct ImageDataset: Sendable {
    public var training: ImageSamples
    public var heldOut: ImageSamples
}

/// A training set of ratings and the samples held out from it.
public struct RatingDataset: Sendable {
    public var training: RatingSamples
    public var heldOut: RatingSamples
    /// The number of rows of `user.weight`: the distinct users of the whole file.
    public var userCount: Int
    /// The number of rows of `item.weight`: the distinct items of the whole file.
    public var itemCount: Int
    /// The mean of the training ratings, which the model adds to each prediction.
    public var mean: Float
}

/// A data set with its held-out part.
public enum Dataset: Sendable {
    case images(ImageDataset)
    case ratings(RatingDataset)

    public var training: Samples {
        switch self {
        case .images(let dataset): .images(dataset.training)
        case .ratings(let dataset): .ratings(dataset.training)
        }
    }

    public var heldOut: Samples {
        switch self {
        case .images(let dataset): .images(dataset.heldOut)
        case .ratings(let dataset): .ratings(dataset.heldOut)
        }
    }
}

/// The samples of one step of one worker, by index; pixels are converted inside the model.
public struct Batch: Sendable {
    public let samples: Samples
    public let indices: [Int32]

    /// - Precondition: Every index is in `0..<samples.count`.
    public init(_ samples: Samples, indices: [Int32]) {
        let count = samples.count
        precondition(indices.allSatisfy { $0 >= 0 && Int($0) < count }, "a sample index out of range")
        self.samples = samples
        self.indices = indices
    }
}

/// What a configuration can name as `data.kind`.
public enum DataKind: String, Sendable, Hashable, CaseIterable {
    case mnist
    case fashionMNIST = "fashion-mnist"
    case movielens
    /// Images made from the seed: ten classes, 28×28; for tests and machines without data.
    case synthetic
    /// Ratings made from the seed by a factorization of rank 4 plus noise.
    case syntheticRatings = "synthetic-ratings"
}

/// Which parts of a data set to load; a worker that only trains starts faster without the held-out part.
public struct DatasetParts: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let training = DatasetParts(rawValue: 1)
    public static let heldOut = DatasetParts(rawValue: 2)
    public static let all: DatasetParts = [.training, .heldOut]
}

/// Loads a data set from files, or makes a synthetic one.
///
/// - Parameters:
///   - path: A folder, or for `movielens` also a file; nil means where Debian's package dataset-fashion-mnist puts
///     its files (`fashion-mnist` only). Synthetic sets ignore it.
///   - seed: Decides the split of ratings and the content of synthetic sets.
///   - parts: The parts that are needed; others may come back empty.
/// - Throws: `DataError.missing` (a file isn't there), `.malformed` (its content is wrong).
public func loadDataset(
    kind: DataKind, path: String? = nil, seed: UInt64 = 1, parts: DatasetParts = .all
) throws(DataError) -> Dataset {
    switch kind {
    case .fashionMNIST:
        try .images(loadImages(folder: path ?? "/usr/share/datasets/fashion-mnist", kind: kind, parts: parts))
    case .mnist:
        try .images(loadImages(folder: required(path, kind), kind: kind, parts: parts))
    case .movielens:
        try .ratings(loadRatings(path: required(path, kind), seed: seed))
    case .synthetic:
        try .images(syntheticImages(seed: seed))
    case .syntheticRatings:
        .ratings(syntheticRatings(seed: seed))
    }
}

private func required(_ path: String?, _ kind: DataKind) throws(DataError) -> String {
    guard let path else {
        throw .missing("data of kind \(kind.rawValue) has no default place; set data.path to its folder")
    }
    return path
}
