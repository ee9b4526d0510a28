import Foundation
import Testing

@testable import Drill

/// Drills of the catalogue on the simulator.
@Suite struct SimulatedTests {
    private static let folder: String = {
        // Tests/DrillTests/<this file>: three components below the root.
        let file = URL(fileURLWithPath: "\(#filePath)").resolvingSymlinksInPath()
        let root = file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return root.path + "/configs/drills"
    }()

    private func load(_ name: String) throws -> DrillFile {
        let path = "\(Self.folder)/\(name).yaml"
        return try parse(try String(contentsOfFile: path, encoding: .utf8), path)
    }

    private func parse(_ yaml: String, _ path: String = folder + "/d.yaml") throws -> DrillFile {
        try DrillFile.parse(yaml: yaml, file: path) { try? String(contentsOfFile: $0, encoding: .utf8) }
    }

    private func simulate(_ drill: DrillFile, seed: UInt64) -> DrillResult {
        // It starts no program: there is none of this name.
        DrillRun(drill, settings: DrillSettings(executable: "/nowhere", seed: seed, engine: .simulation))
            .run()
    }

    private static let small = "version: 1\ncluster: {file: clusters/small.yaml}\n"

    @Test(arguments: [
        "shard-kill", "all-kill", "coordinator-pause-two-leaders", "shard-pause-past-lease", "store-wipe",
        "bit-flip-in-delta", "misdirected-write", "fsync-error", "clock-jump",
    ])
    func aDrillOfTheCatalogueHolds(_ name: String) throws {
        let result = simulate(try load(name), seed: 2)
        #expect(result.verdict == .passed, "\(name): \(result.reason)")
    }

    @Test(arguments: ["rolling-kill-every-250-ms", "bit-flip-in-delta"])
    func theSameSeedGivesTheSameReport(_ name: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        let drill = try load(name)
        let (first, again, other) = (
            simulate(drill, seed: 4), simulate(drill, seed: 4), simulate(drill, seed: 5)
        )
        #expect(try encoder.encode(first) == encoder.encode(again))
        #expect(Page(result: first).html == Page(result: again).html)
        #expect(JUnit(result: first).xml == JUnit(result: again).xml)
        #expect(try encoder.encode(first) != encoder.encode(other))
    }

    @Test(arguments: [
        ("steps: [{name: a, run: 'true'}]", "step 'a': the simulator runs no commands"),
        (
            "steps: [{name: a, fault: garbage, target: shard-0}]",
            "step 'a': the simulator does not know garbage"
        ),
        (
            "steps: [{parallel: [{name: b, fault: limit, between: [shard-0, store-0], bandwidth: 1KiB/s}]}]",
            "step 'b': the simulator does not know limit"
        ),
        ("steps: [{pause: 1s}]\nends: refused", "the simulator does not know 'ends: refused'"),
        (
            "steps: [{pause: 1s}]\nexpect: {accuracy_within: 0.1}",
            "the simulator does not know 'accuracy_within'"
        ),
    ])
    func whatTheSimulatorDoesNotKnowIsNotRun(_ rest: String, _ words: String) throws {
        let drill = try parse(Self.small + rest + "\n")
        #expect(drill.engines == [.processes])
        let result = simulate(drill, seed: 1)
        #expect(result.verdict == .notRun)
        #expect(result.reason.hasPrefix(words), "\(result.reason)")
        #expect(result.verdict.exitCode == 2)
    }

    @Test func whatDoesNotHoldFailsInTheSimulatorToo() throws {
        let kill = "steps:\n  - {wait: step >= 20}\n  - {name: k, fault: kill, target: any shard}\n"
        let tight = simulate(
            try parse(
                Self.small + kill
                    + "  - {wait: recovered}\n  - {wait: committed >= +10}\nexpect: {recovered_within: 1ms}\n"
            ),
            seed: 1)
        #expect(tight.verdict == .failed)
        #expect(tight.reason.contains("the slowest was shard-"), "\(tight.reason)")
        let late = simulate(
            try parse(Self.small + kill + "  - {name: w, wait: state == stalled, within: 2s}\n"), seed: 1)
        #expect(late.verdict == .failed)
        #expect(late.reason.contains("state == stalled did not come true within 2000 ms"), "\(late.reason)")
    }

    @Test func faultsAtOnceStrikeAtOnce() throws {
        let result = simulate(
            try parse(
                Self.small + """
                    steps:
                      - {wait: step >= 20}
                      - parallel:
                          - {name: a, fault: kill, target: shard-0}
                          - {name: b, fault: stale-disk, target: store-1, age: 300ms}
                          - {name: c, fault: kill, target: worker-0}
                      - {wait: state == running}
                      - {verify: mended}
                      - {wait: committed >= +10}

                    """), seed: 3)
        #expect(result.verdict == .passed, "\(result.reason)")
        let struck = result.history.filter { $0.kind == .fault }
        // The one that takes its time does not hold up the one behind it.
        #expect(struck.map(\.step) == ["a", "c", "b"])
    }
}
