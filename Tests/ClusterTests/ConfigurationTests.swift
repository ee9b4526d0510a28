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
        ("checkpoint:\n  codec:\n    bits: 9\n", "c.yaml:3: 'checkpoint.codec.bits'"),
        ("training: 3\n", "c.yaml:1: 'training' must be a mapping"),
        ("a: &x 1\nb: *x\n", "c.yaml: '*' and '&'"),
    ]) func refused(yaml: String, prefix: String) {
        #expect(problems(yaml).hasPrefix(prefix), "\(problems(yaml))")
    }
}
