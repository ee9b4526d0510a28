import Cluster
import Testing

@testable import Drill

@Suite struct SelectorTests {
    private var configuration: ClusterConfiguration {
        get throws {
            try ClusterConfiguration.parse(
                yaml: "cluster: {shards: 4, workers: 2, stores: 3}\n", file: "c.yaml")
        }
    }

    private func draws(_ words: String, seed: UInt64, times: Int = 20) throws -> [[String]] {
        let configuration = try configuration
        let selector = try #require(NodeSelector.parse([words], in: configuration).0)
        var random = DrillRandom(seed: seed)
        return (0..<times).map { _ in selector.draw(in: configuration, with: &random) }
    }

    @Test func aSeedDrawsTheSameNodes() throws {
        let first = try draws("any shard", seed: 7)
        #expect(first == (try draws("any shard", seed: 7)))
        #expect(first != (try draws("any shard", seed: 8)))
        #expect(Set(first.flatMap { $0 }) == ["shard-0", "shard-1", "shard-2", "shard-3"])
    }

    @Test func severalAreDifferentOnes() throws {
        for drawn in try draws("3 nodes", seed: 1) { #expect(Set(drawn).count == 3) }
    }

    @Test func everyMeansAll() throws {
        #expect(try draws("every store", seed: 1, times: 1) == [["store-0", "store-1", "store-2"]])
        #expect(try draws("every node", seed: 1, times: 1)[0].count == 10)
    }
}
