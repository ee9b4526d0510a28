import MachineCore
import Testing
import Wire
import WorkerLogic

@Suite struct WorkerTests {
    private typealias Worker = Driver<WorkerMachine>

    private func positioned(staleness: Int? = 0) -> Worker {
        var settings = RunSettings(shards: 2, workers: 1, stores: 1)
        settings.staleness = staleness
        var driver = Driver(
            WorkerMachine(membership: membership(.worker(0)), settings: settings, elements: 4))
        driver.hear(
            .view(view(2, .running, members: [member(.shard(0)), member(.shard(1))])), from: .coordinator)
        return driver
    }

    private func position(_ version: UInt64, clock: UInt64, line: UInt64 = 1) -> Envelope.OneOf_Body {
        var reply = PositionReply()
        reply.line = line
        reply.version = version
        reply.slotClock = clock
        return .positionReply(reply)
    }

    private func parameters(
        _ driver: inout Worker, _ shard: Int, version: UInt64, clock: UInt64, line: UInt64 = 1
    ) -> [Effect<WorkerMachine.Action>] {
        var reply = Parameters()
        reply.line = line
        reply.version = version
        reply.slotClock = clock
        return driver.hear(.parameters(reply), from: .shard(shard), payload: floats([1, 2]))
    }

    private func clocks(_ effects: [Effect<WorkerMachine.Action>]) -> [UInt64] {
        effects.actions().map { if case .compute(_, let clock, _) = $0 { clock } else { .max } }
    }

    private func pushes(_ effects: [Effect<WorkerMachine.Action>]) -> [NodeID] {
        effects.sent().compactMap { if case .push = $0.body { $0.to } else { nil } }
    }

    private func computing(_ driver: inout Worker) {
        driver.hear(position(0, clock: 0), from: .shard(0))
        driver.hear(position(0, clock: 0), from: .shard(1))
        _ = parameters(&driver, 0, version: 0, clock: 0)
        _ = parameters(&driver, 1, version: 0, clock: 0)
    }

    @Test func beginsAtTheSmallestClockThatAnyShardExpects() {
        var driver = positioned()
        driver.hear(position(4, clock: 5), from: .shard(0))
        driver.hear(position(4, clock: 4), from: .shard(1))
        #expect(clocks(parameters(&driver, 0, version: 4, clock: 5)).isEmpty)
        #expect(clocks(parameters(&driver, 1, version: 4, clock: 4)) == [4])
    }

    @Test func pushesToEveryShardAndGoesOnWithTheParametersOfAll() {
        var driver = positioned()
        computing(&driver)
        let pushed = driver.tell(
            .completed(.computed(line: 1, clock: 0, loss: 1, gradient: floats([1, 1, 1, 1]))))
        #expect(pushes(pushed) == [.shard(0), .shard(1)])
        #expect(clocks(parameters(&driver, 0, version: 1, clock: 1)).isEmpty)
        // An answer to an earlier question holds an older version and is no answer to this push.
        #expect(clocks(parameters(&driver, 1, version: 0, clock: 0)).isEmpty)
        #expect(clocks(parameters(&driver, 1, version: 1, clock: 1)) == [1])
    }

    @Test func sendsTheSameGradientAgainToAShardThatLacksIt() {
        var driver = positioned()
        computing(&driver)
        driver.tell(.completed(.computed(line: 1, clock: 0, loss: 1, gradient: floats([1, 2, 3, 4]))))
        let asked = driver.tell(.tick, after: 300).sent()
        #expect(asked.contains { if case .position = $0.body { $0.to == .shard(1) } else { false } })
        #expect(pushes(driver.hear(position(0, clock: 0), from: .shard(1))) == [.shard(1)])
        #expect(pushes(driver.hear(position(0, clock: 1), from: .shard(0))).isEmpty)
    }

    @Test func aGradientOfAnOlderTimelineIsNotPushed() {
        var driver = positioned()
        computing(&driver)
        driver.hear(.view(view(3, epoch: 2, line: 2, .running)), from: .coordinator)
        let late = driver.tell(
            .completed(.computed(line: 1, clock: 0, loss: 1, gradient: floats([1, 1, 1, 1]))))
        #expect(pushes(late).isEmpty)
    }

    @Test func anOldViewChangesNothing() {
        var driver = positioned()
        computing(&driver)
        driver.hear(.view(view(1, line: 9, .running)), from: .coordinator)
        #expect(driver.machine.line == 1)
    }

    @Test func aReplacedWorkerEnds() {
        var driver = positioned()
        let replaced = view(3, .running, members: [member(.worker(0), incarnation: 2)])
        #expect(driver.hear(.view(replaced), from: .coordinator).exits())
    }

    @Test func aStaleWorkerMayGoOnFromOlderParameters() {
        var driver = positioned(staleness: 2)
        computing(&driver)
        driver.tell(.completed(.computed(line: 1, clock: 0, loss: 1, gradient: floats([1, 1, 1, 1]))))
        #expect(clocks(parameters(&driver, 0, version: 0, clock: 1)).isEmpty)
        #expect(clocks(parameters(&driver, 1, version: 0, clock: 1)) == [1])
    }

    /// A shard may answer what the process before this one asked for: in lockstep the gradient would be another one.
    @Test func inLockstepAGradientIsComputedFromJustItsVersion() {
        var driver = positioned()
        for shard in 0..<2 { driver.hear(position(4, clock: shard == 0 ? 5 : 4), from: .shard(shard)) }
        #expect(clocks(parameters(&driver, 1, version: 4, clock: 4)).isEmpty)
        #expect(clocks(parameters(&driver, 0, version: 5, clock: 5)).isEmpty)
        #expect(clocks(parameters(&driver, 0, version: 4, clock: 5)) == [4])
    }
}
