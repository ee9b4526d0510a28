import ArgumentParser
import Foundation
import Simulation

extension BenchCommand {
    /// What a checkpoint costs the coordinator in a large cluster, against a small one.
    struct Scaling: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "scale",
            abstract: "Count messages and the coordinator's work per checkpoint as the cluster grows.",
            discussion: """
                The machines of all roles run in one process in virtual time, without faults; arithmetic and disks only take \
                time. A cluster ten times as large takes a hundred times as long, since every worker talks to every shard: \
                minutes for the largest.

                Example:
                  varve bench scale --sizes 10 100 1000
                """)

        @Option(
            parsing: .upToNextOption,
            help: "Numbers of shards; each has a fifth as many stores and twice as many workers.")
        var sizes = [10, 100, 1000]

        @Option(help: "Training steps, each with a checkpoint.")
        var steps: UInt64 = 4

        @Flag(help: "Print one JSON object.")
        var json = false

        func run() throws {
            guard !sizes.isEmpty, sizes.allSatisfy({ (1...2000).contains($0) }), (2...1000).contains(steps)
            else {
                throw CommandFailure(
                    "--sizes are 1 to 2000, --steps 2 to 1000", exitCode: CommandFailure.usage)
            }
            var table = TextTable([
                .init("shards", .right), .init("stores", .right), .init("workers", .right),
                .init("messages", .right), .init("bytes", .right), .init("work ms", .right),
                .init("heartbeats/s", .right), .init("store messages", .right),
                .init("gradient messages", .right), .init("tensor bytes", .right),
            ])
            var objects: [String] = []
            for size in sizes {
                let report = Scale.measure(
                    shards: size, stores: max(size / 5, 1), workers: size * 2, steps: steps,
                    processorNanoseconds: threadNanoseconds)
                if let failure = report.failure {
                    throw CommandFailure("\(size) shards: \(failure)", exitCode: CommandFailure.failed)
                }
                let fields = fields(of: report)
                table.add(fields.map(\.value))
                objects.append(jsonObject(fields))
            }
            print(
                json
                    ? jsonObject([("steps", "\(steps)"), ("sizes", "[\(objects.joined(separator: ", "))]")])
                    : "The coordinator's messages, bytes and work, and the messages of the others, per committed checkpoint:\n"
                        + table.render())
        }

        private func fields(of report: ScaleReport) -> [(key: String, value: String)] {
            let commits = Double(max(report.commits, 1))
            func each(_ number: Int) -> String { fixed(Double(number) / commits, decimals: 1) }
            return [
                ("shards", "\(report.shards)"), ("stores", "\(report.stores)"),
                ("workers", "\(report.workers)"),
                ("coordinator_messages", each(report.coordinatorMessages)),
                ("coordinator_bytes", each(report.coordinatorBytes)),
                (
                    "coordinator_ms",
                    fixed(Double(report.coordinatorNanoseconds) / 1e6 / commits, decimals: 3)
                ),
                (
                    "heartbeats_per_second",
                    fixed(Double(report.heartbeats) * 1000 / Double(max(report.milliseconds, 1)), decimals: 0)
                ),
                ("store_messages", each(report.storeMessages)),
                ("gradient_messages", each(report.gradientMessages)),
                ("coordinator_tensor_bytes", "\(report.coordinatorPayloadBytes)"),
            ]
        }

        private func threadNanoseconds() -> UInt64 {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        }
    }
}
