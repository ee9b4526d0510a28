/// The arithmetic of a model that tells the class of an image, with its scratch memory.
///
/// A batch is computed in blocks of samples, so that one block's matrices stay in the cache.
protocol ImageNetwork: Sendable {
    /// Samples computed at once.
    static var block: Int { get }
    var classes: Int { get }
    var layers: [Layer] { get }
    /// `[sample][class]`; `backward` finds their gradient here.
    var logits: FloatBuffer { get }

    /// Leaves every layer's outputs in the scratch memory.
    func forward(_ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: ArraySlice<Int32>)

    /// From the gradient of the logits to the gradient of every parameter.
    ///
    /// Weights are overwritten, or added to when `accumulating`; biases are always added to. What `forward` left may
    /// be consumed.
    func backward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>, rows: Int,
        accumulating: Bool
    )
}

extension ImageNetwork {
    /// The mean loss, and its gradient in every element of `gradient`.
    func lossAndGradient(
        _ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: [Int32],
        _ gradient: UnsafeMutablePointer<Float>
    ) -> Float {
        let scale = 1 / Float(indices.count)
        var loss = 0.0
        for layer in layers { (gradient + layer.bias).update(repeating: 0, count: layer.outputs) }
        eachBlock(indices) { part in
            forward(parameters, samples, part)
            for (row, index) in part.enumerated() {
                loss += Kernels.crossEntropy(
                    logits.base + row * classes, classes: classes, label: Int(samples.labels[Int(index)]),
                    scale: scale)
            }
            backward(parameters, gradient, rows: part.count, accumulating: part.startIndex > 0)
        }
        return Float(loss / Double(indices.count))
    }

    /// The summed loss, and how many images were told right.
    func score(_ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: [Int32]) -> Score {
        var total = Score()
        eachBlock(indices) { part in
            forward(parameters, samples, part)
            for (row, index) in part.enumerated() {
                let one = Kernels.score(
                    logits.base + row * classes, classes: classes, label: Int(samples.labels[Int(index)]))
                total.loss += one.loss
                total.correct += one.correct
            }
        }
        return total
    }

    private func eachBlock(_ indices: [Int32], _ body: (ArraySlice<Int32>) -> Void) {
        for start in stride(from: 0, to: indices.count, by: Self.block) {
            body(indices[start..<min(start + Self.block, indices.count)])
        }
    }
}
