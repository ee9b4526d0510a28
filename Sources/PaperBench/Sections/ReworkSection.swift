/// The samples of one policy over all seeds of one model at one budget.
struct ReworkSeries {
    var model: String
    var bits: Int
    var policy: String
    var rows: [ReworkOutcome.PolicyRow]

    func samples(lost: Int) -> [ReworkOutcome.Sample] { rows.flatMap(\.samples).filter { $0.lost == lost } }
    func whole(lost: Int) -> [Double] { samples(lost: lost).map { Double($0.whole) } }
    func fraction(lost: Int) -> [Double] { samples(lost: lost).map(\.fraction) }
    func mean(_ part: (ReworkOutcome.PolicyRow) -> Double) -> Double {
        rows.map(part).reduce(0, +) / Double(max(rows.count, 1))
    }
}

extension ReportBuilder {
    private static let shards = [1, 4]
    private func words(lost: Int) -> String { lost == 1 ? "one shard of 4 lost" : "all shards lost" }

    /// All budgets that some model is compared at, ascending.
    var budgets: [Int] { Set(scale.models.flatMap(\.budgets)).sorted() }

    /// By model and budget, in the order of the policies.
    private func allSeries() throws -> [[ReworkSeries]] {
        var groups: [[ReworkSeries]] = []
        for model in scale.models where model.seeds > 0 {
            for bits in model.budgets {
                let places = plan.reworkPlaces.filter {
                    $0.plan.workload == model.workload && $0.bits == bits
                }
                let outcomes: [ReworkOutcome] = try places.map {
                    try results.outcome(plan.rework($0, results))
                }
                guard let first = outcomes.first else { continue }
                groups.append(
                    first.rows.indices.map { index in
                        ReworkSeries(
                            model: model.workload.name, bits: bits, policy: first.rows[index].policy,
                            rows: outcomes.map { $0.rows[index] })
                    })
            }
        }
        return groups
    }

    func rework(_ claims: inout [Claim]) throws -> Section {
        let groups = try allSeries()
        var charts: [any Chart] = []
        for bits in budgets {
            for lost in Self.shards { charts.append(chart(groups.filter { $0[0].bits == bits }, bits, lost)) }
        }
        charts += try traces()
        let ratios = groups.flatMap(speedups)
        claims += claimsOfRework(ratios)
        return Section(
            id: "rework", title: "Rework after a failure, at equal bytes a step",
            text: [
                "All policies follow the same training, cut into 4 shards, and are set to the bytes that lc with the same number of bits takes a step "
                    + "(a few per cent more or less; where a shard's smallest possible frame takes more, as SCAR's at 2 bits, the rival has more: see the table). At random steps one shard is lost, and it alone goes back to its newest checkpoint, the "
                    + "others stay (partial recovery, as in SCAR); or all are lost, and training goes back to the newest checkpoint.",
                "Rework is the number of training steps until the loss on a fixed set of training samples is back at or below what it was at the "
                    + "failure, as SCAR counts. “Whole” counts steps on losses as measured, and a lucky batch before the failure makes it long for whatever is "
                    + "restored. “Without noise” takes off what the undisturbed run, which sees the same samples, is above or below its own "
                    + "moving average of 11 steps at that point, and interpolates between two steps. Rework beyond the \(horizonWords) counts as that many.",
                "Speed-up is a rival's mean rework by that of lc or auto over the same failures. So that it stays defined when these hardly ever have any, their mean is "
                    + "taken for at least 1/n of a step with n failures, the least that n failures could show of whole steps. Intervals: 95 %, of means by "
                    + "Student's t, of ratios by 2000 bootstrap draws of failures.",
                training(scale.models.filter { $0.seeds > 0 }),
            ],
            command: command(.rework), charts: charts,
            tables: [
                speedupTable(ratios), meanTable(groups),
                sampleTable(groups),
            ])
    }

    private var horizonWords: String {
        let limits = Set(scale.models.filter { $0.seeds > 0 }.map(\.horizon)).sorted()
        return limits.map(String.init).joined(separator: " or ") + " steps that a run is followed"
    }

