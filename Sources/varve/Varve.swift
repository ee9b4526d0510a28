import ArgumentParser

/// The command line. Each subcommand lives in a file of its own.
@main
struct Varve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "varve",
        abstract:
            "A parameter server whose training survives: compressed, replicated checkpoints of every step.",
        subcommands: [SimulateCommand.self]
    )
}
