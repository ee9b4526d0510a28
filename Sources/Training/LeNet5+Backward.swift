extension LeNet5 {
    /// From the gradient of the logits to the gradient of every parameter.
    ///
    /// Weights are overwritten, or added to when `accumulating`; biases are always added to. Outputs of `forward` are
    /// consumed: the maps and columns become their own gradients.
    func backward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>, rows: Int,
        accumulating: Bool
    ) {
        denseBackward(
            parameters, gradient, Self.fc3, hidden2, logits, into: hidden2Gradient, rows: rows,
            accumulating: accumulating)
        Kernels.throughTanh(hidden2Gradient.base, outputs: hidden2.base, count: rows * 84)
        denseBackward(
            parameters, gradient, Self.fc2, hidden1, hidden2Gradient, into: hidden1Gradient, rows: rows,
            accumulating: accumulating)
        Kernels.throughTanh(hidden1Gradient.base, outputs: hidden1.base, count: rows * 120)
        denseBackward(
            parameters, gradient, Self.fc1, flat, hidden1Gradient, into: flatGradient, rows: rows,
            accumulating: accumulating)
        unpoolMaps2(samples: rows)
        convolutionGradient(
            gradient, Self.conv2, columns2, maps2, positions: rows * 100, accumulating: accumulating)
        BLAS.multiply(
            .init(parameters + Self.conv2.weight, rowStride: 150, transposed: true),
            .init(maps2.base, rowStride: rows * 100),
            .init(rows: 150, columns: rows * 100, inner: 16), into: columns2.base)
        foldPooled(samples: rows)
        unpoolMaps1(samples: rows)
        convolutionGradient(
            gradient, Self.conv1, columns1, maps1, positions: rows * 784, accumulating: accumulating)
    }

    /// The gradients of a dense layer's parameters and, into `inputGradient`, of its inputs.
    private func denseBackward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>, _ layer: Layer,
        _ inputs: FloatBuffer, _ outputGradient: FloatBuffer, into inputGradient: FloatBuffer, rows: Int,
        accumulating: Bool
    ) {
        BLAS.multiply(
            .init(outputGradient.base, rowStride: layer.outputs, transposed: true),
            .init(inputs.base, rowStride: layer.inputs),
            .init(rows: layer.outputs, columns: layer.inputs, inner: rows), into: gradient + layer.weight,
            accumulating: accumulating)
        Kernels.addColumnSums(
            outputGradient.base, rows: rows, columns: layer.outputs, to: gradient + layer.bias)
        BLAS.multiply(
            .init(outputGradient.base, rowStride: layer.outputs),
            .init(parameters + layer.weight, rowStride: layer.inputs),
            .init(rows: rows, columns: layer.inputs, inner: layer.outputs), into: inputGradient.base)
    }

    /// The gradients of a convolution's parameters from the gradient of its maps.
    private func convolutionGradient(
        _ gradient: UnsafeMutablePointer<Float>, _ layer: Layer, _ columns: FloatBuffer, _ maps: FloatBuffer,
        positions: Int, accumulating: Bool
    ) {
        BLAS.multiply(
            .init(maps.base, rowStride: positions),
            .init(columns.base, rowStride: positions, transposed: true),
            .init(rows: layer.outputs, columns: layer.inputs, inner: positions),
            into: gradient + layer.weight,
            accumulating: accumulating)
        for channel in 0..<layer.outputs {
            gradient[layer.bias + channel] += Kernels.sum(maps.base + channel * positions, count: positions)
        }
    }
}
