import LCCheckpoint
import ParameterState
import Testing
import Training

@testable import PaperBench

@Suite struct FollowerTests {
    private func workload(_ optimizer: Training.OptimizerKind) -> Workload {
        Workload(
            name: "mlr", model: .mlr, data: .synthetic, optimizer: optimizer, batch: 8, evaluationSamples: 20,
            block: 8)
    }

    /// A run of some steps with a policy beside it.
    private func trained(
        _ policy: Policy, _ optimizer: Training.OptimizerKind = .sgd(learningRate: 0.1), steps: Int
    ) throws -> (run: TrainingRun, follower: Follower) {
        var run = TrainingRun(try Subject(workload(optimizer), seed: 3))
        let follower = try Follower(policy, shards: 4, following: run)
        for _ in 0..<steps {
            let gradient = run.gradient()
            run.apply(gradient)
            try follower.follow(gradient, step: run.clock)
        }
        return (run, follower)
    }

    @Test(arguments: [
        Training.OptimizerKind.sgd(learningRate: 0.1), .sgd(learningRate: 0.1, momentum: 0.9),
        .adam(learningRate: 0.01),
    ]) func exactCheckpointsGiveTheRunBack(_ optimizer: Training.OptimizerKind) throws {
        var (run, follower) = try trained(Policy(name: "exact", kind: .exact(every: 1)), optimizer, steps: 6)
        let before = run
        try follower.restart(&run)
        #expect(run.clock == 6)
        #expect(run.parameters == before.parameters)
        #expect(run.slots == before.slots)
        let largest = follower.errors.max()
        #expect(largest == 0)
    }

    @Test func fullGoesBackToItsLastCheckpoint() throws {
        let (run, follower) = try trained(Policy(name: "full", kind: .full(every: 4)), steps: 6)
        let all = try follower.recovered(run, lost: 0..<4)
        #expect(all.clock == 4)
        var again = TrainingRun(run.subject)
        for _ in 0..<4 { again.step() }
        #expect(all.parameters == again.parameters)
        // A lost shard alone goes back; the others, and the clock, stay.
        let one = try follower.recovered(run, lost: 1..<2)
        #expect(one.clock == 6)
        let (start, end) = (run.parameters.count / 4, run.parameters.count / 2)
        #expect(Array(one.parameters[start..<end]) == Array(again.parameters[start..<end]))
        #expect(Array(one.parameters[..<start]) == Array(run.parameters[..<start]))
        #expect(Array(one.parameters[end...]) == Array(run.parameters[end...]))
    }

    @Test func lossyPoliciesGoOnAfterARestart() throws {
        let selection = PartialSelection(rule: .blocks(size: 64, .priority), fraction: 0.1)
        for policy in [Policy.lc(bits: 2), Policy(name: "SCAR", kind: .partial(selection))] {
            var (run, follower) = try trained(policy, steps: 5)
            try follower.restart(&run)
            #expect(run.clock == 5)
            let gradient = run.gradient()
            run.apply(gradient)
            try follower.follow(gradient, step: run.clock)
            let recovered = try follower.recovered(run, lost: 0..<4)
            #expect(recovered.clock == 6)
            #expect(recovered.loss().isFinite)
        }
    }

    @Test func rivalsAreSetToTheBudget() throws {
        let found = try Calibration.find(
            workload: workload(.sgd(learningRate: 0.1)), reference: .lc(bits: 3), seed: 1, steps: 12,
            shards: 4,
            passes: 4)
        #expect(found.budget > 0)
        for policy in found.policies(.lc(bits: 3), block: 8, seed: 1) where policy.name.hasPrefix("SCAR") {
            let bytes = Double(try trained(policy, steps: 12).follower.bytes) / 12
            #expect(bytes > found.budget * 0.8 && bytes < found.budget * 1.4, "\(policy.name): \(bytes)")
        }
    }
}
