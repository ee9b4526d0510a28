import Testing

@testable import Training

@Suite struct LocalTrainerTests {
    private func trainer(
        _ kind: ModelKind, _ data: DataKind, _ optimizer: OptimizerKind, workers: Int = 2
    ) throws -> LocalTrainer {
        let dataset = try loadDataset(kind: data)
        let model = try Model(kind: kind, for: dataset)
        return try LocalTrainer(
            model: model, dataset: dataset, optimizer: optimizer, workers: workers, batch: 32, seed: 1)
    }

    @Test func softmaxRegressionLearns() throws {
        var trainer = try trainer(.mlr, .synthetic, .sgd(learningRate: 0.05))
        _ = trainer.run(steps: 30)
        guard case .accuracy(let accuracy) = trainer.evaluate().quality else { throw FolderError() }
        #expect(accuracy > 0.9)
    }

    @Test func factorizationLearns() throws {
        var trainer = try trainer(.mf, .syntheticRatings, .adam(learningRate: 0.02))
        let before = trainer.evaluate().loss
        _ = trainer.run(steps: 600)
        #expect(trainer.evaluate().loss < 0.8 * before)
    }

    @Test func runsGiveTheSameBits() throws {
        var one = try trainer(.lenet5, .synthetic, .sgd(learningRate: 0.05, momentum: 0.9))
        var other = try trainer(.lenet5, .synthetic, .sgd(learningRate: 0.05, momentum: 0.9))
        for _ in 0..<3 { #expect(one.step() == other.step()) }
        #expect(one.parameters == other.parameters && one.slots == other.slots)
    }

    /// Recycled gradient buffers must give what fresh ones give.
    @Test func sparseGradientsAreCleared() throws {
        var trainer = try trainer(.mf, .syntheticRatings, .sgd(learningRate: 1), workers: 3)
        var parameters = trainer.parameters
        let (model, samples) = (trainer.model, trainer.dataset.training)
        for clock in 0..<4 {
            trainer.step()
            let old = parameters
            let gradients = (0..<3).map { slot in
                var gradient = [Float](repeating: .nan, count: parameters.count)
                let batch = Batch(samples, indices: trainer.sampler.indices(slot: slot, clock: UInt64(clock)))
                old.withUnsafeBufferPointer { p in
                    gradient.withUnsafeMutableBufferPointer { g in
                        _ = model.lossAndGradient(parameters: p, batch: batch, gradient: g)
                    }
                }
                return gradient
            }
            for i in parameters.indices {
                parameters[i] -= ((gradients[0][i] + gradients[1][i]) + gradients[2][i]) * (1 / Float(3))
            }
        }
        #expect(trainer.parameters == parameters)
    }

    static let hasFashionMNIST = FileBytes.sort(of: "/usr/share/datasets/fashion-mnist") == .folder

    @Test(.enabled(if: hasFashionMNIST)) func leNet5LearnsFashionMNIST() throws {
        var trainer = try trainer(.lenet5, .fashionMNIST, .sgd(learningRate: 0.1, momentum: 0.9))
        var losses: [Float] = []
        for _ in 0..<60 { losses.append(trainer.step()) }
        #expect(losses.suffix(10).reduce(0, +) / 10 < 1.2)
    }
}
