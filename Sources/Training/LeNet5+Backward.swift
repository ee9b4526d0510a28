extension LeNet5 {
    /// The maps and columns become their own gradients.
    func backward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>, rows: Int,
        accumulating: Bool
    ) {
        Self.fc3.denseBackward(
            parameters, gradient, hidden2, logits, into: hidden2Gradient, rows: rows,
            accumulating: accumulating)
        Kernels.throughTanh(hidden2Gradient.base, outputs: hidden2.base, count: rows * 84)
        Self.fc2.denseBackward(
            parameters, gradient, hidden1, hidden2Gradient, into: hidden1Gradient, rows: rows,
            accumulating: accumulating)
        Kernels.throughTanh(hidden1Gradient.base, outputs: hidden1.base, count: rows * 120)
        Self.fc1.denseBackward(
            parameters, gradient, flat, hidden1Gradient, into: flatGradient, rows: rows,
            accumulating: accumulating)
        unpoolMaps2(samples: rows)
        Self.conv2.convolutionGradient(
            gradient, columns2, maps2, positions: rows * 100, accumulating: accumulating)
        Self.conv2.columnGradient(parameters, maps2, into: columns2, positions: rows * 100)
        foldPooled(samples: rows)
        unpoolMaps1(samples: rows)
        Self.conv1.convolutionGradient(
            gradient, columns1, maps1, positions: rows * 784, accumulating: accumulating)
    }
}