    private func chart(_ groups: [[ReworkSeries]], _ bits: Int, _ lost: Int) -> DotChart {
        // lc carries its bits in its name, auto is last in each group: the order is the same in all.
        let policies = groups.first?.map(\.policy) ?? []
        return DotChart(
            title: "Mean rework without noise, bytes as lc with \(bits) bits, \(words(lost: lost))",
            axis: "training steps, by logarithm; hollow marks: less than 0.01", rows: policies,
            series: groups.map { $0[0].model },
            dots: policies.indices.map { index in
                groups.map { group in
                    let estimate = Estimate(group[index].fraction(lost: lost))
                    return DotChart.Dot(
                        estimate.mean, low: estimate.mean - estimate.halfWidth,
                        high: estimate.mean + estimate.halfWidth)
                }
            }, isLogarithmic: true, least: 0.01)
    }

    /// Losses after the first failure of the first seed.
    private func traces() throws -> [any Chart] {
        guard let bits = budgets.last else { return [] }
        return try plan.reworkPlaces.filter { $0.bits == bits && $0.seed == settings.seed }.reversed().map {
            place in
            let outcome: ReworkOutcome = try results.outcome(plan.rework(place, results))
            func points(_ losses: [Double]) -> [LineChart.Point] {
                losses.enumerated().map { .init(Double($0.offset), $0.element) }
            }
            let shown = ["full", "top-N", "SCAR, priority", "SCAR, random", "lc, \(bits) bits", "auto"]
            let series = outcome.rows.filter { shown.contains($0.policy) }.map {
                LineChart.Series($0.policy, points($0.trace))
            }
            return LineChart(
                title:
                    "Loss of \(place.plan.workload.name) after all shards were lost, bytes as lc with \(bits) bits",
                xAxis: "training steps after the failure", yAxis: "loss on the fixed samples",
                series: [LineChart.Series("no failure", points(outcome.undisturbed), hasMarks: false)]
                    + series,
                isTight: true)
        }
    }

    private func meanTable(_ groups: [[ReworkSeries]]) -> Table {
        var rows: [[Value]] = []
        for series in groups.joined() {
            for lost in Self.shards {
                let (whole, fraction) = (
                    Estimate(series.whole(lost: lost)), Estimate(series.fraction(lost: lost))
                )
                let samples = series.samples(lost: lost)
                rows.append([
                    .text(series.model), .integer(series.bits), .text(series.policy),
                    .text(series.rows[0].parameter), .number(series.mean(\.bytesPerStep)),
                    .number(series.mean(\.meanError)), .integer(lost), .integer(samples.count),
                    .number(whole.mean), .number(whole.halfWidth), .number(fraction.mean),
                    .number(fraction.halfWidth), .integer(samples.filter { !$0.reached }.count),
                ])
            }
        }
        let names = [
            "model", "budget, bits", "policy", "set to", "bytes a step", "mean error", "shards lost",
            "failures",
            "rework, whole", "± 95 %", "rework without noise", "± 95 % of it", "not back in time",
        ]
        return Table(
            id: "rework", title: "Rework by model and policy", columns: names.map { Table.Column($0) },
            rows: rows,
            isDetail: true)
    }

    private func sampleTable(_ groups: [[ReworkSeries]]) -> Table {
        let rows: [[Value]] = groups.joined().flatMap { series in
            series.rows.flatMap(\.samples).map { sample in
                [
                    .text(series.model), .integer(series.bits), .text(series.policy), .integer(sample.lost),
                    .integer(sample.failure), .integer(sample.restored), .number(sample.lossBefore),
                    .number(sample.lossAfter), .integer(sample.whole), .number(sample.fraction),
                ]
            }
        }
        let names = [
            "model", "budget, bits", "policy", "shards lost", "failure after step", "restored at",
            "loss at failure", "loss restored", "rework, whole", "rework without noise",
        ]
        return Table(
            id: "rework-samples", title: "Every failure", columns: names.map { Table.Column($0) }, rows: rows,
            isDetail: true)
    }
}
