import CoordinatorLogic
import MachineCore
import Testing
import Wire

/// What may change while a recovery is under way.
extension CoordinatorMachineTests {
    /// A survivor's word of its acknowledgements comes between the stores' promises and the choice of the step.
    @Test func whatWasCommittedMeanwhileIsNotCommittedAgain() {
        var cluster = running()
        commit(4, &cluster)
        _ = exit(.shard(0), &cluster)
        let held = (0..<2).map { part(UInt32($0), 5, base: 4) }
        _ = cluster.promise(0, epoch: 3, parts: held)
        for shard in 0..<2 {
            for step: UInt64 in [5, 6] {
                _ = cluster.settle(cluster.prepared(shard, part(UInt32(shard), step, base: step - 1)))
            }
        }
        #expect(cluster.driver.machine.committedStep == 6)
        _ = cluster.promise(1, epoch: 3, parts: held)
        let chosen = cluster.promise(2, epoch: 3, parts: held)
        #expect(!chosen.said(.info, "commit"))
        #expect(views(chosen).last?.restores.map(\.step) == [6, 6])
    }

    /// Stores mend each other's damage as it is found: a committed step is given up only when nothing new is found.
    @Test func aStepIsGivenUpOnlyWhenEveryRoundSaysTheSame() {
        var cluster = running()
        commit(4, &cluster)
        commit(6, &cluster)
        _ = exit(.shard(0), &cluster)
        _ = cluster.join(.shard(0), nonce: 7)
        for store in 0..<3 { _ = cluster.promise(store, epoch: 3) }
        func fail(_ reason: String) -> Result {
            var failed = RestoreFailed()
            failed.line = 3
            failed.step = 6
            failed.definite = true
            failed.reason = reason
            return cluster.settle(cluster.send(.restoreFailed(failed), from: .shard(0)))
        }
        func beat(caughtUp: Bool = true) {
            _ = cluster.tick(milliseconds: 200)
            for store in 0..<3 {
                var heartbeat = Heartbeat()
                heartbeat.caughtUp = caughtUp
                _ = cluster.settle(cluster.send(.heartbeat(heartbeat), from: .store(store)))
            }
        }
        beat()
        _ = fail("store-2: step 4 is damaged")
        beat()
        _ = fail("store-2: step 6 is damaged")
        // The same message twice.
        _ = fail("store-2: step 6 is damaged")
        beat(caughtUp: false)
        _ = fail("store-2: step 6 is damaged")
        // What the stores said before this round says nothing of what it found.
        _ = cluster.tick(milliseconds: 200)
        _ = fail("store-2: step 6 is damaged")
        #expect(cluster.driver.machine.phase == .restoring)
        beat()
        _ = fail("store-2: step 6 is damaged")
        #expect(cluster.driver.machine.phase == .fencing)
        for store in 0..<3 { _ = cluster.promise(store, epoch: 4) }
        #expect(cluster.driver.machine.committedStep == 4)
    }

    /// Views name every node: one for each heartbeat would grow with the square of the cluster.
    @Test func aViewThatMayBeOnItsWayIsNotSentAgain() {
        var cluster = running()
        func sentViews(after milliseconds: Int) -> Int {
            _ = cluster.tick(milliseconds: milliseconds)
            return views(cluster.settle(cluster.send(.heartbeat(Heartbeat()), from: .shard(0)))).count
        }
        _ = exit(.worker(0), &cluster)
        _ = cluster.join(.worker(0), nonce: 9)
        #expect(sentViews(after: 10) == 0)
        #expect(sentViews(after: 300) == 1)
        #expect(sentViews(after: 10) == 0)
        // What was on a connection that ended is lost with it.
        _ = cluster.settle(cluster.driver.handle(.peerDisconnected(.shard(0))))
        #expect(sentViews(after: 10) == 1)
    }

    /// Nobody else may be left who would tell it that it was replaced.
    @Test func aCoordinatorThatWasAwayForALeaseAsksItsDatabaseWhetherItLeads() {
        var cluster = running()
        #expect(cluster.driver.wait(milliseconds: 200).persists == 0)
        #expect(cluster.driver.wait(milliseconds: 5_000).persists == 1)
    }

    /// Stores hold the same bits as they were written first, or as they were done again; and a step of the timeline may
    /// build on one that was written before it.
    @Test func whatAStepBuildsOnMayBeOfATimelineBefore() {
        var cluster = running()
        commit(4, &cluster)
        _ = exit(.shard(0), &cluster)
        let heads = (0..<2).map { part(UInt32($0), 6, base: 5) }
        let links = (0..<2).map { part(UInt32($0), 5, base: 4, line: 1) }
        let old = (0..<2).map { part(UInt32($0), 7, base: 6, line: 1) }
        let first = (0..<2).map { part(UInt32($0), 6, base: 5, line: 1) }
        _ = cluster.promise(0, epoch: 3, parts: links + heads + old)
        _ = cluster.promise(1, epoch: 3, parts: links + first + old)
        let chosen = cluster.promise(2, epoch: 3)
        #expect(views(chosen).last?.restores.map(\.step) == [6, 6])
    }
}
