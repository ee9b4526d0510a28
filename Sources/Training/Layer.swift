/// What is done to the sums of a layer.
enum Activation {
    case none
    case tanh
    case relu
}

/// Where a layer lies in the flat vector, the bias and then the weight, and its products.
///
/// Dense activations are `[sample][unit]`. Those of convolutions are `[channel][sample][row][column]`, which makes a
/// convolution one product of `[out, in·k·k]` with the unfolded images `[in·k·k, sample·row·column]`.
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

    func dense(
        _ parameters: UnsafePointer<Float>, _ values: FloatBuffer, into results: FloatBuffer, rows: Int,
        _ activation: Activation
    ) {
        BLAS.multiply(
            .init(values.base, rowStride: inputs),
            .init(parameters + weight, rowStride: inputs, transposed: true),
            .init(rows: rows, columns: outputs, inner: inputs), into: results.base)
        Kernels.addBias(
            results.base, rows: rows, columns: outputs, bias: parameters + bias, activation)
    }

    func convolve(
        _ parameters: UnsafePointer<Float>, _ columns: FloatBuffer, into maps: FloatBuffer, positions: Int,
        _ activation: Activation
    ) {
        BLAS.multiply(
            .init(parameters + weight, rowStride: inputs),
            .init(columns.base, rowStride: positions),
            .init(rows: outputs, columns: positions, inner: inputs), into: maps.base)
        for channel in 0..<outputs {
            Kernels.addBias(
                maps.base + channel * positions, count: positions, bias: parameters[bias + channel],
                activation)
        }
    }

    /// The gradients of a dense layer's parameters from that of its results.
    ///
    /// The weight's is overwritten, or added to when `accumulating`; the bias's is always added to.
    func parameterGradient(
        _ gradient: UnsafeMutablePointer<Float>, _ values: FloatBuffer, _ resultGradient: FloatBuffer,
        rows: Int, accumulating: Bool
    ) {
        BLAS.multiply(
            .init(resultGradient.base, rowStride: outputs, transposed: true),
            .init(values.base, rowStride: inputs),
            .init(rows: outputs, columns: inputs, inner: rows), into: gradient + weight,
            accumulating: accumulating)
        Kernels.addColumnSums(resultGradient.base, rows: rows, columns: outputs, to: gradient + bias)
    }

    /// As `parameterGradient`, and the gradient of the layer's inputs into `valueGradient`.
    func denseBackward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>, _ values: FloatBuffer,
        _ resultGradient: FloatBuffer, into valueGradient: FloatBuffer, rows: Int, accumulating: Bool
    ) {
        parameterGradient(gradient, values, resultGradient, rows: rows, accumulating: accumulating)
        BLAS.multiply(
            .init(resultGradient.base, rowStride: outputs),
            .init(parameters + weight, rowStride: inputs),
            .init(rows: rows, columns: inputs, inner: outputs), into: valueGradient.base)
    }

    /// The gradients of a convolution's parameters from the gradient of its maps, as `parameterGradient`.
    func convolutionGradient(
        _ gradient: UnsafeMutablePointer<Float>, _ columns: FloatBuffer, _ maps: FloatBuffer,
        positions: Int, accumulating: Bool
    ) {
        BLAS.multiply(
            .init(maps.base, rowStride: positions),
            .init(columns.base, rowStride: positions, transposed: true),
            .init(rows: outputs, columns: inputs, inner: positions), into: gradient + weight,
            accumulating: accumulating)
        for channel in 0..<outputs {
            gradient[bias + channel] += Kernels.sum(maps.base + channel * positions, count: positions)
        }
    }

    /// The gradient of a convolution's unfolded inputs, which may take the place of `columns`.
    func columnGradient(
        _ parameters: UnsafePointer<Float>, _ maps: FloatBuffer, into columns: FloatBuffer, positions: Int
    ) {
        BLAS.multiply(
            .init(parameters + weight, rowStride: inputs, transposed: true),
            .init(maps.base, rowStride: positions),
            .init(rows: inputs, columns: positions, inner: outputs), into: columns.base)
    }
}
