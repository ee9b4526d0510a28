import Foundation
import LCCheckpoint
import Logging
import MachineCore
import ParameterState
import ShardLogic
import Training
import Wire

/// The arithmetic of a shard.
private struct ShardEngine: Engine {
    let state: ShardState
    let plan: RunPlan

    mutating func perform(_ action: ShardMachine.Action) -> ShardMachine.Completion? {
        switch action {
        case .initialize(let line):
            let all = Model(plan.shape).initialParameters(seed: plan.seed)
            all.withUnsafeBufferPointer { state.initialize(UnsafeBufferPointer(rebasing: $0[state.range])) }
            return .initialized(line: line, parameters: state.parameters)
        case .apply(let version, let gradients):
            return .applied(version: version, parameters: state.apply(version: version, gradients: gradients))
        case .encode(let step, let asBase):
            do {
                let (frame, part) = try state.encode(step: step, asBase: asBase)
                return .encoded(part, frame: Payload(frame.bytes))
            } catch {
                // Only sizes could be wrong here, and they are ours.
                preconditionFailure("a state that can't be encoded: \(error)")
            }
        case .restore(let link): return restore(link)
        }
    }

    /// Up to a million bytes or so, arithmetic is quicker than another thread wakes up.
    func isBrief(_ action: ShardMachine.Action) -> Bool {
        switch action {
        case .apply, .encode: state.range.count <= 1 << 18
        case .initialize, .restore: false
        }
    }

    private func restore(_ link: ShardMachine.ChainLink) -> ShardMachine.Completion {
        func failed(_ reason: String, isLoss: Bool = true) -> ShardMachine.Completion {
            .restoreFailed(line: link.line, reason: reason, isLoss: isLoss)
        }
        do {
            var offset = 0
            for (index, part) in link.parts.enumerated() {
                let count = Int(part.encodedBytes)
                try link.frames.slice(offset..<offset + count).withBytes {
                    try state.restoreFrame($0, isFirst: link.isFirst && index == 0)
                }
                guard state.reconstructionDigest?.description == part.stateDigest else {
                    return failed("step \(part.step) leads to another digest than stated")
                }
                offset += count
            }
        } catch let error as CodecError where error.kind == .layoutMismatch {
            // It is whole, and not of this configuration: no reason to give a checkpoint up.
            return failed("\(error)", isLoss: false)
        } catch { return failed("\(error)") }
        guard let last = link.parts.last else { return failed("an empty chain") }
        guard link.isLast else { return .linkRestored(line: link.line, step: last.step) }
        guard state.reconstructionDigest?.description == link.stateDigest else {
            return failed("the chain does not lead to the digest of the manifest")
        }
        let parameters = state.adoptReconstruction(version: link.resumeVersion)
        return .restored(
            line: link.line, step: last.step, stateDigest: link.stateDigest, parameters: parameters)
    }
}

/// Serves a slice of the model until the process is stopped or replaced. Blocks.
public func runShard(_ place: Place, plan: RunPlan, log: Logger, stop: StopSignal) throws -> RoleEnd {
    let shard = place.identity.node.index
    let machine = ShardMachine(
        membership: Membership(
            identity: place.identity, view: place.view, heartbeatInterval: plan.settings.heartbeat),
        settings: plan.settings, elements: plan.range(ofShard: shard).count)
    return try place.run(machine, log: log, stop: stop) {
        ShardEngine(state: plan.makeShardState(shard), plan: plan)
    }
}
