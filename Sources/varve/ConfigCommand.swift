import ArgumentParser
import Cluster
import Foundation

/// `varve config`: what a configuration file says, and whether it holds.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Check a configuration file, or show it with every default filled in.",
        discussion: "Example: varve config check configs/quickstart.yaml",
        subcommands: [ConfigCheckCommand.self, ConfigShowCommand.self])
}

/// A configuration file and the settings that are laid over it.
struct ConfigurationOptions: ParsableArguments {
    @Argument(help: "The configuration file (YAML).")
    var file: String

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Lay a value over the file, such as training.steps=100; may be repeated.",
            valueName: "key.path=value"))
    var overrides: [String] = []

    /// Reads and checks the file.
    func load() throws(CommandFailure) -> ClusterConfiguration {
        do {
            return try ClusterConfiguration.parse(
                yaml: try Self.read(file), file: file, overrides: overrides)
        } catch let failure as CommandFailure {
            throw failure
        } catch let error as ConfigurationError {
            throw CommandFailure(
                error.problems.map(\.description).joined(separator: "; "), exitCode: error.exitCode)
        } catch {
            throw CommandFailure("\(file): \(error)", exitCode: CommandFailure.failed)
        }
    }

    /// The file's text; a byte more than the parser takes is read, so that it can say that there is too much.
    static func read(_ file: String) throws(CommandFailure) -> String {
        let limit = ClusterConfiguration.sizeLimitBytes + 1
        var information = stat()
        guard stat(file, &information) == 0 else {
            throw unreadable(file, errno)
        }
        guard information.st_mode & S_IFMT != S_IFDIR else {
            throw CommandFailure(
                "\(file) is a folder: name a configuration file", exitCode: CommandFailure.missingInput)
        }
        guard let handle = FileHandle(forReadingAtPath: file) else { throw unreadable(file, errno) }
        defer { try? handle.close() }
        var bytes = Data()
        do {
            while bytes.count < limit, let part = try handle.read(upToCount: limit - bytes.count) {
                guard !part.isEmpty else { break }
                bytes.append(part)
            }
        } catch {
            throw CommandFailure(
                "can't read the configuration file \(file): \(error.localizedDescription)",
                exitCode: CommandFailure.missingInput)
        }
        guard let text = String(data: bytes, encoding: .utf8) else {
            // A cut at the limit may split a letter; such a file is too large and not badly encoded.
            let what = bytes.count == limit ? "larger than 1 MiB" : "not UTF-8 text"
            throw CommandFailure("\(file): \(what)", exitCode: CommandFailure.configuration)
        }
        return text
    }

    private static func unreadable(_ file: String, _ code: Int32) -> CommandFailure {
        CommandFailure(
            "can't read the configuration file \(file): \(String(cString: strerror(code)))",
            exitCode: CommandFailure.missingInput)
    }
}

/// `varve config check`: every problem with its line.
struct ConfigCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration file: exit code 0, or 78 and one line for each problem.",
        discussion: "Example: varve config check configs/quickstart.yaml --json")

    @OptionGroup var options: ConfigurationOptions
    @Flag(help: "Print one JSON object on standard output.") var json = false

    struct Report: Encodable {
        struct Problem: Encodable {
            let file: String
            let line: Int?
            let message: String
        }
        let ok: Bool
        let file: String
        let problems: [Problem]
    }

    func run() throws {
        do {
            let text = try ConfigurationOptions.read(options.file)
            _ = try ClusterConfiguration.parse(yaml: text, file: options.file, overrides: options.overrides)
            if json {
                try printJSON(Report(ok: true, file: options.file, problems: []))
            } else {
                print("\(options.file): ok")
            }
        } catch let error as ConfigurationError {
            if json {
                let problems = error.problems.map {
                    Report.Problem(file: $0.file, line: $0.line > 0 ? $0.line : nil, message: $0.message)
                }
                try printJSON(Report(ok: false, file: options.file, problems: problems))
            } else {
                printError(error.description)
            }
            throw ExitCode(error.exitCode)
        } catch let failure as CommandFailure {
            if json {
                let problem = Report.Problem(file: options.file, line: nil, message: failure.description)
                try printJSON(Report(ok: false, file: options.file, problems: [problem]))
            }
            throw failure
        }
    }
}

/// `varve config show`: the effective configuration, as a run keeps it.
struct ConfigShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print the configuration with every default filled in, as YAML.",
        discussion: "Example: varve config show configs/quickstart.yaml --set training.steps=100")

    @OptionGroup var options: ConfigurationOptions

    func run() throws {
        print(try options.load().yaml(), terminator: "")
    }
}

/// One line or several on standard error, where everything but results goes.
func printError(_ text: String) {
    FileHandle.standardError.write(Data((text + "\n").utf8))
}

/// A value as one line of JSON on standard output, keys in a fixed order.
func printJSON<Value: Encodable>(_ value: Value) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    print(String(decoding: try encoder.encode(value), as: UTF8.self))
}
