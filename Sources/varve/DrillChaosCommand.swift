import ArgumentParser
import Cluster
import Drill
import Foundation

struct DrillChaosCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chaos", abstract: "Random faults for a while, within what the cluster promises.",
        discussion: """
            Never hurts more stores at a time than the write quorum bears, and mends a disk before it hurts the next. The \
            seed decides which faults come, on whom, and in which order. Exit codes as 'varve drill run'.

            Example:
              varve drill chaos --minutes 10 --seed 7 --report chaos-report
            """)

    @Option(help: "For how long faults strike.") var minutes = 10.0
    @Option(help: "Draw everything from this seed; another one each time by default.") var seed: UInt64?
    @Option(help: "Configuration of the cluster.") var config = "configs/drills/clusters/chaos.yaml"
    @Flag(help: "Run on the simulator instead of real processes.") var simulate = false
    @Option(help: ArgumentHelp("Write a report there (HTML, JUnit XML, JSON).", valueName: "dir")) var report:
        String?
    @Flag(help: "Print one JSON object, and nothing else.") var json = false

    func validate() throws {
        guard minutes > 0, minutes <= 1440 else {
            throw ValidationError("--minutes lies between 0 and 1440")
        }
    }

    mutating func run() async throws {
        let configuration = try readConfiguration(config)
        let seed = seed ?? UInt64.random(in: 0..<1_000_000)
        let engine: EngineKind = simulate ? .simulation : .processes
        var chaos = Chaos(configuration: configuration, seed: seed, engine: engine)
        var drill = chaos.drill(minutes: minutes, seed: seed)
        let time = String(format: "%g", minutes)
        drill.command = "varve drill chaos --minutes \(time) --seed \(seed) --config \(config)"
        let session = DrillSession(json: json, engine: engine)
        let result = await session.run(drill, seed: seed)
        try session.tell(result, folder: report)
        try session.leave([result], expected: 1)
    }
}
