import LCCheckpoint
import Testing
import Training

@testable import varve

/// Training goes on after a restore through lossy checkpoints as if nothing had been.
@Suite struct RestoreTests {
    private func losses(
        _ optimizer: Training.OptimizerKind, _ codec: CodecSettings, _ slots: CodecSettings
    ) throws -> RestoreExperiment.Result {
        let dataset = try loadDataset(kind: .synthetic)
        return try RestoreExperiment(
            model: try Model(kind: .mlr, for: dataset), dataset: dataset, optimizer: optimizer, codec: codec,
            slotCodec: slots, batch: 16
        ).run(at: 40, steps: 30)
    }

    private func mean(_ values: [Float]) -> Float { values.reduce(0, +) / Float(values.count) }

    @Test(arguments: [
        Training.OptimizerKind.sgd(learningRate: 0.05, momentum: 0.9), .adam(learningRate: 0.005),
        .adagrad(learningRate: 0.05),
    ]) func lossesDontJump(_ optimizer: Training.OptimizerKind) throws {
        let result = try losses(
            optimizer, CodecSettings(kind: .auto(error: 1e-3)), CodecSettings(kind: .auto(error: 1e-2)))
        let isFinite = result.restored.allSatisfy { $0.isFinite }
        #expect(isFinite)
        let (one, other) = (mean(result.undisturbed), mean(result.restored))
        #expect(abs(one - other) <= 0.02 * one, "\(one) and \(other)")
        let (first, second) = (mean(Array(result.undisturbed[..<5])), mean(Array(result.restored[..<5])))
        #expect(abs(first - second) <= 0.02 * first, "\(first) and \(second)")
        #expect(result.ratio > 4)
    }

    /// Coarse buckets overshoot below zero, and a step takes the root of what they leave.
    @Test func squaresStayUsableAlsoAfterCoarseBuckets() throws {
        for bits in [1, 2, 3] {
            let lc = CodecSettings(kind: .lc(bits: bits))
            for optimizer in [Training.OptimizerKind.adam(learningRate: 0.001), .adagrad(learningRate: 0.01)]
            {
                let result = try losses(optimizer, lc, lc)
                let isFinite = result.restored.allSatisfy { $0.isFinite }
                #expect(isFinite)
            }
        }
    }

    @Test func exactCheckpointsChangeNoBit() throws {
        let exact = CodecSettings(kind: .exact)
        let result = try losses(.adam(learningRate: 0.005), exact, exact)
        #expect(result.undisturbed == result.restored)
    }
}
