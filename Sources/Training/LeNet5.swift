/// LeNet-5 on images of 28×28: two convolutions with tanh and 2×2 mean pooling, then three dense layers.
struct LeNet5: ImageNetwork {
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

    static let conv1 = Layer(after: 0, outputs: 6, inputs: 25)
    static let conv2 = Layer(after: conv1.end, outputs: 16, inputs: 150)
    static let fc1 = Layer(after: conv2.end, outputs: 120, inputs: 400)
    static let fc2 = Layer(after: fc1.end, outputs: 84, inputs: 120)
    static let fc3 = Layer(after: fc2.end, outputs: 10, inputs: 84)

    static let block = 16
    let classes = 10
    var layers: [Layer] { [Self.conv1, Self.conv2, Self.fc1, Self.fc2, Self.fc3] }

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

    func forward(
        _ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: ArraySlice<Int32>
    ) {
        precondition(samples.height == 28 && samples.width == 28 && samples.classes <= 10)
        let rows = indices.count
        samples.pixels.withUnsafeBufferPointer { source in
            for (row, index) in indices.enumerated() {
                unfoldImage(source.baseAddress! + Int(index) * 784, sample: row, samples: rows)
            }
        }
        Self.conv1.convolve(parameters, columns1, into: maps1, positions: rows * 784, .tanh)
        poolMaps1(samples: rows)
        unfoldPooled(samples: rows)
        Self.conv2.convolve(parameters, columns2, into: maps2, positions: rows * 100, .tanh)
        poolMaps2(samples: rows)
        Self.fc1.dense(parameters, flat, into: hidden1, rows: rows, .tanh)
        Self.fc2.dense(parameters, hidden1, into: hidden2, rows: rows, .tanh)
        Self.fc3.dense(parameters, hidden2, into: logits, rows: rows, .none)
    }
}
