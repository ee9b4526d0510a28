import ArgumentParser
import Foundation
import Invariants
import Node

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Hold what the nodes of a run did against what the cluster promises.",
        subcommands: [Check.self], defaultSubcommand: Check.self)

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check the histories that 'varve up --history' recorded.",
            discussion: """
                The checks are those of 'varve simulate'. A history may end at any moment: what a killed process did not \
                write down any more, it did not do either.

                Exits with 2 when a promise did not hold, and names it with what shows it.

                Examples:
                  varve history check --run-dir run1
                  varve history check --run-dir run1 --from histories-of-all-hosts --json
                """)
        @OptionGroup var options: RunOptions
        @Option(help: "Where the histories are, if not in the run directory.")
        var from: String?
        @Flag(help: "Machine output.") var json = false

        func run() throws {
            let directory = try options.directory()
            let histories: HistoryReader.Histories
            do { histories = try HistoryReader.read(directory: from ?? directory.historyPath) } catch {
                throw CommandFailure(
                    "\(error)",
                    exitCode: error.isDamage ? CommandFailure.malformed : CommandFailure.missingInput)
            }
            guard !histories.records.isEmpty else {
                throw CommandFailure(
                    "the history in \(from ?? directory.historyPath) is empty",
                    exitCode: CommandFailure.missingInput)
            }
            let plan = try RunDescription(
                configuration: try readConfiguration(directory.configurationPath)
            ).plan()
            let isExact =
                plan.codec.kind == .exact && plan.slotCodec.kind == .exact && plan.selection == nil
            var suite = InvariantSuite(RunFacts(plan.settings, isExact: isExact), order: .perProcess)
            for record in histories.records { suite.observe(record) }
            suite.settle()
            print(json ? report(suite.findings, histories) : text(suite.findings, histories))
            if !suite.findings.violations.isEmpty { throw ExitCode(CommandFailure.checkFailed) }
        }

        private func text(_ findings: Findings, _ histories: HistoryReader.Histories) -> String {
            var table = TextTable([.init("INVARIANT"), .init("FACTS", .right), .init("VERDICT")])
            for invariant in Invariant.allCases {
                let count = findings.facts[invariant] ?? 0
                let broken = findings.violations.filter { $0.invariant == invariant }.count
                let verdict = broken > 0 ? "broken" : count > 0 ? "holds" : "not shown"
                table.add([invariant.rawValue, "\(count)", verdict])
            }
            var lines = [table.render(colours: Terminal(descriptor: STDOUT_FILENO).colours)]
            lines += findings.violations.map(\.description)
            lines.append(
                "\(histories.records.count) facts of \(histories.files) processes, \(histories.torn) cut off in a line"
            )
            return lines.joined(separator: "\n")
        }

        private func report(_ findings: Findings, _ histories: HistoryReader.Histories) -> String {
            let facts = Invariant.allCases.map { "\"\($0.rawValue)\":\(findings.facts[$0] ?? 0)" }
            let violations = findings.violations.map {
                "{\"invariant\":\"\($0.invariant.rawValue)\",\"evidence\":\(jsonText($0.evidence))}"
            }
            return
                "{\"ok\":\(findings.violations.isEmpty),\"processes\":\(histories.files),\"records\":\(histories.records.count),"
                + "\"torn\":\(histories.torn),\"facts\":{\(facts.joined(separator: ","))},\"violations\":[\(violations.joined(separator: ","))]}"
        }
    }
}
