import ArgumentParser
import Cluster
import Drill
import Foundation

extension BenchCommand {
    /// How long a cluster takes to recover when its nodes are killed, by role.
    struct Recovery: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "recovery",
            abstract: "Kill nodes of every role in turn, and time how long the cluster takes to recover.",
            discussion: """
                Starts a cluster, kills one node after the other (worker, shard, store, coordinator) as SIGKILL does, and waits \
                each time until it is back. Times run from the kill until the loss is noticed, from then until the node is \
                restored, and from then until training goes on. All that a drill checks must hold: exit code 2 if it doesn't.

                EXAMPLE: varve bench recovery --kills 5 --report recovery
                """)

        @Option(help: "Kills of each role.") var kills = 5
        @Option(help: "Draw the nodes that are killed from this seed.") var seed: UInt64 = 1
        @Option(help: "Configuration of the cluster; a small one by default.") var config: String?
        @Option(help: ArgumentHelp("Write a report there (HTML, JUnit XML, JSON).", valueName: "dir"))
        var report: String?
        @Flag(help: "Print one JSON object, and nothing else.") var json = false

        func validate() throws {
            guard (1...500).contains(kills) else { throw ValidationError("--kills is 1 to 500") }
            guard seed <= UInt64(Int64.max) else { throw ValidationError("--seed is below 2^63") }
        }

        mutating func run() async throws {
            if let report { try makeFolder(report) }
            let session = DrillSession(json: json, engine: .processes)
            let result = await session.run(try drill(), seed: seed)
            if json {
                if let report { try DrillReport(result).write(to: report) }
                try printJSON(
                    Summary(
                        kills: kills, seed: seed, verdict: result.verdict.rawValue,
                        roles: result.recoveryTimes))
            } else {
                try session.tell(result, folder: report)
            }
            try session.leave([result], expected: 1)
        }

        /// Milliseconds by role.
        private struct Summary: Encodable {
            var kills: Int
            var seed: UInt64
            var verdict: String
            var roles: [RecoveryTimes]
        }

        private func drill() throws -> DrillFile {
            func step(_ members: String...) -> String { "  - " + members.joined(separator: "\n    ") }
            var steps = [step("name: warm up", "wait: step >= 40")]
            for kill in 1...kills {
                for role in ["worker", "shard", "store", "coordinator"] {
                    let target = role == "coordinator" ? role : "any \(role)"
                    steps.append(step("name: \(role) \(kill)", "fault: kill", "target: \(target)"))
                    steps.append(step("name: \(role) \(kill) is back", "wait: recovered", "within: 60s"))
                    steps.append(
                        step("name: \(role) \(kill) is forgotten", "wait: committed >= +20", "within: 60s"))
                }
            }
            let text = """
                version: 1
                name: recovery
                about: Nodes of every role are killed one after the other, \(kills) of each.
                seed: \(seed)
                timeout: \(60 + 60 * kills)s
                cluster: {file: cluster.yaml}
                steps:
                \(steps.joined(separator: "\n"))
                expect: {recoveries_at_least: \(4 * kills)}
                """
            let cluster = try config.map { try ConfigurationOptions.read($0) } ?? Recovery.cluster
            var drill = try DrillFile.parse(yaml: text, file: "recovery") { _ in cluster }
            drill.command = "varve bench recovery --kills \(kills) --seed \(seed)"
            if let config { drill.command? += " --config \(config)" }
            return drill
        }

        /// Small enough that a kill takes about a second.
        private static let cluster = """
            cluster: {name: recovery, shards: 3, workers: 2, stores: 3}
            model: {kind: mlr}
            data: {kind: synthetic}
            training:
              steps: 1000000
              batch: 16
              optimizer: {kind: adam, learning_rate: 0.01}
            checkpoint: {every: 1, write_quorum: 2, replicas: 3, codec: {kind: lc, bits: 3}}
            """
    }
}
