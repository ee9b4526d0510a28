import Foundation
import LCCheckpoint

/// Which cells the experiments consist of.
struct CellPlan {
    let settings: PaperSettings
    let timer: ClusterTimer

    private var scale: PaperScale { settings.scale }
    private func wants(_ experiments: Experiment...) -> Bool {
        !settings.experiments.isDisjoint(with: experiments)
    }

    /// How many cells there are in all.
    var count: Int { independent.count + reworkPlaces.count + accuracyPlaces.count + timed.count }

    // MARK: Cells that need no others

    var independent: [Cell] {
        var cells: [Cell] = []
        // The longest first, so that the threads end at about the same time.
        if wants(.compression) { cells += scale.models.reversed().map(compression) }
        if wants(.rework, .accuracy) { cells += calibrated.reversed().map { calibration($0.0, bits: $0.1) } }
        if wants(.sensitivity) { cells += scale.sensitivity.map(sensitivity) }
        return cells
    }

    func compression(_ plan: ModelPlan) -> Cell {
        let experiment = CompressionExperiment(
            workload: plan.workload, seed: settings.seed, steps: plan.compressionSteps)
        return Cell("compression-\(plan.workload.name)", settings: experiment.settings) {
            try experiment.run()
        }
    }

    private var calibrated: [(ModelPlan, Int)] {
        scale.models.filter { $0.seeds > 0 }.flatMap { plan in plan.budgets.map { (plan, $0) } }
    }

    func calibration(_ plan: ModelPlan, bits: Int) -> Cell {
        let (seed, steps, passes) = (settings.seed, plan.window.upperBound, scale.calibrationPasses)
        let settings = plan.workload.settings.merging([
            "seed": "\(seed)", "steps": "\(steps)", "bits": "\(bits)", "passes": "\(passes)",
        ]) { $1 }
        return Cell("calibration-\(plan.workload.name)-\(bits)", settings: settings) {
            try Calibration.find(
                workload: plan.workload, reference: .lc(bits: bits), seed: seed, steps: steps, shards: 4,
                passes: passes)
        }
    }

    func sensitivity(_ plan: ModelPlan) -> Cell {
        let hasSlots = !plan.workload.optimizer.slotNames.isEmpty
        let slots = CodecSettings(kind: .auto(error: 1e-2), entropy: .quick)
        var policies: [Policy] = [2, 3, 4].map { .lc(bits: $0) }
        if hasSlots {
            var mixed = Policy.lc(bits: 2, slots: slots)
            mixed.name = "lc, 2 bits; slots auto 1e-2"
            policies.append(mixed)
        }
        for error in [1e-2, 1e-3] {
            var auto = Policy.auto(error: error, slots: hasSlots ? slots : nil)
            auto.name = "auto \(short(error))" + (hasSlots ? "; slots auto 1e-2" : "")
            policies.append(auto)
        }
        let experiment = rework(plan, policies, seed: settings.seed, lost: [4])
        return Cell("sensitivity-\(plan.workload.name)", settings: experiment.settings) {
            try experiment.run()
        }
    }

    // MARK: Cells that compare at equal bytes

    struct ReworkPlace { var plan: ModelPlan, bits: Int, seed: UInt64 }
    struct AccuracyPlace { var plan: ModelPlan, seed: UInt64 }

    var reworkPlaces: [ReworkPlace] {
        guard wants(.rework) else { return [] }
        return calibrated.reversed().flatMap { plan, bits in
            (0..<plan.seeds).map {
                ReworkPlace(plan: plan, bits: bits, seed: settings.seed &+ UInt64($0))
            }
        }
    }

    var accuracyPlaces: [AccuracyPlace] {
        guard wants(.accuracy) else { return [] }
        return scale.models.filter { $0.accuracySteps > 0 }.reversed().flatMap { plan in
            (0..<scale.accuracySeeds).map {
                AccuracyPlace(plan: plan, seed: settings.seed &+ UInt64($0))
            }
        }
    }

    /// The budget at which accuracies are compared.
    let accuracyBits = 3

    func dependent(_ results: [String: Data]) throws -> [Cell] {
        try reworkPlaces.map { try rework($0, results) } + accuracyPlaces.map { try accuracy($0, results) }
    }

    func policies(_ plan: ModelPlan, bits: Int, seed: UInt64, _ results: [String: Data]) throws -> [Policy] {
        let found: Calibration = try results.outcome(calibration(plan, bits: bits))
        return found.policies(.lc(bits: bits), block: plan.workload.block, seed: seed)
    }

    func rework(_ place: ReworkPlace, _ results: [String: Data]) throws -> Cell {
        let policies = try policies(place.plan, bits: place.bits, seed: place.seed, results)
        let experiment = rework(place.plan, policies, seed: place.seed, lost: [1, 4])
        return Cell(
            "rework-\(place.plan.workload.name)-\(place.bits)-\(place.seed)", settings: experiment.settings
        ) { try experiment.run() }
    }

    private func rework(_ plan: ModelPlan, _ policies: [Policy], seed: UInt64, lost: [Int])
        -> ReworkExperiment
    {
        ReworkExperiment(
            workload: plan.workload, policies: policies, seed: seed, window: plan.window,
            failures: plan.failures, lost: lost, horizon: plan.horizon)
    }

    func accuracy(_ place: AccuracyPlace, _ results: [String: Data]) throws -> Cell {
        let experiment = AccuracyExperiment(
            workload: place.plan.workload,
            policies: try policies(place.plan, bits: accuracyBits, seed: place.seed, results),
            seed: place.seed, steps: place.plan.accuracySteps, failures: scale.accuracyFailures)
        return Cell("accuracy-\(place.plan.workload.name)-\(place.seed)", settings: experiment.settings) {
            try experiment.run()
        }
    }

    // MARK: Cells that take times

    var timed: [Cell] {
        (wants(.chain) ? scale.chain.map(chain) : []) + (wants(.interval) ? [interval] : [])
    }

    func chain(_ workload: Workload) -> Cell {
        let experiment = ChainExperiment(
            workload: workload, policy: .lc(bits: 3), seed: settings.seed, lengths: scale.chainLengths,
            baseEvery: scale.chainBases, rounds: scale.chainRounds)
        return Cell("chain-\(workload.name)", settings: experiment.settings, isExclusive: true) {
            try experiment.run()
        }
    }

    var interval: Cell {
        let experiment = IntervalExperiment(
            intervals: scale.intervals, rounds: scale.intervalRounds, steps: scale.intervalSteps,
            batch: scale.intervalBatch, timer: timer)
        return Cell("interval", settings: experiment.settings, isExclusive: true) { try experiment.run() }
    }
}
