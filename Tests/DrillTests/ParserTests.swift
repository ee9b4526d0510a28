import Cluster
import Foundation
import Testing

@testable import Drill

@Suite struct ParserTests {
    private static let head = """
        version: 1
        cluster: {configuration: {cluster: {shards: 2, workers: 2, stores: 3}, training: {steps: 500}}}

        """

    private func problems(_ yaml: String, files: [String: String] = [:]) -> String {
        do {
            _ = try DrillFile.parse(yaml: yaml, file: "d.yaml") { files[$0] }
            return ""
        } catch { return error.description }
    }

    private func parse(_ yaml: String, files: [String: String] = [:]) throws -> DrillFile {
        try DrillFile.parse(yaml: yaml, file: "d.yaml") { files[$0] }
    }

    @Test func everyKindOfStepIsRead() throws {
        let drill = try parse(
            Self.head + """
                name: all-steps
                seed: 7
                timeout: 1.5m
                steps:
                  - {name: warm up, wait: step >= 40, within: 10s}
                  - {name: two at once, fault: kill, target: 2 shards, repeat: {every: 250ms, times: 8}}
                  - {wait: recovered}
                  - {name: cut, fault: cut, between: [shard-0, every store], for: 2s}
                  - {name: one way, fault: delay, from: any worker, to: shard-1, delay: 50ms, jitter: 20ms}
                  - {heal: one way}
                  - {assert: {no_event: fault}, for: 1s}
                  - {assert: {event: recovered, node: every shard, count: 2}}
                  - {pause: 100ms}
                  - {run: 'true', within: 5s}
                  - {verify: mended, within: 5s}
                  - parallel:
                      - {wait: committed >= +20}
                      - {fault: bit-flip, target: any store, count: 3, record: base}
                expect: {same_bits: false, lost_steps: 1, invariants: [durable, monotonic]}
                """)
        #expect(drill.name == "all-steps")
        #expect(drill.timeoutMilliseconds == 90_000)
        #expect(drill.steps.count == 12)
        #expect(drill.steps[1].name == "two at once")
        guard case .fault(let kill) = drill.steps[1].action else { return #expect(Bool(false), "no fault") }
        #expect((kill.kind, kill.everyMilliseconds, kill.times) == (.kill, 250, 8))
        guard case .parallel(let inner) = drill.steps[11].action, case .fault(let flip) = inner[1].action
        else {
            return #expect(Bool(false), "no fault at once")
        }
        #expect((flip.count, flip.record) == (3, .base))
        #expect(drill.expectations.invariants == [.durable, .monotonic])
    }

    @Test func aClusterFileIsReadBesideTheDrill() throws {
        let yaml = "version: 1\ncluster: {file: small.yaml, set: [training.steps=9]}\nsteps: [{pause: 1s}]\n"
        let drill = try DrillFile.parse(yaml: yaml, file: "drills/d.yaml") {
            $0 == "drills/small.yaml" ? "cluster: {shards: 4}\n" : nil
        }
        #expect((drill.configuration.cluster.shards, drill.configuration.training.steps) == (4, 9))
        #expect(problems(yaml).hasPrefix("d.yaml:2: can't read the configuration 'small.yaml'"))
    }

    /// What is wrong, and the beginning of what is said of it; lines 1 and 2 are the head.
    @Test(arguments: [
        (
            "steps:\n  - {wait: step >= 4, wihtin: 2s}\n",
            "d.yaml:4: step 1 has no key 'wihtin' (did you mean 'within'?)"
        ),
        (
            "steps:\n  - {fault: kill, targt: shard-0}\n",
            "d.yaml:4: step 1 has no key 'targt' (did you mean 'target'?)"
        ),
        ("steps:\n  - {fault: kil, target: shard-0}\n", "d.yaml:4: 'kil' is no fault (did you mean 'kill'?)"),
        ("steps:\n  - {fault: kill, target: shard-2}\n", "d.yaml:4: 'shard-2': the cluster has 2 shards"),
        ("steps:\n  - {fault: kill, target: some shard}\n", "d.yaml:4: 'some shard' names no node"),
        ("steps:\n  - {fault: kill, target: 3 shards}\n", "d.yaml:4: '3 shards': the cluster has only 2"),
        ("steps:\n  - {fault: kill}\n", "d.yaml:4: 'kill' needs 'target:'"),
        ("steps:\n  - {fault: wipe, target: any shard}\n", "d.yaml:4: 'wipe' strikes stores alone"),
        ("steps:\n  - {fault: garbage, target: worker-0}\n", "d.yaml:4: 'garbage' can't reach workers"),
        ("steps:\n  - {fault: cut, between: [worker-0, store-0]}\n", "d.yaml:4: there is no link between"),
        ("steps:\n  - {fault: cut, target: shard-0}\n", "d.yaml:4: 'cut' needs 'between:"),
        ("steps:\n  - {fault: kill, target: shard-0, for: 2s}\n", "d.yaml:4: step 1 has no key 'for'"),
        ("steps:\n  - {fault: delay, from: shard-0, to: store-1}\n", "d.yaml:4: 'delay' needs"),
        (
            "steps:\n  - {wait: step >= 501}\n",
            "d.yaml:4: 'step >= 501' can't come true: training ends at step 500"
        ),
        ("steps:\n  - {wait: step}\n", "d.yaml:4: 'step' is no condition"),
        ("steps:\n  - {wait: stp >= 3}\n", "d.yaml:4: 'stp' has no order"),
        (
            "steps:\n  - {wait: state == runing}\n",
            "d.yaml:4: 'runing' is no state of a cluster (did you mean 'running'?)"
        ),
        ("steps:\n  - {wait: recovered}\n", "d.yaml:4: nothing has failed before 'recovered'"),
        (
            "steps:\n  - {wait: {event: recoverd}}\n",
            "d.yaml:4: 'recoverd' is no event (did you mean 'recovered'?)"
        ),
        ("steps:\n  - {wait: step >= 3, within: 5}\n", "d.yaml:4: 'within' must be a time such as"),
        ("steps:\n  - {heal: the cut}\n", "d.yaml:4: no fault step before this one is named 'the cut'"),
        ("steps:\n  - {wait: step >= 3, pause: 1s}\n", "d.yaml:4: step 1 has 'wait' and 'pause'"),
        ("steps:\n  - {name: nothing}\n", "d.yaml:4: step 1 does nothing"),
        ("steps:\n  - {pause: 1s}\nexpect: {same_bits: true}\n", "d.yaml:5: 'same_bits' holds only with"),
        ("steps:\n  - {pause: 1s}\nexpect: {invariants: [fenced]}\n", "d.yaml:5: 'fenced' does not show"),
        (
            "steps:\n  - {pause: 1s}\nexpect: {lost_step: 1}\n",
            "d.yaml:5: expect has no key 'lost_step' (did you mean"
        ),
        (
            "steps:\n  - {pause: 1s}\nexpects: {}\n",
            "d.yaml:5: a drill has no key 'expects' (did you mean 'expect'?)"
        ),
        ("steps: []\n", "d.yaml:3: must be a list of steps"),
        ("steps:\n  - &a {pause: 1s}\n  - *a\n", "d.yaml:4:"),
        ("steps: [\n", "d.yaml:4: not YAML"),
    ]) func refused(yaml: String, prefix: String) {
        let found = problems(Self.head + yaml)
        #expect(found.hasPrefix(prefix), "\(found)")
    }

    @Test(arguments: [
        ("", "d.yaml:1: is empty"),
        ("name: x\n", "d.yaml:1: 'version: 1' is missing"),
        ("version: 2\n", "d.yaml:1: version 2 of drills is unknown"),
        ("version: 1\nsteps: [{pause: 1s}]\n", "d.yaml:1: 'cluster' is missing"),
        (
            "version: 1\nsteps: [{pause: 1s}]\ncluster:\n  configuration:\n    checkpoint:\n      evry: 1\n",
            "d.yaml:6: unknown key 'checkpoint.evry' (did you mean 'every'?)"
        ),
    ]) func refusedAsAWhole(yaml: String, prefix: String) {
        #expect(problems(yaml).hasPrefix(prefix), "\(problems(yaml))")
    }

    @Test func everyProblemIsToldAtOnce() {
        let found = problems(Self.head + "steps:\n  - {fault: kil}\n  - {wait: recoverd}\nexpect: {x: 1}\n")
        #expect(found.split(separator: "\n").count == 3, "\(found)")
    }

    @Test func theCatalogueHolds() throws {
        let folder = Repository.root + "/configs/drills"
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter {
            $0.hasSuffix(".yaml")
        }
        #expect(!names.isEmpty)
        for name in names {
            let path = "\(folder)/\(name)"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let drill = try DrillFile.parse(yaml: text, file: path) {
                try? String(contentsOfFile: $0, encoding: .utf8)
            }
            #expect(drill.name + ".yaml" == name)
            #expect(!drill.about.isEmpty, "\(name) does not say what it shows")
        }
    }
}

/// Where the repository stands, from the place of this file.
enum Repository {
    static let root: String = {
        let file = URL(fileURLWithPath: "\(#filePath)").resolvingSymlinksInPath()
        return file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    }()
}
