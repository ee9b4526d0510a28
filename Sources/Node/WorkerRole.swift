import Foundation
import Logging
import MachineCore
import Training
import Wire
import WorkerLogic

/// The gradients of a worker.
private struct WorkerEngine: Engine {
    let model: Model
    let samples: Samples
    let sampler: Sampler
    let slot: Int
    var parameters: [Float]
    var hasUsualSlices = false

    mutating func perform(_ action: WorkerMachine.Action) -> WorkerMachine.Completion? {
        switch action {
        case .compute(let line, let clock, let slices):
            if !hasUsualSlices { TimeSlices.preferUsual() }
            hasUsualSlices = true
            var offset = 0
            parameters.withUnsafeMutableBytes { target in
                for slice in slices {
                    slice.withBytes { target[offset..<offset + $0.count].copyBytes(from: $0) }
                    offset += slice.count
                }
            }
            let batch = Batch(samples, indices: sampler.indices(slot: slot, clock: clock))
            var loss: Float = 0
            let gradient = Payload(count: parameters.count * 4) { raw in
                loss = parameters.withUnsafeBufferPointer {
                    model.lossAndGradient(
                        parameters: $0, batch: batch, gradient: raw.bindMemory(to: Float.self))
                }
            }
            return .computed(line: line, clock: clock, loss: loss, gradient: gradient)
        }
    }
}

/// Trains in one slot until the process is stopped or replaced. Blocks.
///
/// - Throws: `DataError` when the data set is missing, malformed or unsuitable.
public func runWorker(_ place: Place, plan: RunPlan, log: Logger, stop: StopSignal) throws -> RoleEnd {
    let dataset = try loadDataset(kind: plan.data, path: plan.dataPath, parts: .training)
    let sampler = try Sampler(
        sampleCount: dataset.training.count, workers: plan.settings.workers, batch: plan.batch,
        seed: plan.seed)
    let machine = WorkerMachine(
        membership: Membership(
            identity: place.identity, view: place.view, heartbeatInterval: plan.settings.heartbeat),
        settings: plan.settings, elements: plan.elements)
    let slot = place.identity.node.index
    return try place.run(machine, log: log, stop: stop) {
        WorkerEngine(
            model: Model(plan.shape), samples: dataset.training, sampler: sampler, slot: slot,
            parameters: [Float](repeating: 0, count: plan.elements))
    }
}
