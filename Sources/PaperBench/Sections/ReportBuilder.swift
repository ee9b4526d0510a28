import Foundation

/// Turns outcomes into tables and charts. Pure: the same outcomes give the same report.
struct ReportBuilder {
    let settings: PaperSettings
    let plan: CellPlan
    let results: [String: Data]

    var scale: PaperScale { settings.scale }

    func report() throws -> Report {
        var sections: [Section] = []
        var claims: [Claim] = []
        for experiment in Experiment.allCases where settings.experiments.contains(experiment) {
            switch experiment {
            case .compression: sections.append(try compression(&claims))
            case .rework: sections.append(try rework(&claims))
            case .accuracy: sections.append(try accuracy())
            case .sensitivity: sections.append(try sensitivity())
            case .chain: sections.append(try chain())
            case .interval: sections.append(try interval())
            }
        }
        return Report(
            seed: settings.seed, machine: settings.machine, command: wholeCommand,
            headline: headline(claims), sections: sections)
    }

    /// One line of the headline.
    struct Claim {
        var what: String
        /// The figure of the paper.
        var paper: String
        var wanted: String
        var here: String
        var holds: Bool
    }

    private func headline(_ claims: [Claim]) -> Table {
        Table(
            id: "headline", title: "What the paper reports, and what came out here",
            columns: ["figure", "paper", "wanted here", "measured here", "verdict"].map { Table.Column($0) },
            rows: claims.map {
                [.text($0.what), .text($0.paper), .text($0.wanted), .text($0.here), .verdict($0.holds)]
            })
    }

    private var wholeCommand: String {
        let all = Experiment.allCases
        guard settings.experiments.count < all.count else { return settings.command }
        return all.filter(settings.experiments.contains).reduce(settings.command) {
            "\($0) --only \($1.rawValue)"
        }
    }

    /// The command that computes one experiment by itself.
    func command(_ experiment: Experiment) -> String {
        "\(settings.command) --only \(experiment.rawValue)"
    }

    /// How the models are trained, for the text of a section.
    func training(_ plans: [ModelPlan]) -> String {
        plans.map { "\($0.workload.name): \($0.workload.rule), batch \($0.workload.batch)" }
            .joined(separator: "; ") + "."
    }
}
