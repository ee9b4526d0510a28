extension ReportBuilder {
    func compression(_ claims: inout [Claim]) throws -> Section {
        let outcomes = try scale.models.map { model -> (ModelPlan, CompressionOutcome) in
            (model, try results.outcome(plan.compression(model)))
        }
        var rows: [[Value]] = []
        for (model, outcome) in outcomes {
            for row in outcome.rows {
                rows.append([
                    .text(model.workload.name), .integer(outcome.parameters), .text(row.codec),
                    .number(row.bytes), .number(row.ratio), .number(row.meanError), .number(row.largestError),
                ])
            }
        }
        let codecs = outcomes.first?.1.rows.map(\.codec) ?? []
        func chart(_ title: String, _ axis: String, _ value: (CompressionOutcome.Row) -> Double) -> DotChart {
            DotChart(
                title: title, axis: axis, rows: codecs, series: outcomes.map(\.0.workload.name),
                dots: codecs.indices.map { index in
                    outcomes.map { $0.1.rows.indices.contains(index) ? .init(value($0.1.rows[index])) : nil }
                }, isLogarithmic: true)
        }
        claims += claimsOfCompression(outcomes.map { ($0.0.workload.name, $0.1) })
        return Section(
            id: "compression", title: "Compression",
            text: [
                "Every codec follows the same training, with a checkpoint at every step; the ratio is of the bytes of the state to those of a frame, "
                    + "headers and checksums included, without the first base. One scope for the whole model, as in the paper. Huffman spends at "
                    + "least one bit on a parameter, so 32 is its limit; best carries the same symbols.",
                training(scale.models),
            ],
            command: command(.compression),
            charts: [
                chart(
                    "How many times smaller a checkpoint is than the state", "times smaller, by logarithm",
                    \.ratio),
                chart("What a restore differs by", "mean of ‖u − ũ‖ / ‖u‖, by logarithm", \.meanError),
            ],
            tables: [
                Table(
                    id: "compression", title: "Compression by model and codec",
                    columns: [
                        "model", "parameters", "codec", "bytes a step", "times smaller", "mean error",
                        "largest error",
                    ].map { Table.Column($0) }, rows: rows, isDetail: true)
            ])
    }

    private func claimsOfCompression(_ outcomes: [(String, CompressionOutcome)]) -> [Claim] {
        func claim(_ codec: String, paper: String, wanted: Double, on least: Int) -> Claim {
            let ratios = outcomes.compactMap { name, outcome in
                outcome.rows.first { $0.codec == codec }.map { (name, $0.ratio) }
            }
            let count = ratios.filter { $0.1 >= wanted }.count
            return Claim(
                what: "compression, \(codec)", paper: paper,
                wanted: "at least \(readable(wanted)) on \(least) models",
                here: ratios.map { "\($0.0) \(readable($0.1))" }.joined(separator: ", "),
                holds: count >= least)
        }
        return [
            claim("2 bits, huffman", paper: "up to 28", wanted: 28, on: 2),
            claim("2 bits, best", paper: "–", wanted: 60, on: 2),
        ]
    }
}
