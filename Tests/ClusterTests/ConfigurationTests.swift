import Foundation
import Testing

@testable import Cluster

@Suite struct ConfigurationTests {
    private func problems(_ yaml: String, _ overrides: [String] = []) -> String {
        do {
            _ = try ClusterConfiguration.parse(yaml: yaml, file: "c.yaml", overrides: overrides)
            return ""
        } catch { return error.description }
    }

    @Test func effectiveConfigurationReadsBackToItself() throws {
        let first = try ClusterConfiguration.parse(
            yaml: "cluster: {name: it's, shards: 4, stores: 3}\n", file: "c.yaml",
            overrides: ["training.steps=7", "checkpoint.codec.bits=all"])
        #expect(first.training.steps == 7)
        #expect(first.checkpoint.codec.bits == nil)
        #expect(first.checkpoint.writeQuorum == 2)
        #expect(try ClusterConfiguration.parse(yaml: first.yaml(), file: "r.yaml") == first)
    }

    @Test(arguments: [
        "{kind: full}", "{kind: topn, fraction: 0.05}", "{kind: scar, fraction: 0.125}",
        "{kind: scar, fraction: 0.25, block: 16, select: round-robin}", "{kind: auto, error: 1e-3}",
    ]) func codecReadsBackToItself(codec: String) throws {
        let first = try ClusterConfiguration.parse(
            yaml: "checkpoint: {codec: \(codec)}\n", file: "c.yaml", overrides: [])
        #expect(try ClusterConfiguration.parse(yaml: first.yaml(), file: "r.yaml") == first)
    }

    @Test func unknownKeyNamesLineAndNearest() {
        #expect(
            problems("cluster:\n  shards: 2\ncheckpoint:\n  evry: 1\n")
                == "c.yaml:4: unknown key 'checkpoint.evry' (did you mean 'every'?)")
    }

    @Test(arguments: [
        ("cluster:\n  shards: 0\n", "c.yaml:2: 'cluster.shards'"),
        ("cluster:\n  transport: tls+tcp\n", "c.yaml:2: 'cluster.transport: tls+tcp' is not available yet"),
        ("training:\n  consistency: ssp\n", "c.yaml:2: 'training.consistency: ssp' needs"),
        ("checkpoint:\n  write_quorum: 2\n", "c.yaml:2: 'checkpoint.write_quorum' 2 exceeds"),
        ("checkpoint:\n  codec:\n    bits: 17\n", "c.yaml:3: 'checkpoint.codec.bits'"),
        ("checkpoint:\n  codec:\n    kind: auto\n", "c.yaml:3: 'checkpoint.codec.kind: auto' needs"),
        ("checkpoint:\n  codec: {kind: auto, error: 0}\n", "c.yaml:2: 'checkpoint.codec.error' must lie"),
        ("checkpoint:\n  codec: {kind: auto, error: 1}\n", "c.yaml:2: 'checkpoint.codec.error' must lie"),
        ("checkpoint:\n  codec:\n    error: 1e-3\n", "c.yaml:3: 'checkpoint.codec.error' is for kind auto"),
        (
            "checkpoint:\n  codec: {kind: topn}\n",
            "c.yaml:2: 'checkpoint.codec.kind: topn' needs 'checkpoint.codec.fraction'"
        ),
        (
            "checkpoint:\n  codec: {kind: scar, fraction: 1.5}\n",
            "c.yaml:2: 'checkpoint.codec.fraction' must lie above 0"
        ),
        (
            "checkpoint:\n  codec: {kind: topn, fraction: 0.1, block: 4}\n",
            "c.yaml:2: 'checkpoint.codec.block' is for kind scar"
        ),
        (
            "checkpoint:\n  codec: {fraction: 0.1}\n",
            "c.yaml:2: 'checkpoint.codec.fraction' is for kind topn and scar"
        ),
        (
            "checkpoint:\n  slots_codec: {kind: topn, fraction: 0.1}\n",
            "c.yaml:2: 'checkpoint.slots_codec.kind: topn' is for"
        ),
        (
            "checkpoint:\n  codec: {kind: full}\n  slots_codec: {kind: lc}\n",
            "c.yaml:3: 'checkpoint.slots_codec.kind' must be exact"
        ),
        ("training: 3\n", "c.yaml:1: 'training' must be a mapping"),
        ("a: &x 1\nb: *x\n", "c.yaml:1: '*' and '&'"),
        ("cluster: {shards: 2}\nmodel: *x\n", "c.yaml:2: not YAML"),
        ("cluster:\n  shards: [1\nmodel: {}\n", "c.yaml:3: not YAML"),
        ("cluster: {shards: 2}\ncluster: {shards: 3}\n", "c.yaml:"),
        ("cluster: {shards: 2}\n---\nmodel: {}\n", "c.yaml:2: not YAML"),
        ("cluster:\n  hosts: [a, b]\n", "c.yaml:2: 'cluster.hosts' is not available yet"),
        ("hosts: {a: 1}\n", "c.yaml:1: 'hosts' is not available yet"),
        ("model: {kind: resnet}\n", "c.yaml:1: 'model.kind'"),
        ("a: {}\n", "c.yaml:1: unknown key 'a'"),
        ("- 1\n", "c.yaml:1: must be a mapping"),
        ("a: \u{1}\n", "c.yaml"),
    ]) func refused(yaml: String, prefix: String) {
        #expect(problems(yaml).hasPrefix(prefix), "\(problems(yaml))")
    }

    @Test func starsAndAmpersandsInWordsAreOnlyLetters() throws {
        let yaml = "# 3 * 4 & more\ncluster: {name: 'a & b *c'} # &x *y\n"
        #expect(try ClusterConfiguration.parse(yaml: yaml, file: "c.yaml").cluster.name == "a & b *c")
    }

    /// What is repeated, and how often; the last is a block that grows by a column per line.
    @Test(arguments: [
        ("[", 200_000), ("{a: ", 200_000), ("- ", 200_000), ("? ", 200_000), ("[ # ]\n", 100_000),
    ])
    func depthIsRefusedBeforeComposing(pattern: String, count: Int) {
        let found = problems(String(repeating: pattern, count: count))
        #expect(found.contains("nested too deeply"), "\(found.prefix(200))")
    }

    @Test func deepBlocksAreRefusedBeforeComposing() {
        let lines = (0..<900).map { String(repeating: " ", count: $0) + "a:" }
        #expect(problems(lines.joined(separator: "\n")).hasPrefix("c.yaml:66: nested too deeply"))
    }

    @Test func unfoldingIsRefused() {
        let lines = (1...30).map { "l\($0): &l\($0) {a: *l\($0 - 1), b: *l\($0 - 1)}" }
        let found = problems((["l0: &l0 {a: 1}"] + lines).joined(separator: "\n"))
        #expect(found.hasPrefix("c.yaml:1: '*' and '&'"), "\(found.prefix(200))")
    }

    @Test func sizeIsBounded() {
        #expect(problems("# " + String(repeating: "x", count: 1 << 20)).contains("larger than 1 MiB"))
    }

    @Test func emptyFileMeansDefaults() throws {
        #expect(try ClusterConfiguration.parse(yaml: "", file: "c.yaml").training.steps == 500)
        #expect(try ClusterConfiguration.parse(yaml: "# nothing\n", file: "c.yaml").cluster.shards == 1)
    }

    @Test func exampleConfigurationsHold() throws {
        let folder = Repository.root + "/configs"
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter {
            $0.hasSuffix(".yaml")
        }
        #expect(names.count >= 5)
        for name in names {
            let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
            _ = try ClusterConfiguration.parse(yaml: text, file: name)
        }
    }
}
