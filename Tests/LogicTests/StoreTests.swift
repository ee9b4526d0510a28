import MachineCore
import StoreLogic
import Testing
import Wire

@Suite struct StoreTests {
    private func store(_ found: StoreMachine.Found = StoreMachine.Found(), epoch: UInt64 = 1) -> Driver<
        StoreMachine
    > {
        let members = (0..<3).map { member(.store($0)) }
        return Driver(
            StoreMachine(
                membership: membership(.store(0), view: view(1, epoch: epoch, .running, members: members)),
                settings: StoreMachine.Settings(stores: 3, replicas: 3), found: found))
    }

    private func append(_ made: (part: Part, payload: Payload)) -> Envelope.OneOf_Body {
        var append = Append()
        append.part = made.part
        return .append(append)
    }

    private func isAck(_ body: Envelope.OneOf_Body) -> Bool {
        if case .appended = body { return true }
        return false
    }

    private func isRefusal(_ body: Envelope.OneOf_Body) -> Bool {
        if case .appendRefused = body { return true }
        return false
    }

    @Test func acknowledgesOnlyWhatIsWritten() {
        var driver = store(StoreMachine.Found(promisedEpoch: 1))
        let made = part(step: 1)
        let first = driver.hear(append(made), from: .shard(0), payload: made.payload)
        #expect(!first.sent().contains { isAck($0.body) })
        #expect(first.actions().count == 1)
        #expect(driver.tell(.completed(.written)).sent().contains { isAck($0.body) && $0.to == .shard(0) })
    }

    @Test func sameAppendAgainIsAcknowledgedWithoutAWrite() {
        var driver = store(StoreMachine.Found(promisedEpoch: 1))
        let made = part(step: 1)
        driver.hear(append(made), from: .shard(0), payload: made.payload)
        driver.tell(.completed(.written))
        let again = driver.hear(append(made), from: .shard(0), payload: made.payload)
        #expect(again.sent().contains { isAck($0.body) })
        #expect(again.actions().isEmpty)
    }

    /// A recovery looks only at records of its own timeline: what was acknowledged there must be found there.
    @Test func theSameBitsOnALaterTimelineAreStoredAgain() throws {
        var driver = store(StoreMachine.Found(promisedEpoch: 1))
        let before = part(step: 1)
        driver.hear(append(before), from: .shard(0), payload: before.payload)
        driver.tell(.completed(.written))
        var again = before
        again.part.epoch = 3
        again.part.line = 3
        let answer = driver.hear(append(again), from: .shard(0), payload: again.payload)
        #expect(!answer.sent().contains { isAck($0.body) })
        // What is under way for the earlier timeline does not stand for the later one either.
        var third = before
        third.part.epoch = 4
        third.part.line = 4
        driver.hear(append(third), from: .shard(0), payload: third.payload)
        driver.tell(.completed(.written))
        driver.tell(.completed(.written))
        var fence = Fence()
        fence.epoch = 5
        driver.hear(.fence(fence), from: .coordinator)
        let promises = driver.tell(.completed(.written)).sent().compactMap { sent -> [Part]? in
            if case .promised(let promised) = sent.body { promised.parts } else { nil }
        }
        #expect(promises.flatMap { $0 }.map(\.line) == [4])
    }

    @Test func refusesAnotherPayloadOfTheSameEpoch() {
        var driver = store(StoreMachine.Found(promisedEpoch: 1))
        let made = part(step: 1)
        driver.hear(append(made), from: .shard(0), payload: made.payload)
        driver.tell(.completed(.written))
        let other = part(step: 1, frame: [9, 9])
        let answer = driver.hear(append(other), from: .shard(0), payload: other.payload)
        #expect(answer.sent().contains { isRefusal($0.body) })
        #expect(answer.decisions().contains { $0.kind == "single-writer" && $0.level == .error })
    }

    @Test func refusesAnEpochOlderThanItsPromise() {
        var driver = store(StoreMachine.Found(promisedEpoch: 5))
        let made = part(step: 1, epoch: 4)
        let answer = driver.hear(append(made), from: .shard(0), payload: made.payload)
        #expect(answer.sent().contains { isRefusal($0.body) })
        #expect(answer.actions().isEmpty)
    }

    @Test func promisesOnlyWhenTheDiskHoldsThePromise() {
        var driver = store(StoreMachine.Found(promisedEpoch: 1))
        var fence = Fence()
        fence.epoch = 3
        fence.committedStep = -1
        let asked = driver.hear(.fence(fence), from: .coordinator)
        func promises(_ effects: [Effect<StoreMachine.Action>]) -> Bool {
            effects.sent().contains { message in
                if case .promised(let promised) = message.body { return promised.epoch == 3 }
                return false
            }
        }
        #expect(!promises(asked))
        #expect(promises(driver.tell(.completed(.written))))
        let late = part(step: 1, epoch: 2)
        #expect(
            driver.hear(append(late), from: .shard(0), payload: late.payload).sent().contains {
                isRefusal($0.body)
            })
    }

    @Test func aWipedStorePromisesTheEpochThatItJoinsWith() {
        var driver = store(epoch: 7)
        let late = part(step: 1, epoch: 6)
        let answer = driver.hear(append(late), from: .shard(0), payload: late.payload)
        #expect(answer.sent().contains { isRefusal($0.body) })
    }

    @Test func acknowledgesNothingOfAFailedBatch() {
        var driver = store(StoreMachine.Found(promisedEpoch: 1))
        let made = part(step: 1)
        driver.hear(append(made), from: .shard(0), payload: made.payload)
        let failed = driver.tell(.completed(.writeFailed(reason: "fsync failed", fatal: true)))
        #expect(failed.exits())
        #expect(!failed.sent().contains { isAck($0.body) })
    }

    @Test func compactionKeepsWhatIsOnItsWayToTheDisk() {
        let old = (0...3).map { part(step: UInt64($0)).part }
        var driver = store(StoreMachine.Found(promisedEpoch: 1, parts: old))
        let made = part(step: 4)
        driver.hear(append(made), from: .shard(0), payload: made.payload)
        var reply = HeartbeatReply()
        reply.committedStep = 4
        reply.retain.number = 1
        reply.retain.committedStep = 3
        reply.retain.steps = [3]
        let effects = driver.hear(.heartbeatReply(reply), from: .coordinator)
        for case .compact(let keep, _) in effects.actions() {
            #expect(keep.contains(StoreMachine.Key(shard: 0, step: 4)))
            #expect(keep.contains(StoreMachine.Key(shard: 0, step: 3)))
            #expect(!keep.contains(StoreMachine.Key(shard: 0, step: 1)))
        }
        #expect(effects.actions().contains { if case .compact = $0 { true } else { false } })
    }

    @Test func damageIsNotServedAndIsFetchedFromAPeer() throws {
        let made = part(step: 1)
        var driver = store(StoreMachine.Found(promisedEpoch: 1, parts: [made.part]))
        let answer = try driver.findDamage(in: made.part).sent()
        #expect(answer.contains { if case .fetchFailed = $0.body { true } else { false } })
        #expect(answer.contains { if case .fetchRecord = $0.body { $0.to.role == .store } else { false } })
    }
}
