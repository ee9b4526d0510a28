import Testing
import Wire

@Suite struct NodeIDTests {
    @Test func everyPlaceReadsBackAsItself() {
        for role in Role.allCases where role != .coordinator {
            for index in [0, 1, 9, 10, 12_345, 999_999_999] {
                let node = NodeID(role: role, index: index)
                #expect(NodeID(node.description) == node)
            }
        }
        #expect(NodeID("coordinator") == .coordinator)
        #expect(NodeID.coordinator.description == "coordinator")
    }

    @Test(arguments: [
        "", "-", "shard", "shard-", "-1", "shard--1", "shard-+1", "shard-1 ", " shard-1", "Shard-1",
        "shard-1x", "shard-01", "shard-00",
        "shard_1", "coordinator-0", "shard-1234567890", "shard-٣", "shard-\0", "node-1", "shard-1-2",
    ])
    func anythingElseIsRefused(_ text: String) {
        #expect(NodeID(text) == nil)
    }

    @Test func placesAreOrderedByRoleAndThenByNumber() {
        let ordered: [NodeID] = [.coordinator, .store(0), .store(2), .store(10), .shard(1), .worker(0)]
        #expect(ordered.reversed().sorted() == ordered)
    }
}
