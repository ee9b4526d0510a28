import CoordinatorLogic
import MachineCore
import Testing
import Wire

extension CoordinatorMachineTests {
    /// A long run that is ordered to stop, and the step at which it is to end.
    private func stopping() -> (cluster: Cluster, end: UInt64) {
        var cluster = running(Self.settings { $0.steps = 1000 })
        commit(1, &cluster)
        var ask = Ask()
        ask.id = 7
        ask.what = "stop"
        let asked = cluster.settle(cluster.send(.ask(ask), from: NodeID(role: .tool, index: 1)))
        return (cluster, views(asked).map(\.targetStep).max() ?? 0)
    }

    @Test func anEndThatWasPassedIsMovedOn() {
        let (stopped, first) = stopping()
        var cluster = stopped
        #expect(first > 0 && first < 1000)
        // A shard is already beyond it: the next end must lie behind that shard.
        var heartbeat = Heartbeat()
        heartbeat.step = first + 50
        heartbeat.line = 2
        _ = cluster.settle(cluster.send(.heartbeat(heartbeat), from: .shard(0)))
        var targets: [UInt64] = []
        for _ in 0..<40 {
            cluster.heartbeat([.store(0), .store(1), .store(2), .shard(1)])
            _ = cluster.settle(cluster.send(.heartbeat(heartbeat), from: .shard(0)))
            targets += views(cluster.tick(milliseconds: 100)).map(\.targetStep)
        }
        #expect(targets.max().map { $0 > first + 50 && $0 < 1000 } == true)
    }

    /// A step may take longer than the patience with which the end is watched.
    @Test func anEndThatNobodyHasPassedStays() {
        let (stopped, first) = stopping()
        var cluster = stopped
        var heartbeat = Heartbeat()
        heartbeat.line = 2
        var targets: Set<UInt64> = []
        for round in 0..<100 {
            // A step a second.
            heartbeat.step = min(first, 1 + UInt64(round / 10))
            cluster.heartbeat([.store(0), .store(1), .store(2), .shard(1)])
            _ = cluster.settle(cluster.send(.heartbeat(heartbeat), from: .shard(0)))
            targets.formUnion(views(cluster.tick(milliseconds: 100)).map(\.targetStep))
        }
        #expect(targets.isSubset(of: [first]))
    }

    @Test func whatAFollowerDidNotHearItIsToldAgain() throws {
        var cluster = running(Self.settings { $0.steps = 1000 })
        for step: UInt64 in 1...2 { commit(step, &cluster) }
        let follower = NodeID(role: .tool, index: 1)
        var ask = Ask()
        ask.id = 1
        ask.what = "events"
        func notices(_ result: Result) -> [UInt64] {
            result.sent.compactMap { if case .notice(let notice) = $0.body { notice.number } else { nil } }
        }
        let first = notices(cluster.settle(cluster.send(.ask(ask), from: follower)))
        try #require(first.count > 1)
        // Its connection was made anew while they were on their way.
        ask.after = first[0]
        let again = notices(cluster.settle(cluster.send(.ask(ask), from: follower)))
        #expect(again == Array(first.dropFirst()))
    }

    @Test func aRunThatHasItsStepsEndsAtOnce() {
        var cluster = formed(Self.settings { $0.steps = 3 })
        let follow = NodeID(role: .tool, index: 1)
        var ask = Ask()
        ask.id = 1
        ask.what = "events"
        _ = cluster.settle(cluster.send(.ask(ask), from: follow))
        // The stores hold step 5 of both shards, more than is wanted now.
        for store in 0..<3 {
            var promised = Promised()
            promised.epoch = 2
            promised.parts = (0..<2).map { part($0, 5, line: 0) }
            _ = cluster.settle(cluster.send(.promised(promised), from: .store(store)))
        }
        var notices: [String] = []
        for shard in 0..<2 {
            let result = cluster.restored(
                shard, line: 2, step: cluster.driver.machine.committedStep,
                digest: cluster.driver.machine.committedStep < 0 ? "" : "s5")
            notices += result.sent.compactMap {
                if case .notice(let notice) = $0.body { notice.json } else { nil }
            }
        }
        if cluster.driver.machine.committedStep == 5 {
            #expect(cluster.driver.machine.phase == .finished)
            #expect(notices.contains { $0.contains("finished") })
        } else {
            Issue.record("step 5 was not taken: \(cluster.driver.machine.committedStep)")
        }
    }
}
