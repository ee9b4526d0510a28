import MachineCore
import ShardLogic
import Testing
import Wire

@Suite struct ShardTests {
    private var members: [Member] {
        [member(.shard(0))] + (0..<3).map { member(.store($0)) } + (0..<2).map { member(.worker($0)) }
    }

    private var settings: RunSettings {
        var settings = RunSettings(shards: 1, workers: 2, stores: 3)
        settings.tellPause = .milliseconds(0)
        settings.maxLag = 1
        return settings
    }

    /// A shard of two values that has begun from the seed and runs.
    private func running(_ settings: RunSettings) -> Driver<ShardMachine> {
        var driver = Driver(ShardMachine(membership: membership(.shard(0)), settings: settings, elements: 2))
        let order = view(2, .restoring, members: members, restores: [restore(shard: 0, step: -1)])
        driver.hear(.view(order), from: .coordinator)
        driver.tell(.completed(.initialized(line: 1, parameters: floats([0, 0]))))
        driver.hear(.view(view(3, .running, members: members)), from: .coordinator)
        return driver
    }

    private func durable(_ driver: inout Driver<ShardMachine>, step: UInt64) {
        var made = part(step: step, base: step == 0 ? nil : step - 1)
        made.part.shard = 0
        driver.tell(.completed(.encoded(made.part, frame: made.payload)))
        for store in 0..<2 { acknowledge(&driver, made.part, from: store) }
    }

    @discardableResult
    private func acknowledge(
        _ driver: inout Driver<ShardMachine>, _ part: Part, from store: Int
    ) -> [Effect<ShardMachine.Action>] {
        var ack = Appended()
        ack.step = part.step
        ack.payloadDigest = part.payloadDigest
        return driver.hear(.appended(ack), from: .store(store))
    }

    @discardableResult
    private func push(
        _ driver: inout Driver<ShardMachine>, slot: Int, clock: UInt64, want: UInt64, value: Float = 1,
        incarnation: UInt64 = 1
    ) -> [Effect<ShardMachine.Action>] {
        var push = Push()
        push.line = 1
        push.slot = UInt32(slot)
        push.clock = clock
        push.wantVersion = want
        return driver.hear(
            .push(push), from: .worker(slot), incarnation: incarnation, payload: floats([value, value]))
    }

    private func applies(_ effects: [Effect<ShardMachine.Action>]) -> [(UInt64, Int)] {
        effects.actions().compactMap {
            if case .apply(let version, let gradients) = $0 { (version, gradients.count) } else { nil }
        }
    }

    private func parameters(_ effects: [Effect<ShardMachine.Action>]) -> [(NodeID, UInt64)] {
        effects.sent().compactMap {
            if case .parameters(let reply) = $0.body { ($0.to, reply.version) } else { nil }
        }
    }

    @Test func appliesWhenEverySlotHasPushed() {
        var driver = running(settings)
        durable(&driver, step: 0)
        #expect(applies(push(&driver, slot: 1, clock: 0, want: 1)).isEmpty)
        let both = push(&driver, slot: 0, clock: 0, want: 1)
        #expect(applies(both).map(\.0) == [1])
        #expect(parameters(both).isEmpty)
        let done = driver.tell(.completed(.applied(version: 1, parameters: floats([1, 1]))))
        #expect(parameters(done).map(\.0) == [.worker(0), .worker(1)])
        #expect(parameters(done).map(\.1) == [1, 1])
    }

    @Test func aPushThatIsSentAgainCountsOnce() {
        var driver = running(settings)
        durable(&driver, step: 0)
        push(&driver, slot: 0, clock: 0, want: 1)
        #expect(applies(push(&driver, slot: 0, clock: 0, want: 1, value: 5)).isEmpty)
        #expect(applies(push(&driver, slot: 1, clock: 0, want: 1)).map(\.1) == [2])
        driver.tell(.completed(.applied(version: 1, parameters: floats([1, 1]))))
        let late = push(&driver, slot: 0, clock: 0, want: 1)
        #expect(applies(late).isEmpty)
        #expect(parameters(late).map(\.1) == [1])
    }

    @Test func trainingWaitsForDurableCheckpoints() {
        var driver = running(settings)
        push(&driver, slot: 0, clock: 0, want: 1)
        #expect(applies(push(&driver, slot: 1, clock: 0, want: 1)).isEmpty)
        let base = part(step: 0)
        driver.tell(.completed(.encoded(base.part, frame: base.payload)))
        #expect(applies(acknowledge(&driver, base.part, from: 0)).isEmpty)
        // The same store again is no second replica.
        #expect(applies(acknowledge(&driver, base.part, from: 0)).isEmpty)
        #expect(applies(acknowledge(&driver, base.part, from: 2)).map(\.0) == [1])
    }

