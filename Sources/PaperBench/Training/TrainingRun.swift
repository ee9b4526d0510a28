import ParameterState
import Training
import Wire

/// A run at one point: copy it, and both copies go on by themselves.
///
/// The arithmetic is that of a shard; a step is element-wise, so whole vectors give the bits that slices give.
struct TrainingRun: Sendable {
    let subject: Subject
    /// The steps done, by which samples are drawn and the optimizer counts.
    private(set) var clock: UInt64
    private(set) var parameters: [Float]
    private(set) var slots: [[Float]]

    /// At step 0, with the initial parameters of the subject's seed.
    init(_ subject: Subject) {
        self.subject = subject
        clock = 0
        parameters = subject.model.initialParameters(seed: subject.seed)
        slots = subject.workload.optimizer.slotNames.map { _ in
            [Float](repeating: 0, count: subject.model.parameterCount)
        }
    }

    /// Bytes of the whole state, slots included.
    var stateBytes: Int { 4 * parameters.count * (1 + slots.count) }

    /// Puts a shard's live sections in the place of what is here, and sets the clock.
    mutating func adopt(_ shard: ShardState, clock: UInt64) {
        self.clock = clock
        shard.withLive { sections in
            parameters.replaceSubrange(shard.range, with: sections[0])
            for index in slots.indices {
                slots[index].replaceSubrange(shard.range, with: sections[index + 1])
            }
        }
    }

    /// The gradient of the next step, as the workers would send it.
    func gradient() -> Payload {
        let batch = Batch(
            subject.dataset.training, indices: subject.sampler.indices(slot: 0, clock: clock))
        return Payload(count: parameters.count * 4) { bytes in
            parameters.withUnsafeBufferPointer {
                _ = subject.model.lossAndGradient(
                    parameters: $0, batch: batch, gradient: bytes.bindMemory(to: Float.self))
            }
        }
    }

    /// Takes one step with a gradient that `gradient()` gave.
    mutating func apply(_ gradient: Payload) {
        clock += 1
        let (optimizer, step, count) = (subject.workload.optimizer, clock, parameters.count)
        parameters.withUnsafeMutableBufferPointer { parameters in
            withSlots(&slots) { slots in
                gradient.withFloats { values in
                    optimizer.apply(
                        parameters: parameters, slots: slots,
                        gradient: UnsafeBufferPointer(rebasing: values[..<count]), step: step)
                }
            }
        }
    }

    mutating func step() { apply(gradient()) }

    /// The mean loss on the subject's fixed samples.
    func loss() -> Double {
        parameters.withUnsafeBufferPointer {
            subject.model.evaluate(parameters: $0, samples: subject.evaluation).loss
        }
    }

    /// Loss and quality on the held-out part.
    func evaluation() -> Evaluation {
        parameters.withUnsafeBufferPointer {
            subject.model.evaluate(parameters: $0, dataset: subject.dataset)
        }
    }
}

private func withSlots(
    _ slots: inout [[Float]], _ body: ([UnsafeMutableBufferPointer<Float>]) -> Void
) {
    switch slots.count {
    case 0: body([])
    case 1: slots[0].withUnsafeMutableBufferPointer { body([$0]) }
    default:
        var first = slots[0]
        var second = slots[1]
        slots = []
        first.withUnsafeMutableBufferPointer { one in
            second.withUnsafeMutableBufferPointer { two in body([one, two]) }
        }
        slots = [first, second]
    }
}
