/// The IDX format of MNIST: two zero bytes, the element type (8: bytes), the number of dimensions, each dimension as
/// four bytes with the largest first, then the elements.
enum IDX {
    /// A file of bytes with one to three dimensions.
    struct Content {
        var dimensions: [Int]
        var bytes: [UInt8]
    }

    /// No data set of this format comes near; a header that says more is wrong.
    static let largestByteCount = 1 << 31

    /// Reads a file, compressed or not.
    ///
    /// - Parameter rank: The number of dimensions that it must have.
    /// - Throws: `DataError.missing` or `.malformed`.
    static func read(_ path: String, rank: Int) throws(DataError) -> Content {
        try parse(FileBytes.read(path, limit: largestByteCount), path: path, rank: rank)
    }

    static func parse(_ file: [UInt8], path: String, rank: Int) throws(DataError) -> Content {
        var reader = try PlainReader(path: path, bytes: file)
        let magic = try reader.read(4)
        guard magic[0] == 0, magic[1] == 0, magic[2] == 8, Int(magic[3]) == rank else {
            throw .malformed(
                "\(path) doesn't start like an IDX file of bytes with \(rank) dimensions (00 00 08 0\(rank)); "
                    + "fetch it again")
        }
        let header = try reader.read(4 * rank)
        var dimensions: [Int] = []
        var count = 1
        for dimension in 0..<rank {
            let length = header[dimension * 4..<dimension * 4 + 4].reduce(0) { $0 << 8 | Int($1) }
            dimensions.append(length)
            let (product, overflow) = count.multipliedReportingOverflow(by: length)
            guard !overflow, product <= largestByteCount else {
                throw .malformed("\(path) claims dimensions \(dimensions), which is too much; fetch it again")
            }
            count = product
        }
        guard count <= reader.mostBytesLeft else {
            throw .malformed(
                "\(path) claims dimensions \(dimensions) and is too short for that; fetch it again")
        }
        let bytes = try reader.read(count)
        try reader.finish()
        return Content(dimensions: dimensions, bytes: bytes)
    }
}

/// Loads the four files of MNIST or Fashion-MNIST from a folder; a part that isn't asked for comes back empty.
func loadImages(folder: String, kind: DataKind, parts: DatasetParts) throws(DataError) -> ImageDataset {
    guard FileBytes.sort(of: folder) == .folder else {
        let mend =
            kind == .fashionMNIST
            ? "install dataset-fashion-mnist (apt-get install dataset-fashion-mnist) or set data.path"
            : "set data.path to the folder of the four IDX files"
        throw .missing("folder \(folder) isn't there; \(mend)")
    }
    let training =
        parts.contains(.training) ? try loadImagePart(folder: folder, part: "train") : nil
    let heldOut = parts.contains(.heldOut) ? try loadImagePart(folder: folder, part: "t10k") : nil
    if let training, let heldOut, training.height != heldOut.height || training.width != heldOut.width {
        throw .malformed("in \(folder), training and held-out images differ in size; fetch the files again")
    }
    let shape = training ?? heldOut
    let empty = try ImageSamples(
        height: shape?.height ?? 28, width: shape?.width ?? 28, classes: 10, pixels: [], labels: [])
    return ImageDataset(training: training ?? empty, heldOut: heldOut ?? empty)
}

/// The images and labels of `train` or `t10k`.
private func loadImagePart(folder: String, part: String) throws(DataError) -> ImageSamples {
    let imagePath = try findIDX(folder: folder, part: part, content: "images", rank: 3)
    let labelPath = try findIDX(folder: folder, part: part, content: "labels", rank: 1)
    // The small file first: its damage then shows at once.
    let labels = try IDX.read(labelPath, rank: 1)
    let images = try IDX.read(imagePath, rank: 3)
    let (count, height, width) = (images.dimensions[0], images.dimensions[1], images.dimensions[2])
    guard count == labels.bytes.count else {
        throw .malformed("\(imagePath) has \(count) images and \(labelPath) \(labels.bytes.count) labels")
    }
    guard count > 0, (1...4096).contains(height), (1...4096).contains(width) else {
        throw .malformed(
            "\(imagePath) has \(count) images of \(height)×\(width); 1 to 4096 a side are allowed")
    }
    if let place = labels.bytes.firstIndex(where: { $0 > 9 }) {
        throw .malformed("\(labelPath) has label \(labels.bytes[place]) at place \(place); labels are 0 to 9")
    }
    return try ImageSamples(
        height: height, width: width, classes: 10, pixels: images.bytes, labels: labels.bytes)
}

/// The first of the usual names of a file that is there.
private func findIDX(folder: String, part: String, content: String, rank: Int) throws(DataError) -> String {
    for separator in ["-", "."] {
        for suffix in ["", ".gz"] {
            let path = "\(folder)/\(part)-\(content)\(separator)idx\(rank)-ubyte\(suffix)"
            if FileBytes.sort(of: path) == .file { return path }
        }
    }
    throw .missing(
        "\(folder)/\(part)-\(content)-idx\(rank)-ubyte isn't there, nor with .gz; put it there or set data.path"
    )
}
