import Testing

@testable import Cluster

@Suite struct LayoutTests {
    @Test func whatCheckpointsDependOnCannotChange() {
        let before = ClusterConfiguration()
        #expect(before.layoutChange(since: before) == nil)
        let changes: [(String, (inout ClusterConfiguration) -> Void)] = [
            ("cluster.shards was 1 and would be 2", { $0.cluster.shards = 2 }),
            ("cluster.stores was 1 and would be 4", { $0.cluster.stores = 4 }),
            ("model.kind was lenet5 and would be mlr", { $0.model.kind = .mlr }),
            ("training.optimizer.kind was sgd and would be adam", { $0.training.optimizer.kind = .adam }),
            (
                "training.optimizer.momentum was 0.0 and would be 0.9",
                { $0.training.optimizer.momentum = 0.9 }
            ),
        ]
        for (words, change) in changes {
            var after = before
            change(&after)
            #expect(after.layoutChange(since: before) == words)
        }
    }

    @Test func theRestMayChange() {
        let before = ClusterConfiguration()
        var after = before
        after.training.steps = 9
        after.cluster.workers = 3
        after.training.optimizer.learningRate = 1
        after.checkpoint.every = 5
        after.checkpoint.codec.bits = 2
        #expect(after.layoutChange(since: before) == nil)
    }
}
