/// LeNet-5 on images of 28×28: two convolutions with tanh and 2×2 mean pooling, then three dense layers.
///
/// A batch is computed in blocks of samples, so that one block's matrices stay in the cache. Inside a block,
/// activations of convolutions are `[channel][sample][row][column]`, which makes each convolution one product of
/// `[out, in·5·5]` with the unfolded images `[in·5·5, sample·row·column]`.
struct LeNet5: Sendable {
    static let parameters = [
        ParameterSpec(name: "conv1.weight", shape: [6, 1, 5, 5]),
        ParameterSpec(name: "conv1.bias", shape: [6]),
        ParameterSpec(name: "conv2.weight", shape: [16, 6, 5, 5]),
        ParameterSpec(name: "conv2.bias", shape: [16]),
        ParameterSpec(name: "fc1.weight", shape: [120, 400]),
        ParameterSpec(name: "fc1.bias", shape: [120]),
        ParameterSpec(name: "fc2.weight", shape: [84, 120]),
        ParameterSpec(name: "fc2.bias", shape: [84]),
        ParameterSpec(name: "fc3.weight", shape: [10, 84]),
        ParameterSpec(name: "fc3.bias", shape: [10]),
    ]

    /// Where a layer lies in the flat vector: the bias, then the weight.
    struct Layer {
        let bias: Int
        let outputs: Int
        /// The inputs of one unit.
        let inputs: Int
        var weight: Int { bias + outputs }
        var end: Int { weight + outputs * inputs }

        init(after offset: Int, outputs: Int, inputs: Int) {
            bias = offset
            self.outputs = outputs
            self.inputs = inputs
        }
    }

    static let conv1 = Layer(after: 0, outputs: 6, inputs: 25)
    static let conv2 = Layer(after: conv1.end, outputs: 16, inputs: 150)
    static let fc1 = Layer(after: conv2.end, outputs: 120, inputs: 400)
    static let fc2 = Layer(after: fc1.end, outputs: 84, inputs: 120)
    static let fc3 = Layer(after: fc2.end, outputs: 10, inputs: 84)

    /// Samples computed at once.
    static let block = 16

    /// One image with its margin of two zeros on every side, 32×32.
    let padded = FloatBuffer(count: 32 * 32)
    /// `[25][sample][28·28]`
    let columns1 = FloatBuffer(count: block * 25 * 784)
    /// `[6][sample][28·28]`, then their gradients.
    let maps1 = FloatBuffer(count: block * 6 * 784)
    /// `[6][sample][14·14]`, then their gradients.
    let pooled1 = FloatBuffer(count: block * 6 * 196)
    /// `[150][sample][10·10]`, then their gradients.
    let columns2 = FloatBuffer(count: block * 150 * 100)
    /// `[16][sample][10·10]`, then their gradients.
    let maps2 = FloatBuffer(count: block * 16 * 100)
    /// `[sample][16·5·5]`, channels outermost as PyTorch flattens.
    let flat = FloatBuffer(count: block * 400)
    let flatGradient = FloatBuffer(count: block * 400)
    let hidden1 = FloatBuffer(count: block * 120)
    let hidden1Gradient = FloatBuffer(count: block * 120)
    let hidden2 = FloatBuffer(count: block * 84)
    let hidden2Gradient = FloatBuffer(count: block * 84)
    /// `[sample][10]`, then their gradients.
    let logits = FloatBuffer(count: block * 10)

    func lossAndGradient(
        _ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: [Int32],
        _ gradient: UnsafeMutablePointer<Float>
    ) -> Float {
        let scale = 1 / Float(indices.count)
        var loss = 0.0
        for layer in [Self.conv1, Self.conv2, Self.fc1, Self.fc2, Self.fc3] {
            (gradient + layer.bias).update(repeating: 0, count: layer.outputs)
        }
        for start in stride(from: 0, to: indices.count, by: Self.block) {
            let rows = min(Self.block, indices.count - start)
            forward(parameters, samples, indices[start..<start + rows])
            for row in 0..<rows {
                let label = Int(samples.labels[Int(indices[start + row])])
                loss += Kernels.crossEntropy(logits.base + row * 10, classes: 10, label: label, scale: scale)
            }
            backward(parameters, gradient, rows: rows, accumulating: start > 0)
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
                let part = Kernels.score(logits.base + row * 10, classes: 10, label: label)
                total.loss += part.loss
                total.correct += part.correct
            }
        }
        return total
    }

    /// Leaves every layer's outputs in the scratch memory.
    private func forward(
        _ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: ArraySlice<Int32>
    ) {
        precondition(samples.height == 28 && samples.width == 28 && samples.classes <= 10)
        let rows = indices.count
        samples.pixels.withUnsafeBufferPointer { source in
            for (row, index) in indices.enumerated() {
                unfoldImage(source.baseAddress! + Int(index) * 784, sample: row, samples: rows)
            }
        }
        convolve(parameters, Self.conv1, columns1, into: maps1, positions: rows * 784)
        poolMaps1(samples: rows)
        unfoldPooled(samples: rows)
        convolve(parameters, Self.conv2, columns2, into: maps2, positions: rows * 100)
        poolMaps2(samples: rows)
        dense(parameters, Self.fc1, flat, into: hidden1, rows: rows, tanh: true)
        dense(parameters, Self.fc2, hidden1, into: hidden2, rows: rows, tanh: true)
        dense(parameters, Self.fc3, hidden2, into: logits, rows: rows, tanh: false)
    }

    private func convolve(
        _ parameters: UnsafePointer<Float>, _ layer: Layer, _ columns: FloatBuffer, into maps: FloatBuffer,
        positions: Int
    ) {
        BLAS.multiply(
            .init(parameters + layer.weight, rowStride: layer.inputs),
            .init(columns.base, rowStride: positions),
            .init(rows: layer.outputs, columns: positions, inner: layer.inputs), into: maps.base)
        for channel in 0..<layer.outputs {
            Kernels.addAndTanh(
                maps.base + channel * positions, count: positions, bias: parameters[layer.bias + channel])
        }
    }

    private func dense(
        _ parameters: UnsafePointer<Float>, _ layer: Layer, _ inputs: FloatBuffer, into outputs: FloatBuffer,
        rows: Int, tanh: Bool
    ) {
        BLAS.multiply(
            .init(inputs.base, rowStride: layer.inputs),
            .init(parameters + layer.weight, rowStride: layer.inputs, transposed: true),
            .init(rows: rows, columns: layer.outputs, inner: layer.inputs), into: outputs.base)
        Kernels.addBias(
            outputs.base, rows: rows, columns: layer.outputs, bias: parameters + layer.bias, tanh: tanh)
    }
}
