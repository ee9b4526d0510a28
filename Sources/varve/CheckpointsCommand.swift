import ArgumentParser
import Foundation
import Node
import Wire

struct CheckpointsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoints",
        abstract: "List, verify, compare, pin and prune the checkpoints of a run.",
        subcommands: [List.self, Verify.self, Diff.self, Prune.self, Pin.self], defaultSubcommand: List.self)

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the committed checkpoints.",
            discussion: "Example:\n  varve checkpoints list --run-dir run1")
        @OptionGroup var options: RunOptions
        @Flag(help: "Machine output.") var json = false

        func run() throws {
            let text = options.isUp() ? try options.ask("manifests") : try Self.offline(options)
            if json {
                print(text)
                return
            }
            let items = (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [[String: Any]] ?? []
            var table = TextTable([
                .init("STEP", .right), .init("KIND"), .init("RAW", .right), .init("ENCODED", .right),
                .init("REPLICAS", .right), .init("PINNED"), .init("DIGEST"),
            ])
            for item in items {
                func size(_ key: String) -> String { humanBytes((item[key] as? NSNumber)?.intValue ?? 0) }
                table.add([
                    "\(item["step"] ?? "")", "\(item["kind"] ?? "")", size("raw_bytes"),
                    size("encoded_bytes"),
                    "\(item["replicas"] ?? "")", (item["pinned"] as? Bool) == true ? "yes" : "",
                    "\(item["digest"] ?? "")",
                ])
            }
            print(table.render(colours: Terminal(descriptor: STDOUT_FILENO).colours))
        }

        static func offline(_ options: RunOptions) throws -> String {
            let directory = try options.directory()
            let manifests: [Manifest]
            do { manifests = try ModelReader.manifests(databasePath: directory.databasePath) } catch {
                throw CommandFailure("\(error)", exitCode: CommandFailure.failed)
            }
            return "[" + manifests.map(\.summaryJSON).joined(separator: ",") + "]"
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read every copy of every checkpoint and compare it with its checksums and digests.",
            discussion: """
                Exits with 2 when a copy is damaged or missing and was not mended.

                Examples:
                  varve checkpoints verify --run-dir run1
                  varve checkpoints verify --repair --json
                """)
        @OptionGroup var options: RunOptions
        @Flag(help: "Fetch what is damaged or missing from the other stores.") var repair = false
        @Flag(help: "Machine output.") var json = false

        func run() throws {
            let report: VerifyReport
            do {
                if options.isUp() {
                    report = try VerifyReport(
                        answer: try options.ask(repair ? "repair" : "verify", timeoutSeconds: 90))
                } else {
                    let (_, plan, directory) = try options.reader()
                    let found = try Verification(
                        run: directory.identity.runID, plan: plan, databasePath: directory.databasePath,
                        storeDirectories: (0..<plan.settings.stores).map { directory.storePath(index: $0) }
                    ).run(repair: repair)
                    report = VerifyReport(found)
                }
            } catch let error as CommandFailure { throw error } catch {
                throw CommandFailure("\(error)", exitCode: CommandFailure.failed)
            }
            if json { print(report.json) } else { print(report.text) }
            if !report.isSound { throw ExitCode(CommandFailure.checkFailed) }
        }
    }

    struct Diff: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compare the parameters of two checkpoints.",
            discussion: "Example:\n  varve checkpoints diff 100 200 --run-dir run1")
        @Argument(help: "A committed step.") var first: UInt64
        @Argument(help: "Another one.") var second: UInt64
        @OptionGroup var options: RunOptions
        @Flag(help: "Machine output.") var json = false

        func run() throws {
            let (reader, plan, _) = try options.reader()
            let (a, b): (RestoredModel, RestoredModel)
            do { (a, b) = (try reader.restore(step: first), try reader.restore(step: second)) } catch {
                throw CommandFailure("\(error)", exitCode: CommandFailure.failed)
            }
            var lines: [String] = []
            var table = TextTable([
                .init("TENSOR"), .init("ELEMENTS", .right), .init("CHANGED", .right),
                .init("RELATIVE", .right),
                .init("LARGEST", .right),
            ])
            var offset = 0
            for spec in plan.shape.parameters {
                var (changed, difference, norm, largest) = (0, 0.0, 0.0, 0.0)
                for i in offset..<offset + spec.count {
                    let d = Double(b.parameters[i]) - Double(a.parameters[i])
                    if d != 0 { changed += 1 }
                    difference += d * d
                    norm += Double(a.parameters[i]) * Double(a.parameters[i])
                    largest = max(largest, abs(d))
                }
                offset += spec.count
                let relative = norm > 0 ? (difference / norm).squareRoot() : 0
                table.add([
                    spec.name, "\(spec.count)", "\(changed)", String(format: "%.3e", relative),
                    String(format: "%.3e", largest),
                ])
                lines.append(
                    "{\"name\":\(jsonText(spec.name)),\"elements\":\(spec.count),\"changed\":\(changed),\"relative\":\(relative),\"largest\":\(largest)}"
                )
            }
            print(
                json
                    ? "{\"from\":\(first),\"to\":\(second),\"tensors\":[\(lines.joined(separator: ","))]}"
                    : table.render(colours: Terminal(descriptor: STDOUT_FILENO).colours))
        }
    }

    struct Prune: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Drop now what the configuration's 'keep' does not name.",
            discussion: "Example:\n  varve checkpoints prune --run-dir run1")
        @OptionGroup var options: RunOptions
        func run() throws {
            _ = try options.ask("prune")
            print("pruned")
        }
    }

    struct Pin: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keep a checkpoint whatever 'keep' says.",
            discussion: "Example:\n  varve checkpoints pin 300 --run-dir run1")
        @Argument(help: "A committed step.") var step: Int64
        @OptionGroup var options: RunOptions
        @Flag(help: "Give the pin up.") var remove = false
        func run() throws {
            _ = try options.ask(remove ? "unpin" : "pin", step: step)
            print("step \(step) is \(remove ? "no longer pinned" : "pinned")")
        }
    }
}

