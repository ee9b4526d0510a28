/// AlexNet scaled to images of 28×28: every layer of the original with a quarter of its channels and units.
///
/// Five convolutions with rectifiers, overlapping 3×3 max pooling after the first, second and fifth, and three dense
/// layers, which hold 85 % of the 1,555,898 parameters (94 % in the original). What differs from Krizhevsky et al. (2012), "ImageNet
/// Classification with Deep Convolutional Neural Networks", and why:
/// - the first convolution is 5×5 with stride 1, as 11×11 with stride 4 would leave 7×7 of 28×28 pixels;
/// - no split over two processors, and no local response normalization, as in "One weird trick" (2014) and torchvision;
/// - no dropout: a step is a pure function of parameters and samples, so that a run ends in the same bits again;
/// - weights start uniform in ±√(6 / inputs) (He et al., 2015) and biases at 0, so that plain SGD learns.
struct AlexNet: ImageNetwork {
    static let parameters = [
        ParameterSpec(name: "conv1.weight", shape: [24, 1, 5, 5]),
        ParameterSpec(name: "conv1.bias", shape: [24]),
        ParameterSpec(name: "conv2.weight", shape: [64, 24, 5, 5]),
        ParameterSpec(name: "conv2.bias", shape: [64]),
        ParameterSpec(name: "conv3.weight", shape: [96, 64, 3, 3]),
        ParameterSpec(name: "conv3.bias", shape: [96]),
        ParameterSpec(name: "conv4.weight", shape: [96, 96, 3, 3]),
        ParameterSpec(name: "conv4.bias", shape: [96]),
        ParameterSpec(name: "conv5.weight", shape: [64, 96, 3, 3]),
        ParameterSpec(name: "conv5.bias", shape: [64]),
        ParameterSpec(name: "fc1.weight", shape: [1024, 256]),
        ParameterSpec(name: "fc1.bias", shape: [1024]),
        ParameterSpec(name: "fc2.weight", shape: [1024, 1024]),
        ParameterSpec(name: "fc2.bias", shape: [1024]),
        ParameterSpec(name: "fc3.weight", shape: [10, 1024]),
        ParameterSpec(name: "fc3.bias", shape: [10]),
    ]

    static let block = 16
    let classes = 10
    var layers: [Layer] {
        [conv1.place, conv2.place, conv3.place, conv4.place, conv5.place, Self.fc1, Self.fc2, Self.fc3]
    }
    static let fc1 = Layer(after: 232_880, outputs: 1024, inputs: 256)
    static let fc2 = Layer(after: fc1.end, outputs: 1024, inputs: 1024)
    static let fc3 = Layer(after: fc2.end, outputs: 10, inputs: 1024)

    let image = FloatBuffer(count: block * 784)
    let conv1, conv2, conv3, conv4, conv5: Convolution
    let pool1 = MaxPool(channels: 24, side: 28, block: block)
    let pool2 = MaxPool(channels: 64, side: 13, block: block)
    let pool5 = MaxPool(channels: 64, side: 6, block: block)
    /// `[sample][64·2·2]`, channels outermost as PyTorch flattens.
    let flat = FloatBuffer(count: block * 256)
    let flatGradient = FloatBuffer(count: block * 256)
    let hidden1 = FloatBuffer(count: block * 1024)
    let hidden1Gradient = FloatBuffer(count: block * 1024)
    let hidden2 = FloatBuffer(count: block * 1024)
    let hidden2Gradient = FloatBuffer(count: block * 1024)
    /// `[sample][10]`, then their gradients.
    let logits = FloatBuffer(count: block * 10)

