import ArgumentParser
import Cluster
import Drill
import Foundation
import Node
import Synchronization

/// `varve drill`: faults on purpose, and whether the promises hold.
struct DrillCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drill", abstract: "Hurt a real cluster on purpose, and check that its promises hold.",
        discussion: """
            Examples:
              varve drill list
              varve drill run configs/drills/shard-kill.yaml --report report
            """,
        subcommands: [
            DrillRunCommand.self, DrillCheckCommand.self, DrillListCommand.self, DrillChaosCommand.self,
        ])

    /// Reads and checks one drill.
    static func load(_ path: String) throws -> DrillFile {
        let text = try ConfigurationOptions.read(path)
        return try DrillFile.parse(yaml: text, file: path) { beside in
            try? String(contentsOfFile: beside, encoding: .utf8)
        }
    }

    /// The drills of a folder, by name.
    static func files(in folder: String) throws -> [String] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            throw CommandFailure(
                "\(folder): no such folder of drills; name one with --directory",
                exitCode: CommandFailure.missingInput)
        }
        return names.filter { $0.hasSuffix(".yaml") }.sorted().map { "\(folder)/\($0)" }
    }
}

struct DrillCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check drill files: exit code 0, or 78 and one line for each problem.",
        discussion: "Example: varve drill check configs/drills/shard-kill.yaml")

    @Argument(help: "The drill files (YAML).") var files: [String]
    @Flag(help: "Machine output.") var json = false

    func run() throws {
        var problems: [ConfigurationError.Problem] = []
        for file in files {
            do { _ = try DrillCommand.load(file) } catch let error as ConfigurationError {
                problems += error.problems
                continue
            }
            if !json { print("\(file): ok") }
        }
        if json {
            let items = problems.map {
                "{\"file\":\(jsonText($0.file)),\"line\":\($0.line),\"message\":\(jsonText($0.message))}"
            }
            print("{\"ok\":\(problems.isEmpty),\"problems\":[\(items.joined(separator: ","))]}")
        } else {
            for problem in problems { printError(problem.description) }
        }
        if !problems.isEmpty { throw ExitCode(CommandFailure.configuration) }
    }
}

struct DrillListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show the drills of a folder, one line each.",
        discussion: "Example: varve drill list")

    @Option(help: "Folder with drill files.") var directory = "configs/drills"
    @Flag(help: "Machine output.") var json = false

    func run() throws {
        var table = TextTable([.init("DRILL"), .init("ENGINES"), .init("WHAT IT SHOWS")])
        var items: [String] = []
        var problems: [String] = []
        for file in try DrillCommand.files(in: directory) {
            do {
                let drill = try DrillCommand.load(file)
                let engines = drill.engines.map(\.rawValue)
                table.add([drill.name, engines.joined(separator: ", "), drill.about])
                let names = engines.map(jsonText).joined(separator: ",")
                items.append(
                    "{\"name\":\(jsonText(drill.name)),\"file\":\(jsonText(file)),\"engines\":[\(names)],"
                        + "\"about\":\(jsonText(drill.about))}")
            } catch let error as ConfigurationError { problems += error.problems.map(\.description) }
        }
        if json {
            print("[\(items.joined(separator: ","))]")
        } else {
            print(table.render(colours: Terminal(descriptor: STDOUT_FILENO).colours))
        }
        for problem in problems { printError(problem) }
        if !problems.isEmpty { throw ExitCode(CommandFailure.configuration) }
    }
}
