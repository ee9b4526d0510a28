import Testing

@testable import Training

/// Compares analytic gradients with central differences of the loss.
@Suite struct ModelTests {
    private func checkGradient(_ model: Model, _ batch: Batch, tolerance: Float, places: Int = 60) {
        var parameters = model.initialParameters(seed: 3)
        var gradient = [Float](repeating: .nan, count: model.parameterCount)
        var scratch = gradient
        func loss(_ into: inout [Float]) -> Float {
            parameters.withUnsafeBufferPointer { p in
                into.withUnsafeMutableBufferPointer { g in
                    model.lossAndGradient(parameters: p, batch: batch, gradient: g)
                }
            }
        }
        _ = loss(&gradient)
        #expect(gradient.allSatisfy { $0.isFinite })
        let largest = gradient.map { abs($0) }.max() ?? 0
        // A few places of every tensor, the steepest ones, where rounding disturbs the differences least.
        var offset = 0
        for spec in model.parameters {
            let range = offset..<offset + spec.count
            offset += spec.count
            for place in steepest(places / 10, of: gradient, in: range) {
                let (old, step) = (parameters[place], Float(0.01))
                parameters[place] = old + step
                let above = loss(&scratch)
                parameters[place] = old - step
                let below = loss(&scratch)
                parameters[place] = old
                let slope = (above - below) / (2 * step)
                #expect(
                    abs(slope - gradient[place]) < tolerance * (abs(slope) + 0.05 * largest) + 1e-4,
                    "\(spec.name) at \(place): \(slope) against \(gradient[place])")
            }
        }
    }

    /// The places of the largest slopes, largest first.
    private func steepest(_ count: Int, of gradient: [Float], in range: Range<Int>) -> [Int] {
        var places: [Int] = []
        gradient.withUnsafeBufferPointer { gradient in
            for place in range {
                if places.count == count, abs(gradient[place]) <= abs(gradient[places[count - 1]]) {
                    continue
                }
                let position = places.firstIndex { abs(gradient[$0]) < abs(gradient[place]) } ?? places.count
                places.insert(place, at: position)
                if places.count > count { places.removeLast() }
            }
        }
        return places
    }

    private func images() throws -> Samples { try loadDataset(kind: .synthetic).training }

    @Test func softmaxRegressionGradient() throws {
        let model = Model(.mlr(inputs: 784, classes: 10))
        #expect(model.parameters.map(\.name) == ["linear.bias", "linear.weight"])
        try checkGradient(model, Batch(images(), indices: [0, 5, 9]), tolerance: 0.02)
    }

    @Test func leNet5Gradient() throws {
        let model = Model(.lenet5)
        #expect(model.parameterCount == 61_706)
        // More samples than a block, so that gradients of blocks add up.
        try checkGradient(model, Batch(images(), indices: (0..<19).map { $0 }), tolerance: 0.02)
    }

    @Test func alexNetGradient() throws {
        let model = Model(.alexnet)
        #expect(model.parameterCount == 1_555_898)
        // More samples than a block; a rectifier or a window's largest that changes within a step blurs the difference.
        try checkGradient(model, Batch(images(), indices: (0..<17).map { $0 }), tolerance: 0.05, places: 10)
    }

    @Test func alexNetLearns() throws {
        let (dataset, model) = (try loadDataset(kind: .synthetic), Model(.alexnet))
        var trainer = try LocalTrainer(
            model: model, dataset: dataset, optimizer: .sgd(learningRate: 0.02, momentum: 0.9), workers: 1,
            batch: 16, seed: 1)
        let (first, last) = (trainer.run(steps: 1), trainer.run(steps: 25))
        #expect(last.finalLoss < first.finalLoss / 2, "\(first.finalLoss) → \(last.finalLoss)")
    }

    @Test func factorizationGradient() {
        let model = Model(.mf(users: 4, items: 3, rank: 5, mean: 3, regularization: 0))
        let samples = Samples.ratings(
            RatingSamples(users: [0, 3, 0, 2], items: [2, 1, 0, 2], ratings: [4, 1, 5, 3]))
        checkGradient(model, Batch(samples, indices: [0, 1, 2, 3, 0]), tolerance: 0.02)
    }

    @Test func gradientOfABatchIsTheMeanOfItsParts() throws {
        let model = Model(.lenet5)
        let (parameters, samples) = (model.initialParameters(seed: 1), try images())
        func gradient(_ indices: [Int32]) -> [Float] {
            var result = [Float](repeating: 7, count: model.parameterCount)
            parameters.withUnsafeBufferPointer { p in
                result.withUnsafeMutableBufferPointer { g in
                    _ = model.lossAndGradient(
                        parameters: p, batch: Batch(samples, indices: indices), gradient: g)
                }
            }
            return result
        }
        let (whole, left, right) = (gradient([1, 2, 3, 4]), gradient([1, 2]), gradient([3, 4]))
        for i in 0..<whole.count { #expect(abs(whole[i] - (left[i] + right[i]) / 2) < 1e-5) }
        #expect(gradient([1, 2, 3, 4]) == whole)
    }

    @Test func tanhIsAccurate() {
        for step in -12_000...12_000 {
            let x = Float(step) / 1000
            let exact = tanhReference(Double(x))
            let error = abs(Double(Kernels.tanh(x)) - exact)
            #expect(error <= 3e-7 * abs(exact) || x == 0)
        }
        #expect(Kernels.tanh(0) == 0 && Kernels.tanh(50) == 1 && Kernels.tanh(-50) == -1)
        #expect(abs(Kernels.tanh(1e-6) / 1e-6 - 1) < 3e-7)
    }

    @Test func wrongDataIsRefused() throws {
        let ratings = try loadDataset(kind: .syntheticRatings)
        #expect(throws: DataError.self) { try Model(kind: .lenet5, for: ratings) }
        let images = try loadDataset(kind: .synthetic)
        #expect(throws: DataError.self) { try Model(kind: .mf, for: images) }
    }
}