/// What a verification found, whoever made it.
struct VerifyReport {
    struct Item {
        var store: String
        var step: UInt64?
        var shard: UInt32?
        var what: String
    }
    var checked = 0
    var corrupt: [Item] = []
    var repaired = 0
    var absent: [String] = []

    var isSound: Bool { corrupt.count <= repaired && absent.isEmpty }

    init() {}

    /// From the coordinator's answer, which gathers what the stores said.
    init(answer: String) throws {
        let object = try JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any] ?? [:]
        absent = object["absent"] as? [String] ?? []
        for entry in object["stores"] as? [[String: Any]] ?? [] {
            let store = entry["store"] as? String ?? "?"
            let report = entry["report"] as? [String: Any] ?? [:]
            checked += (report["checked"] as? NSNumber)?.intValue ?? 0
            repaired += (report["repaired"] as? NSNumber)?.intValue ?? 0
            for item in report["corrupt"] as? [[String: Any]] ?? [] {
                corrupt.append(
                    Item(
                        store: store, step: (item["step"] as? NSNumber)?.uint64Value,
                        shard: (item["shard"] as? NSNumber)?.uint32Value, what: item["what"] as? String ?? "")
                )
            }
        }
    }

    init(_ findings: Verification.Report) {
        checked = findings.checked
        repaired = findings.repaired
        corrupt = findings.corrupt.map {
            Item(store: "store-\($0.store)", step: $0.step, shard: $0.shard, what: $0.what)
        }
    }

    var json: String {
        let items = corrupt.map {
            "{\"store\":\"\($0.store)\",\"step\":\($0.step.map { "\($0)" } ?? "null"),\"shard\":\($0.shard.map { "\($0)" } ?? "null"),\"what\":\(jsonText($0.what))}"
        }
        let missing = absent.map { "\"\($0)\"" }.joined(separator: ",")
        return
            "{\"ok\":\(isSound),\"checked\":\(checked),\"corrupt\":[\(items.joined(separator: ","))],\"repaired\":\(repaired),\"absent\":[\(missing)]}"
    }

    var text: String {
        var lines = corrupt.map { "\($0.store): \($0.what)" }
        lines += absent.map { "\($0): did not answer" }
        lines.append("\(checked) records checked, \(corrupt.count) damaged or missing, \(repaired) mended")
        return lines.joined(separator: "\n")
    }
}
