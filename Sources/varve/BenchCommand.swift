import ArgumentParser

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure what checkpoints and distribution cost, as ratios within one run.",
        subcommands: [
            DataPlane.self, CodecBench.self, Sequences.self, Ratios.self, Restore.self, Recovery.self,
            Scaling.self,
            PaperCommand.self,
        ])
}
