extension ReportBuilder {
    func accuracy() throws -> Section {
        let models = scale.models.filter { $0.accuracySteps > 0 }
        var rows: [[Value]] = []
        var charts: [any Chart] = []
        for model in models {
            let outcomes: [AccuracyOutcome] = try plan.accuracyPlaces.filter {
                $0.plan.workload == model.workload
            }.map { try results.outcome(plan.accuracy($0, results)) }
            guard let first = outcomes.first else { continue }
            let measure = first.isAccuracy ? "accuracy" : "rmse"
            var dots: [String: [DotChart.Dot?]] = [:]
            for index in first.rows.indices {
                let same = outcomes.map { $0.rows[index] }
                let quality = Estimate(same.map(\.quality))
                let row = first.rows[index]
                dots[row.policy, default: []].append(
                    .init(
                        quality.mean, low: quality.mean - quality.halfWidth,
                        high: quality.mean + quality.halfWidth))
                rows.append([
                    .text(model.workload.name), .text(row.policy), .integer(row.failures), .text(measure),
                    .number(quality.mean), .number(quality.halfWidth),
                    .number(Estimate(same.map(\.heldOutLoss)).mean),
                    .number(Estimate(same.map { Double(model.accuracySteps - $0.clock) }).mean),
                ])
            }
            var policies: [String] = []
            for row in first.rows where !policies.contains(row.policy) { policies.append(row.policy) }
            charts.append(
                DotChart(
                    title:
                        "\(model.workload.name): \(measure) on held-out samples after \(model.accuracySteps) steps of work",
                    axis: first.isAccuracy ? "accuracy" : "root of the mean squared error (less is better)",
                    rows: policies,
                    series: scale.accuracyFailures.map { $0 == 1 ? "1 failure" : "\($0) failures" },
                    dots: policies.map { dots[$0] ?? [] }, isLogarithmic: false, isTight: true))
        }
        return Section(
            id: "accuracy", title: "Quality after failures in a row",
            text: [
                "All shards are lost at random steps, one failure in each of as many equal parts of the work, and training goes on from what the checkpoints "
                    + "restore; the policy goes on with its chain. Steps that are done again count as work, so that all runs are equally long. Bytes as lc "
                    + "with \(plan.accuracyBits) bits. Means over \(scale.accuracySeeds) seeds with 95 % intervals.",
                training(models),
            ],
            command: command(.accuracy), charts: charts,
            tables: [
                Table(
                    id: "accuracy", title: "Quality by model, policy and number of failures",
                    columns: [
                        "model", "policy", "failures", "measure", "quality", "± 95 %", "held-out loss",
                        "steps done again",
                    ].map { Table.Column($0) }, rows: rows, isDetail: true)
            ])
    }

    func sensitivity() throws -> Section {
        var rows: [[Value]] = []
        var errors: [[DotChart.Dot?]] = []
        let shown = ["lc, 2 bits", "lc, 3 bits", "lc, 4 bits", "auto 0.01", "auto 0.001"]
        for model in scale.sensitivity {
            let outcome: ReworkOutcome = try results.outcome(plan.sensitivity(model))
            for row in outcome.rows {
                let fraction = Estimate(row.samples.map(\.fraction))
                let whole = Estimate(row.samples.map { Double($0.whole) })
                let jump = Estimate(row.samples.map { $0.lossAfter - $0.lossBefore })
                rows.append([
                    .text(model.workload.rule), .text(row.policy), .number(row.ratio), .number(row.meanError),
                    .number(row.growth), .number(jump.mean), .number(whole.mean), .number(fraction.mean),
                    .number(fraction.halfWidth), .integer(row.samples.filter { !$0.reached }.count),
                ])
            }
            errors.append(
                shown.map { name in
                    outcome.rows.first {
                        $0.policy == name || $0.policy.hasPrefix(name + ";") && name.hasPrefix("auto")
                    }
                    .map { .init(Estimate($0.samples.map(\.fraction)).mean) }
                })
        }
        return Section(
            id: "sensitivity", title: "Other optimizers and rates",
            text: [
                "LeNet-5, all shards lost at random steps, every checkpoint lossy. The paper assumes plain SGD; here the optimizer's slots are in the "
                    + "checkpoints too, with the codec of the parameters unless said otherwise. “Growth” is the mean error of the last quarter "
                    + "of training by that of the second: above 1, errors add up faster than the next deltas mend them. “Loss jump” is the mean loss restored "
                    + "less that at the failure."
            ],
            command: command(.sensitivity),
            charts: [
                DotChart(
                    title: "Mean rework without noise by optimizer",
                    axis: "training steps, by logarithm; hollow: less than 0.01",
                    rows: scale.sensitivity.map { $0.workload.name }, series: shown, dots: errors,
                    isLogarithmic: true, least: 0.01)
            ],
            tables: [
                Table(
                    id: "sensitivity", title: "By optimizer and policy",
                    columns: [
                        "optimizer", "policy", "times smaller", "mean error", "growth", "loss jump",
                        "rework, whole", "rework without noise", "± 95 %", "not back in time",
                    ].map { Table.Column($0) }, rows: rows)
            ])
    }