    @Test func aReplacedWorkerIsRefused() {
        var driver = running(settings)
        push(&driver, slot: 0, clock: 0, want: 1, incarnation: 8)
        let late = push(&driver, slot: 0, clock: 0, want: 1, incarnation: 7)
        #expect(
            late.sent().contains { if case .refused(let refusal) = $0.body { refusal.fatal } else { false } })
    }

    @Test func whatAReplacedWorkerWaitedForIsNotSentToItsSuccessor() {
        var driver = running(settings)
        durable(&driver, step: 0)
        push(&driver, slot: 0, clock: 0, want: 1)
        // The successor has to compute the same gradient again, for another shard.
        var position = Position()
        position.line = 1
        driver.hear(.position(position), from: .worker(0), incarnation: 2)
        push(&driver, slot: 1, clock: 0, want: 1)
        let applied = driver.tell(.completed(.applied(version: 1, parameters: floats([1, 1]))))
        #expect(parameters(applied).map(\.0) == [.worker(1)])
    }

    @Test func partsAreToldOfInTheirOrder() {
        var settings = settings
        settings.maxLag = 2
        var driver = running(settings)
        let base = part(step: 0)
        driver.tell(.completed(.encoded(base.part, frame: base.payload)))
        for slot in 0..<2 { push(&driver, slot: slot, clock: 0, want: 1) }
        driver.tell(.completed(.applied(version: 1, parameters: floats([1, 1]))))
        let delta = part(step: 1, base: 0)
        driver.tell(.completed(.encoded(delta.part, frame: delta.payload)))
        func told(_ effects: [Effect<ShardMachine.Action>]) -> [UInt64] {
            effects.sent().flatMap { message in
                if case .prepared(let prepared) = message.body { return prepared.parts.map(\.step) }
                return []
            }
        }
        #expect(told(acknowledge(&driver, delta.part, from: 0)).isEmpty)
        #expect(told(acknowledge(&driver, delta.part, from: 1)).isEmpty)
        #expect(told(acknowledge(&driver, base.part, from: 0)).isEmpty)
        #expect(told(acknowledge(&driver, base.part, from: 1)) == [0, 1])
    }

    @Test func anOldViewChangesNothing() {
        var driver = running(settings)
        let old = view(2, line: 9, .restoring, members: members, restores: [restore(shard: 0, step: -1)])
        #expect(driver.hear(.view(old), from: .coordinator).actions().isEmpty)
        #expect(driver.machine.line == 1)
    }

    @Test func aReplacedShardEnds() {
        var driver = running(settings)
        let replaced = view(4, .running, members: [member(.shard(0), incarnation: 2)])
        #expect(driver.hear(.view(replaced), from: .coordinator).exits())
    }

    @Test func aStepUnderWayIsDroppedWhenARestoreIsOrdered() {
        var driver = running(settings)
        durable(&driver, step: 0)
        for slot in 0..<2 { push(&driver, slot: slot, clock: 0, want: 1) }
        let order = view(
            5, epoch: 2, line: 2, .restoring, members: members,
            restores: [restore(shard: 0, step: 0, digest: "d")])
        let asked = driver.hear(.view(order), from: .coordinator, epoch: 2)
        #expect(asked.sent().contains { if case .fetchChain = $0.body { true } else { false } })
        let late = driver.tell(.completed(.applied(version: 1, parameters: floats([1, 1]))))
        #expect(late.actions().isEmpty)
        #expect(driver.machine.version == 0)
    }

    @Test func aChainThatComesTwiceIsTakenOnce() {
        var driver = Driver(ShardMachine(membership: membership(.shard(0)), settings: settings, elements: 2))
        let base = part(step: 4)
        let order = view(
            2, .restoring, members: members,
            restores: [restore(shard: 0, step: 4, digest: base.part.stateDigest)], resume: 4)
        let asked = driver.hear(.view(order), from: .coordinator).sent()
        guard
            let (request, store) = asked.compactMap({ message -> (UInt64, NodeID)? in
                if case .fetchChain(let fetch) = message.body { return (fetch.request, message.to) }
                return nil
            }).first
        else {
            Issue.record("no store was asked")
            return
        }
        var answer = ChainPart()
        answer.request = request
        answer.parts = [base.part]
        answer.last = true
        #expect(driver.hear(.chainPart(answer), from: store, payload: base.payload).actions().count == 1)
        #expect(driver.hear(.chainPart(answer), from: store, payload: base.payload).actions().isEmpty)
        let done = driver.tell(
            .completed(
                .restored(line: 1, step: 4, stateDigest: base.part.stateDigest, parameters: floats([1, 2]))))
        #expect(
            done.sent().contains {
                if case .restored(let told) = $0.body { told.step == 4 && told.version == 4 } else { false }
            })
        #expect(driver.machine.version == 4)
    }
}
