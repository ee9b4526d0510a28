/// One dense layer and softmax: `linear.bias` then `linear.weight` in the flat vector.
struct SoftmaxRegression: Sendable {
    let inputs: Int
    let classes: Int
    private let pixels: FloatBuffer
    private let logits: FloatBuffer
    /// Samples computed at once: enough for large products, few enough for the second-level cache.
    private static let block = 64

    init(inputs: Int, classes: Int) {
        self.inputs = inputs
        self.classes = classes
        pixels = FloatBuffer(count: Self.block * inputs)
        logits = FloatBuffer(count: Self.block * classes)
    }

    func lossAndGradient(
        _ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: [Int32],
        _ gradient: UnsafeMutablePointer<Float>
    ) -> Float {
        let scale = 1 / Float(indices.count)
        var loss = 0.0
        gradient.update(repeating: 0, count: classes)
        for start in stride(from: 0, to: indices.count, by: Self.block) {
            let rows = min(Self.block, indices.count - start)
            forward(parameters, samples, indices[start..<start + rows])
            for row in 0..<rows {
                loss += Kernels.crossEntropy(
                    logits.base + row * classes, classes: classes,
                    label: Int(samples.labels[Int(indices[start + row])]), scale: scale)
            }
            Kernels.addColumnSums(logits.base, rows: rows, columns: classes, to: gradient)
            BLAS.multiply(
                .init(logits.base, rowStride: classes, transposed: true),
                .init(pixels.base, rowStride: inputs),
                .init(rows: classes, columns: inputs, inner: rows), into: gradient + classes,
                accumulating: start > 0)
        }
        return Float(loss / Double(indices.count))
    }

    func score(_ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: [Int32]) -> Score {
        var total = Score()
        for start in stride(from: 0, to: indices.count, by: Self.block) {
            let rows = min(Self.block, indices.count - start)
            forward(parameters, samples, indices[start..<start + rows])
            for row in 0..<rows {
                let label = Int(samples.labels[Int(indices[start + row])])
                let part = Kernels.score(logits.base + row * classes, classes: classes, label: label)
                total.loss += part.loss
                total.correct += part.correct
            }
        }
        return total
    }

    /// Leaves the pixels and the logits of the samples in the scratch memory.
    private func forward(
        _ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: ArraySlice<Int32>
    ) {
        precondition(samples.pixelsPerImage == inputs && samples.classes <= classes)
        samples.pixels.withUnsafeBufferPointer { source in
            for (row, index) in indices.enumerated() {
                let image = source.baseAddress! + Int(index) * inputs
                let target = pixels.base + row * inputs
                for i in 0..<inputs { target[i] = Float(image[i]) * (1 / 255) }
            }
        }
        BLAS.multiply(
            .init(pixels.base, rowStride: inputs),
            .init(parameters + classes, rowStride: inputs, transposed: true),
            .init(rows: indices.count, columns: classes, inner: inputs), into: logits.base)
        Kernels.addBias(logits.base, rows: indices.count, columns: classes, bias: parameters, tanh: false)
    }
}
