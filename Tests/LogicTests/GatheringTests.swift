import CoordinatorLogic
import MachineCore
import ShardLogic
import StoreLogic
import Testing
import Wire

/// What comes close together shares one sync, one message or one transaction, and nothing waits for ever.
@Suite struct GatheringTests {
    typealias Store = Stepper<StoreMachine>

    /// A store to which two shards append.
    func store() -> Store {
        let members = (0..<3).map { makeMember(.store($0)) } + (0..<2).map { makeMember(.shard($0)) }
        var store = Store(
            StoreMachine(
                membership: makeMembership(.store(0), view: makeView(number: 0, members: members)),
                settings: .init(stores: 3, replicas: 3, gather: .milliseconds(3)),
                found: .init(promisedEpoch: 1)))
        _ = store.receive(.view(makeView(members: members)), from: .coordinator)
        return store
    }

    func append(_ shard: UInt32, _ step: UInt64, to store: inout Store) -> [String] {
        let part = makePart(shard: shard, step: step, digest: "p\(shard)-")
        return StoreMachineTests().writes(
            store.receive(makeAppend(part), from: .shard(Int(shard)), payload: tensor(1)))
    }

    @Test func recordsOfOneStepShareASync() {
        var store = store()
        #expect(append(0, 1, to: &store) == [])
        #expect(append(1, 1, to: &store) == ["record 0@1", "record 1@1"])
        _ = store.complete(.written)
        #expect(append(1, 2, to: &store) == [])
        #expect(append(0, 2, to: &store) == ["record 1@2", "record 0@2"])
    }

    @Test func aRecordWaitsForOthersOnlyAWhile() {
        var store = store()
        let began = store.now
        #expect(append(0, 1, to: &store) == [])
        #expect(store.machine.nextDeadline == began + .milliseconds(3))
        let early = StoreMachineTests().writes(store.wait(milliseconds: 2))
        #expect(early == [])
        let due = StoreMachineTests().writes(store.wait(milliseconds: 1))
        #expect(due == ["record 0@1"])
        _ = store.complete(.written)
        // The late one has nobody to wait for.
        #expect(append(1, 1, to: &store) == ["record 1@1"])
    }

    @Test func aShardThatIsBehindIsNotKeptWaiting() {
        var store = store()
        _ = append(0, 1, to: &store)
        _ = store.wait(milliseconds: 3)
        #expect(append(1, 1, to: &store) == [])
        #expect(append(0, 2, to: &store) == [])
        let next = StoreMachineTests().writes(store.complete(.written))
        #expect(next == ["record 1@1", "record 0@2"])
    }

    @Test func aPromiseWaitsForNobody() {
        var store = store()
        _ = append(0, 1, to: &store)
        let fence = StoreMachineTests().fence(4, committed: -1)
        let written = StoreMachineTests().writes(store.receive(fence, from: .coordinator))
        #expect(written == ["record 0@1", "promise 4"])
    }

    @Test func aShardTellsOfCheckpointsInBatches() throws {
        let tests = ShardMachineTests()
        var (shard, part) = try tests.checkpointed { $0.tellPause = .milliseconds(40) }
        _ = tests.ack(part, by: 0, &shard)
        let first = tests.ack(part, by: 1, &shard)
        #expect(tests.prepared(first).map(\.step) == [0])
        for step: UInt64 in 1...2 {
            _ = tests.step(step - 1, &shard)
            var next = makePart(step: step, base: step - 1)
            next.epoch = 1
            next.line = 1
            _ = shard.complete(.encoded(next, frame: tensor(7)))
            _ = tests.ack(next, by: 0, &shard)
            let durable = tests.ack(next, by: 1, &shard)
            #expect(tests.prepared(durable).isEmpty)
        }
        _ = tests.ack(makePart(step: 2), by: 2, &shard)
        let early = shard.wait(milliseconds: 39)
        #expect(tests.prepared(early).isEmpty)
        let due = shard.wait(milliseconds: 1)
        #expect(tests.prepared(due).map(\.step) == [1, 2])
        #expect(tests.prepared(due).map(\.stores) == [[0, 1], [0, 1, 2]])
        // Without a confirmation everything is told again.
        let again = shard.wait(milliseconds: 300)
        #expect(tests.prepared(again).map(\.step) == [0, 1, 2])
    }

    @Test func commitsShareATransaction() {
        let tests = CoordinatorMachineTests()
        var cluster = tests.running(CoordinatorMachineTests.settings { $0.tellPause = .milliseconds(40) })
        _ = cluster.tick(milliseconds: 40)
        func tell(_ step: UInt64) -> Int {
            _ = cluster.prepared(0, tests.part(0, step))
            return cluster.prepared(1, tests.part(1, step)).persists
        }
        #expect(tell(1) == 1)
        _ = cluster.settle(cluster.driver.complete(.persisted))
        #expect(tell(2) == 0)
        #expect(tell(3) == 0)
        let deadline = cluster.driver.machine.nextDeadline
        #expect(deadline.map { $0 <= cluster.driver.now + .milliseconds(40) } == true)
        let due = cluster.driver.wait(milliseconds: 40)
        let commits = due.actions.compactMap { action in
            if case .persist(_, let commits, _) = action { commits.map(\.step) } else { nil }
        }
        #expect(commits == [[2, 3]])
    }
}