    init() {
        let place1 = Layer(after: 0, outputs: 24, inputs: 25)
        let place2 = Layer(after: place1.end, outputs: 64, inputs: 600)
        let place3 = Layer(after: place2.end, outputs: 96, inputs: 576)
        let place4 = Layer(after: place3.end, outputs: 96, inputs: 864)
        let place5 = Layer(after: place4.end, outputs: 64, inputs: 864)
        precondition(place5.end == Self.fc1.bias)
        conv1 = Convolution(place1, kernel: 5, side: 28, block: Self.block)
        conv2 = Convolution(place2, kernel: 5, side: 13, block: Self.block)
        conv3 = Convolution(place3, kernel: 3, side: 6, block: Self.block)
        conv4 = Convolution(place4, kernel: 3, side: 6, block: Self.block)
        conv5 = Convolution(place5, kernel: 3, side: 6, block: Self.block)
    }

    func forward(
        _ parameters: UnsafePointer<Float>, _ samples: ImageSamples, _ indices: ArraySlice<Int32>
    ) {
        precondition(samples.height == 28 && samples.width == 28 && samples.classes <= 10)
        let rows = indices.count
        samples.pixels.withUnsafeBufferPointer { source in
            for (row, index) in indices.enumerated() {
                let (from, to) = (source.baseAddress! + Int(index) * 784, image.base + row * 784)
                for pixel in 0..<784 { to[pixel] = Float(from[pixel]) * (1 / 255) }
            }
        }
        conv1.forward(parameters, image, samples: rows)
        pool1.forward(conv1.maps, samples: rows)
        conv2.forward(parameters, pool1.values, samples: rows)
        pool2.forward(conv2.maps, samples: rows)
        conv3.forward(parameters, pool2.values, samples: rows)
        conv4.forward(parameters, conv3.maps, samples: rows)
        conv5.forward(parameters, conv4.maps, samples: rows)
        pool5.forward(conv5.maps, samples: rows)
        for channel in 0..<64 {
            for row in 0..<rows {
                let (from, to) = (
                    pool5.values.base + (channel * rows + row) * 4, flat.base + row * 256 + channel * 4
                )
                for place in 0..<4 { to[place] = from[place] }
            }
        }
        Self.fc1.dense(parameters, flat, into: hidden1, rows: rows, .relu)
        Self.fc2.dense(parameters, hidden1, into: hidden2, rows: rows, .relu)
        Self.fc3.dense(parameters, hidden2, into: logits, rows: rows, .none)
    }

    func backward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>, rows: Int,
        accumulating: Bool
    ) {
        Self.fc3.denseBackward(
            parameters, gradient, hidden2, logits, into: hidden2Gradient, rows: rows,
            accumulating: accumulating)
        Kernels.throughRelu(hidden2Gradient.base, outputs: hidden2.base, count: rows * 1024)
        Self.fc2.denseBackward(
            parameters, gradient, hidden1, hidden2Gradient, into: hidden1Gradient, rows: rows,
            accumulating: accumulating)
        Kernels.throughRelu(hidden1Gradient.base, outputs: hidden1.base, count: rows * 1024)
        Self.fc1.denseBackward(
            parameters, gradient, flat, hidden1Gradient, into: flatGradient, rows: rows,
            accumulating: accumulating)
        for channel in 0..<64 {
            for row in 0..<rows {
                let (from, to) = (
                    flatGradient.base + row * 256 + channel * 4,
                    pool5.gradient.base + (channel * rows + row) * 4
                )
                for place in 0..<4 { to[place] = from[place] }
            }
        }
        func through(_ convolution: Convolution, into imagesGradient: FloatBuffer?) {
            convolution.backward(
                parameters, gradient, into: imagesGradient, samples: rows, accumulating: accumulating)
        }
        pool5.backward(conv5.maps, into: conv5.mapsGradient, samples: rows)
        through(conv5, into: conv4.mapsGradient)
        through(conv4, into: conv3.mapsGradient)
        through(conv3, into: pool2.gradient)
        pool2.backward(conv2.maps, into: conv2.mapsGradient, samples: rows)
        through(conv2, into: pool1.gradient)
        pool1.backward(conv1.maps, into: conv1.mapsGradient, samples: rows)
        through(conv1, into: nil)
    }
}