    func chain() throws -> Section {
        var rows: [[Value]] = []
        var charts: [any Chart] = []
        for workload in scale.chain {
            let outcome: ChainOutcome = try results.outcome(plan.chain(workload))
            func name(_ every: Int) -> String { every == 0 ? "no new base" : "a base every \(every)" }
            for row in outcome.rows {
                rows.append([
                    .text(workload.name), .text(name(row.baseEvery)), .integer(row.checkpoints),
                    .integer(row.frames), .integer(row.bytes), .integer(row.written),
                    .number(row.milliseconds),
                ])
            }
            charts.append(
                LineChart(
                    title: "\(workload.name): time of a restore by checkpoints since the start",
                    xAxis: "checkpoints since the start, by logarithm", yAxis: "ms, by logarithm",
                    series: scale.chainBases.map { every in
                        LineChart.Series(
                            name(every),
                            outcome.rows.filter { $0.baseEvery == every }.map {
                                .init(Double($0.checkpoints), $0.milliseconds)
                            })
                    }, isLogarithmicX: true, isLogarithmicY: true))
        }
        return Section(
            id: "chain", title: "Restore time and the length of the chain",
            text: [
                "A restore reads the newest base and every delta after it. lc with 3 bits, 4 shards, one after another on one core, from memory: the "
                    + "arithmetic of a restore, without network and disk. A new base now and then bounds it, at the price of its bytes."
            ],
            command: command(.chain), charts: charts,
            tables: [
                Table(
                    id: "chain", title: "Restores",
                    columns: [
                        .init("model"), .init("bases"), .init("checkpoints"), .init("frames read a shard"),
                        .init("bytes read"), .init("bytes written in all"),
                        .init("ms", isTiming: true),
                    ], rows: rows, isDetail: true)
            ])
    }

    func interval() throws -> Section {
        let outcome: IntervalOutcome = try results.outcome(plan.interval)
        return Section(
            id: "interval", title: "Cost of checkpoints by their interval",
            text: [
                "A real cluster on this machine: LeNet-5, 4 shards, 2 workers, 3 stores, batch \(scale.intervalBatch) a worker, lc with 3 bits; medians of "
                    + "\(scale.intervalRounds) interleaved rounds of \(scale.intervalSteps) steps, each against the run without checkpoints of its round. The processor's time is that of "
                    + "all nodes, which other work on the machine touches less than the clock's. All figures are timings."
            ],
            command: command(.interval),
            charts: [
                LineChart(
                    title: "Overhead by the steps from one checkpoint to the next",
                    xAxis: "steps between checkpoints",
                    yAxis: "% above training without checkpoints",
                    series: [
                        .init(
                            "time",
                            outcome.rows.filter { $0.every > 0 }.map {
                                .init(Double($0.every), $0.overheadPercent)
                            }),
                        .init(
                            "processor time",
                            outcome.rows.filter { $0.every > 0 }.map {
                                .init(Double($0.every), $0.processorOverheadPercent)
                            }),
                    ])
            ],
            tables: [
                Table(
                    id: "interval", title: "By interval",
                    columns: [
                        .init("checkpoint every"), .init("ms a step", isTiming: true),
                        .init("overhead %", isTiming: true), .init("processor ms a step", isTiming: true),
                        .init("processor overhead %", isTiming: true),
                    ],
                    rows: outcome.rows.map {
                        [
                            $0.every == 0 ? .text("none") : .text("\($0.every)"),
                            .number($0.stepMilliseconds),
                            .number($0.overheadPercent), .number($0.processorMilliseconds),
                            .number($0.processorOverheadPercent),
                        ]
                    })
            ])
    }
}
