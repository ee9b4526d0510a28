import MachineCore
import Testing
import Wire
import WorkerLogic

/// One worker and two shards with one element each, in `bsp`.
@Suite struct WorkerMachineTests {
    typealias Result = Outcome<WorkerMachine.Action>
    typealias Worker = Stepper<WorkerMachine>

    func makeWorker() -> Worker {
        let membership = makeMembership(.worker(0), view: makeView(number: 0, phase: .forming))
        return Stepper(
            WorkerMachine(
                membership: membership, settings: RunSettings(shards: 2, workers: 2, stores: 3), elements: 2))
    }

    func positions(_ result: Result) -> [NodeID] {
        result.sent.compactMap { if case .position = $0.body { $0.to } else { nil } }
    }
    func pulls(_ result: Result) -> [UInt64] {
        result.sent.compactMap { if case .pull(let pull) = $0.body { pull.version } else { nil } }
    }
    func pushes(_ result: Result) -> [(push: Push, payload: UInt8?, to: NodeID)] {
        result.sent.compactMap { sent in
            guard case .push(let push) = sent.body else { return nil }
            return (push, bytes(of: sent.payload)?.first, sent.to)
        }
    }
    func computes(_ result: Result) -> [UInt64] {
        result.actions.map { action in
            switch action {
            case .compute(_, let clock, _): clock
            }
        }
    }

    func reply(_ shard: Int, clock: UInt64, version: UInt64? = nil, line: UInt64 = 1, _ worker: inout Worker)
        -> Result
    {
        var reply = PositionReply()
        reply.line = line
        reply.version = version ?? clock
        reply.slotClock = clock
        return worker.receive(.positionReply(reply), from: .shard(shard))
    }

    func parameters(
        _ shard: Int, version: UInt64, clock: UInt64? = nil, line: UInt64 = 1, _ worker: inout Worker
    ) -> Result {
        var reply = Parameters()
        reply.line = line
        reply.version = version
        reply.slotClock = clock ?? version
        return worker.receive(.parameters(reply), from: .shard(shard), payload: tensor(UInt8(version)))
    }

    /// A worker that has pushed its gradient of `clock`.
    func pushing(clock: UInt64) -> Worker {
        var worker = makeWorker()
        _ = worker.receive(.view(makeView()), from: .coordinator)
        for shard in 0..<2 { _ = reply(shard, clock: clock, &worker) }
        for shard in 0..<2 { _ = parameters(shard, version: clock, &worker) }
        let gradient = Payload([10, 0, 0, 0, 11, 0, 0, 0])
        let pushed = worker.complete(.computed(line: 1, clock: clock, loss: 0.5, gradient: gradient))
        #expect(pushes(pushed).map(\.to) == [.shard(0), .shard(1)])
        #expect(pushes(pushed).map(\.payload) == [10, 11])
        return worker
    }

    @Test func theSmallestSlotClockIsTaken() {
        var worker = makeWorker()
        let begun = worker.receive(.view(makeView()), from: .coordinator)
        #expect(positions(begun) == [.shard(0), .shard(1)])
        let first = reply(0, clock: 8, &worker)
        #expect(first.sent.isEmpty)
        let second = reply(1, clock: 7, &worker)
        #expect(pulls(second) == [7, 7])
        _ = parameters(0, version: 7, clock: 8, &worker)
        let whole = parameters(1, version: 7, &worker)
        #expect(computes(whole) == [7])
    }

    @Test func answersOfAnotherLineAndOlderVersionsAreNotTaken() {
        var worker = makeWorker()
        _ = worker.receive(.view(makeView(line: 1)), from: .coordinator)
        for shard in 0..<2 {
            let other = reply(shard, clock: 3, line: 2, &worker)
            #expect(other.sent.isEmpty)
        }
        for shard in 0..<2 { _ = reply(shard, clock: 7, &worker) }
        _ = parameters(0, version: 7, &worker)
        for (version, line): (UInt64, UInt64) in [(6, 1), (7, 2)] {
            let wrong = parameters(1, version: version, line: line, &worker)
            #expect(wrong.actions.isEmpty)
        }
        let whole = parameters(1, version: 7, &worker)
        #expect(computes(whole) == [7])
    }

