import Foundation
import Training

/// The paper's experiments that there are.
public enum Experiment: String, CaseIterable, Sendable {
    /// How many times smaller checkpoints are than the state.
    case compression
    /// Training steps until the loss is back after a failure.
    case rework
    /// How good models are after failures.
    case accuracy
    /// The same with other optimizers and rates than the paper's.
    case sensitivity
    /// What a restore takes as chains grow.
    case chain
    /// What checkpoints cost the training of a cluster.
    case interval
}

/// What to compute, how large, and with how much of the machine.
public struct PaperSettings: Sendable {
    public var scale: PaperScale
    public var seed: UInt64
    public var experiments: Set<Experiment>
    /// Cells that are computed at once.
    public var threads: Int
    /// What makes the report, without a choice of experiments, and what it runs on, in words.
    public var command: String
    public var machine: String

    public init(
        scale: PaperScale, seed: UInt64, experiments: Set<Experiment>, threads: Int, command: String,
        machine: String
    ) {
        (self.scale, self.seed, self.experiments) = (scale, seed, experiments)
        (self.threads, self.command, self.machine) = (threads, command, machine)
    }
}

/// Runs the experiments and puts their outcomes together.
public struct Paper: Sendable {
    let settings: PaperSettings
    let timer: ClusterTimer

    /// - Parameter timer: starts clusters for `Experiment.interval`.
    public init(_ settings: PaperSettings, timer: @escaping ClusterTimer) {
        (self.settings, self.timer) = (settings, timer)
    }

    /// Computes what isn't in the folder yet.
    ///
    /// - Parameters:
    ///   - folder: where cells are kept, each as soon as it has ended.
    ///   - progress: called by any thread.
    public func run(
        cellsIn folder: String, progress: @escaping @Sendable (CellProgress) -> Void
    ) throws -> Report {
        let plan = CellPlan(settings: settings, timer: timer)
        let runner = CellRunner(
            store: try CellStore(folder: folder), threads: settings.threads, total: plan.count,
            report: progress)
        // The second stage compares at the bytes that the first has found.
        let first = try runner.run(plan.independent)
        let second = try runner.run(try plan.dependent(first))
        let last = try runner.run(plan.timed)
        return try ReportBuilder(settings: settings, plan: plan, results: last.merging(second) { $1 })
            .report()
    }
}
