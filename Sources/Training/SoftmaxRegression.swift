/// One dense layer and softmax: `linear.bias` then `linear.weight` in the flat vector.
struct SoftmaxRegression: ImageNetwork {
    let inputs: Int
    let classes: Int
    var layers: [Layer] { [place] }
    private let place: Layer
    private let pixels: FloatBuffer
    let logits: FloatBuffer
    /// Samples computed at once: enough for large products, few enough for the second-level cache.
    static let block = 64

    init(inputs: Int, classes: Int) {
        self.inputs = inputs
        self.classes = classes
        place = Layer(after: 0, outputs: classes, inputs: inputs)
        pixels = FloatBuffer(count: Self.block * inputs)
        logits = FloatBuffer(count: Self.block * classes)
    }

    func backward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>, rows: Int,
        accumulating: Bool
    ) {
        place.parameterGradient(gradient, pixels, logits, rows: rows, accumulating: accumulating)
    }

    func forward(
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
        place.dense(parameters, pixels, into: logits, rows: indices.count, .none)
    }
}
