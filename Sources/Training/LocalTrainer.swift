/// Trains in one process without a parameter server: the yardstick of benchmarks and the oracle of the cluster.
///
/// With `workers: n` a step is exactly what n workers under bsp compute: each slot's gradient at the same parameters,
/// summed in slot order, times `1/n`, then one optimizer step. The bits are those of the cluster on the same machine.
public struct LocalTrainer: Sendable {
    /// What a stretch of training came to.
    public struct Report: Sendable, Hashable {
        public let steps: UInt64
        /// Wall time divided by all samples of all workers.
        public let secondsPerSample: Double
        /// The mean loss of the last step over all workers, before its update; 0 after no steps.
        public let finalLoss: Float
    }

    public let model: Model
    public let dataset: Dataset
    public let optimizer: OptimizerKind
    public let sampler: Sampler
    /// The steps done, which is the clock of the next one.
    public private(set) var clock: UInt64 = 0
    /// The flat vector.
    public private(set) var parameters: [Float]
    /// The optimizer's vectors end to end.
    private var flatSlots: [Float]
    /// The gradients of the worker slots end to end.
    private var gradients: [Float]

    /// A trainer at step 0 with the initial parameters of `seed`.
    ///
    /// - Parameters:
    ///   - batch: Samples per worker and step.
    /// - Throws: `DataError.unsuitable` when the data set is too small for one step.
    public init(
        model: Model, dataset: Dataset, optimizer: OptimizerKind, workers: Int = 1, batch: Int, seed: UInt64
    ) throws(DataError) {
        self.model = model
        self.dataset = dataset
        self.optimizer = optimizer
        sampler = try Sampler(sampleCount: dataset.training.count, workers: workers, batch: batch, seed: seed)
        parameters = model.initialParameters(seed: seed)
        flatSlots = [Float](repeating: 0, count: optimizer.slotNames.count * model.parameterCount)
        gradients = [Float](repeating: 0, count: workers * model.parameterCount)
    }

    /// The optimizer's vectors, in the order of `OptimizerKind.slotNames`.
    public var slots: [[Float]] {
        (0..<optimizer.slotNames.count).map {
            Array(flatSlots[$0 * parameters.count..<($0 + 1) * parameters.count])
        }
    }

    /// Does one step and returns the mean loss over all workers before the update.
    @discardableResult
    public mutating func step() -> Float {
        let samples = dataset.training
        let batches = (0..<sampler.workers).map { slot in
            Batch(samples, indices: sampler.indices(slot: slot, clock: clock))
        }
        let (model, count) = (model, parameters.count)
        var loss: Float = 0
        gradients.withUnsafeMutableBufferPointer { gradients in
            parameters.withUnsafeBufferPointer { parameters in
                for (slot, batch) in batches.enumerated() {
                    let gradient = UnsafeMutableBufferPointer(
                        rebasing: gradients[slot * count..<(slot + 1) * count])
                    loss += model.lossAndGradient(
                        parameters: parameters, batch: batch, gradient: gradient, content: .recycled)
                }
            }
        }
        clock += 1
        update()
        gradients.withUnsafeMutableBufferPointer { gradients in
            for (slot, batch) in batches.enumerated() {
                let gradient = UnsafeMutableBufferPointer(
                    rebasing: gradients[slot * count..<(slot + 1) * count])
                // The first gradient was overwritten by the sum of all.
                for touched in slot == 0 ? batches : [batch] { model.recycle(gradient, after: touched) }
            }
        }
        return loss / Float(sampler.workers)
    }

    /// Trains for a number of steps.
    public mutating func run(steps: UInt64) -> Report {
        let start = ContinuousClock.now
        var loss: Float = 0
        for _ in 0..<steps { loss = step() }
        let elapsed = (ContinuousClock.now - start).components
        let seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18
        let samples = Double(steps) * Double(sampler.workers * sampler.batch)
        return Report(steps: steps, secondsPerSample: seconds / max(samples, 1), finalLoss: loss)
    }

    /// Loss and quality on the held-out part.
    public func evaluate() -> Evaluation {
        parameters.withUnsafeBufferPointer { model.evaluate(parameters: $0, dataset: dataset) }
    }

    /// The mean gradient into the first worker's, then the optimizer.
    private mutating func update() {
        let (count, workers, step) = (parameters.count, sampler.workers, clock)
        let (optimizer, slotCount) = (optimizer, optimizer.slotNames.count)
        gradients.withUnsafeMutableBufferPointer { gradients in
            let parts = (0..<workers).map {
                UnsafeMutableBufferPointer(rebasing: gradients[$0 * count..<($0 + 1) * count])
            }
            if workers > 1 {
                sumGradients(parts.map { UnsafeBufferPointer($0) }, scale: 1 / Float(workers), into: parts[0])
            }
            parameters.withUnsafeMutableBufferPointer { parameters in
                flatSlots.withUnsafeMutableBufferPointer { flat in
                    let slots = (0..<slotCount).map {
                        UnsafeMutableBufferPointer(rebasing: flat[$0 * count..<($0 + 1) * count])
                    }
                    optimizer.apply(
                        parameters: parameters, slots: slots, gradient: UnsafeBufferPointer(parts[0]),
                        step: step)
                }
            }
        }
    }
}