    @Test func whatAShardLacksIsSentAgainAfterItToldItsPosition() {
        var worker = pushing(clock: 7)
        _ = parameters(0, version: 8, &worker)
        let asked = worker.wait(milliseconds: 250)
        #expect(positions(asked) == [.shard(1)])
        let lacking = reply(1, clock: 7, &worker)
        #expect(pushes(lacking).map(\.to) == [.shard(1)])
        #expect(pushes(lacking).map(\.payload) == [11])
        #expect(pushes(lacking).map(\.push.clock) == [7])
        // It has the gradient and waits for another worker: only the answer is asked for.
        let having = reply(1, clock: 8, version: 7, &worker)
        #expect(pushes(having).isEmpty && pulls(having) == [8])
        let next = parameters(1, version: 8, &worker)
        #expect(computes(next) == [8])
    }

    @Test func aLossIsToldOnlyWhenEveryShardTookTheStep() {
        var worker = pushing(clock: 7)
        _ = parameters(0, version: 8, &worker)
        // Parameters that don't stand for the push count as no delivery.
        _ = parameters(1, version: 8, clock: 7, &worker)
        let before = worker.wait(milliseconds: 100)
        #expect(before.heartbeats.map(\.losses.count) == [0])
        _ = parameters(1, version: 8, &worker)
        let after = worker.wait(milliseconds: 100)
        #expect(after.heartbeats.first?.losses.map(\.step) == [8])
        #expect(after.heartbeats.first?.losses.map(\.loss) == [0.5])
        var reply = HeartbeatReply()
        reply.acknowledgedStep = 8
        _ = worker.receive(.heartbeatReply(reply), from: .coordinator)
        let acknowledged = worker.wait(milliseconds: 100)
        #expect(acknowledged.heartbeats.map(\.losses.count) == [0])
    }

    @Test func aNewLinePositionsAnew() {
        var worker = pushing(clock: 7)
        let same = worker.receive(.view(makeView(number: 2, epoch: 2, line: 1)), from: .coordinator)
        #expect(same.sent.isEmpty)
        let pause = worker.receive(
            .view(makeView(number: 3, epoch: 3, line: 3, phase: .restoring)), from: .coordinator)
        #expect(positions(pause).isEmpty)
        let new = worker.receive(.view(makeView(number: 4, epoch: 3, line: 3)), from: .coordinator)
        #expect(positions(new) == [.shard(0), .shard(1)])
        let old = parameters(0, version: 8, &worker)
        #expect(old.actions.isEmpty)
        _ = reply(0, clock: 5, line: 3, &worker)
        let known = reply(1, clock: 5, line: 3, &worker)
        #expect(pulls(known) == [5, 5])
    }

    @Test func aGradientOfALineThatWasGivenUpIsNotPushed() {
        var worker = makeWorker()
        _ = worker.receive(.view(makeView()), from: .coordinator)
        for shard in 0..<2 { _ = reply(shard, clock: 7, &worker) }
        for shard in 0..<2 { _ = parameters(shard, version: 7, &worker) }
        _ = worker.receive(.view(makeView(number: 2, epoch: 2, line: 2)), from: .coordinator)
        let late = worker.complete(
            .computed(line: 1, clock: 7, loss: 1, gradient: Payload([0, 0, 0, 0, 0, 0, 0, 0])))
        #expect(pushes(late).isEmpty)
    }

    @Test func theTargetEndsTheWorkAndALaterOneTakesItUpAgain() {
        var worker = makeWorker()
        _ = worker.receive(.view(makeView(target: 8)), from: .coordinator)
        _ = reply(0, clock: 8, &worker)
        let done = reply(1, clock: 8, &worker)
        #expect(done.sent.isEmpty && done.actions.isEmpty)
        #expect(worker.machine.clock == 8)
        let more = worker.receive(.view(makeView(number: 2, target: 9)), from: .coordinator)
        #expect(positions(more) == [.shard(0), .shard(1)])
    }

    @Test func aReplacedWorkerEnds() {
        var worker = makeWorker()
        let replaced = worker.receive(
            .view(makeView(members: [makeMember(.worker(0), incarnation: 2)])), from: .coordinator)
        #expect(replaced.exits.count == 1)
    }
}
