import MachineCore
import StoreLogic
import Testing
import Wire

@Suite struct StoreMachineTests {
    typealias Store = Stepper<StoreMachine>
    typealias Result = Outcome<StoreMachine.Action>

    func makeStore(found: StoreMachine.Found = .init(promisedEpoch: 1)) -> Store {
        let view = makeView(members: (0..<3).map { makeMember(.store($0)) })
        return Stepper(
            StoreMachine(
                membership: makeMembership(.store(0), view: view),
                settings: .init(stores: 3, replicas: 3, maxQueuedBytes: 64), found: found))
    }

    func acks(_ result: Result) -> [Appended] {
        result.sent.compactMap { if case .appended(let ack) = $0.body { ack } else { nil } }
    }
    func refusals(_ result: Result) -> [AppendRefused] {
        result.sent.compactMap { if case .appendRefused(let refusal) = $0.body { refusal } else { nil } }
    }
    func promises(_ result: Result) -> [Promised] {
        result.sent.compactMap { if case .promised(let promised) = $0.body { promised } else { nil } }
    }
    func fetches(_ result: Result) -> [(fetch: FetchRecord, to: NodeID)] {
        result.sent.compactMap { if case .fetchRecord(let fetch) = $0.body { (fetch, $0.to) } else { nil } }
    }
    /// The records and promises of the writes that were asked for, as words.
    func writes(_ result: Result) -> [String] {
        result.actions.flatMap { action -> [String] in
            guard case .write(let writes) = action else { return [] }
            return writes.map { write in
                switch write {
                case .promise(let epoch): "promise \(epoch)"
                case .record(let part, _): "record \(part.shard)@\(part.step)"
                case .manifest(let manifest): "manifest \(manifest.step)"
                case .drop(let key): "drop \(key.shard)@\(key.step)"
                }
            }
        }
    }
    func fence(_ epoch: UInt64, committed: Int64) -> Envelope.OneOf_Body {
        var fence = Fence()
        fence.epoch = epoch
        fence.committedStep = committed
        return .fence(fence)
    }

    @Test func appendsAreAcknowledgedOnlyAfterTheyAreWritten() {
        var store = makeStore()
        let asked = store.receive(makeAppend(makePart(step: 5)), from: .shard(0), payload: tensor(1))
        #expect(writes(asked) == ["record 0@5"])
        #expect(acks(asked).isEmpty)
        let waited = store.wait(milliseconds: 1000)
        #expect(acks(waited).isEmpty)
        let written = store.complete(.written)
        #expect(acks(written).map(\.payloadDigest) == ["p5"])
        #expect(store.machine.records.count == 1)
    }

    @Test func appendsThatComeDuringAWriteShareTheNextOne() {
        var store = makeStore()
        _ = store.receive(makeAppend(makePart(step: 1)), from: .shard(0), payload: tensor(1))
        for step: UInt64 in 2...3 {
            let asked = store.receive(makeAppend(makePart(step: step)), from: .shard(0), payload: tensor(1))
            #expect(asked.actions.isEmpty)
        }
        let first = store.complete(.written)
        #expect(acks(first).map(\.step) == [1])
        #expect(writes(first) == ["record 0@2", "record 0@3"])
        let second = store.complete(.written)
        #expect(acks(second).map(\.step) == [2, 3])
    }

    @Test func anOlderEpochIsRefused() {
        var store = makeStore(found: .init(promisedEpoch: 4))
        let old = store.receive(makeAppend(makePart(step: 5, epoch: 3)), from: .shard(0), payload: tensor(1))
        #expect(refusals(old).map(\.promisedEpoch) == [4])
        #expect(old.actions.isEmpty)
        #expect(old.said(.warning, "fenced"))
        #expect(store.machine.records.isEmpty)
    }

    @Test func aNewerEpochIsPromisedInTheSameBatch() {
        var store = makeStore()
        let asked = store.receive(
            makeAppend(makePart(step: 5, epoch: 2)), from: .shard(0), payload: tensor(1))
        #expect(writes(asked) == ["promise 2", "record 0@5"])
    }

    @Test func theSameAppendAgainIsAcknowledgedWithoutASecondWrite() {
        var store = makeStore()
        _ = store.receive(makeAppend(makePart(step: 5)), from: .shard(0), payload: tensor(1))
        let during = store.receive(makeAppend(makePart(step: 5)), from: .shard(0), payload: tensor(1))
        #expect(during.actions.isEmpty && acks(during).isEmpty)
        let written = store.complete(.written)
        #expect(acks(written).count == 1)
        #expect(written.actions.isEmpty)
        let after = store.receive(makeAppend(makePart(step: 5)), from: .shard(0), payload: tensor(1))
        #expect(acks(after).count == 1)
        #expect(after.actions.isEmpty)
    }

    @Test func anotherPayloadInTheSameEpochIsRefusedWithAnAlarm() {
        var store = makeStore()
        _ = store.receive(makeAppend(makePart(step: 5)), from: .shard(0), payload: tensor(1))
        _ = store.complete(.written)
        let other = makePart(step: 5, digest: "q")
        let second = store.receive(makeAppend(other), from: .shard(0), payload: tensor(2))
        #expect(refusals(second).count == 1)
        #expect(second.actions.isEmpty)
        #expect(second.said(.error, "single-writer"))
        #expect(store.machine.records.values.map(\.payloadDigest) == ["p5"])
    }

    @Test(arguments: [false, true])
    func aLaterTimelineReplacesARecordUnlessItIsCommitted(isCommitted: Bool) {
        var manifest = Manifest()
        manifest.step = 5
        manifest.parts = [makePart(step: 5)]
        var store = makeStore(
            found: .init(
                promisedEpoch: 1, parts: [makePart(step: 5)], manifests: isCommitted ? [manifest] : []))
        let other = makePart(step: 5, epoch: 2, line: 2, digest: "q")
        let asked = store.receive(makeAppend(other), from: .shard(0), payload: tensor(2))
        #expect(refusals(asked).count == (isCommitted ? 1 : 0))
        #expect(asked.said(.error, "monotonic") == isCommitted)
        #expect(writes(asked) == (isCommitted ? [] : ["promise 2", "record 0@5"]))
    }

    @Test func aFrameOfAnotherSizeAndAFullQueueAreRefused() {
        var store = makeStore()
        let short = store.receive(
            makeAppend(makePart(step: 1, bytes: 9)), from: .shard(0), payload: tensor(1))
        #expect(refusals(short).count == 1)
        let bare = store.receive(makeAppend(makePart(step: 1)), from: .shard(0))
        #expect(refusals(bare).count == 1)
        let large = makePart(step: 1, bytes: 65)
        let full = store.receive(
            makeAppend(large), from: .shard(0), payload: Payload([UInt8](repeating: 0, count: 65)))
        #expect(refusals(full).count == 1)
        #expect(full.actions.isEmpty)
    }

    @Test func aFencePromisesAndListsNewerPartsOnlyAfterItIsWritten() {
        var store = makeStore(
            found: .init(promisedEpoch: 1, parts: [makePart(step: 1), makePart(step: 2, base: 1)]))
        // Under way while the fence comes: the promise follows it, and tells of it.
        _ = store.receive(makeAppend(makePart(step: 3, base: 2)), from: .shard(0), payload: tensor(3))
        let fenced = store.receive(fence(2, committed: 1), from: .coordinator)
        #expect(promises(fenced).isEmpty)
        let first = store.complete(.written)
        #expect(promises(first).isEmpty)
        #expect(writes(first) == ["promise 2"])
        let late = store.receive(makeAppend(makePart(step: 4, base: 3)), from: .shard(0), payload: tensor(4))
        #expect(refusals(late).map(\.promisedEpoch) == [2])
        let promised = promises(store.complete(.written))
        #expect(promised.map(\.epoch) == [2])
        #expect(promised.first?.parts.map(\.step) == [2, 3])
    }

    @Test func aFenceOfAnOlderEpochIsNotAnswered() {
        var store = makeStore(found: .init(promisedEpoch: 3))
        let old = store.receive(fence(2, committed: -1), from: .coordinator)
        #expect(old.sent.isEmpty && old.actions.isEmpty)
        #expect(old.said(.warning, "fenced"))
    }

    @Test func nothingIsAcknowledgedWhenTheDiskRefuses() {
        var store = makeStore()
        _ = store.receive(makeAppend(makePart(step: 5)), from: .shard(0), payload: tensor(1))
        let full = store.complete(.writeFailed(reason: "no space", fatal: false))
        #expect(refusals(full).map(\.reason) == ["no space"])
        #expect(acks(full).isEmpty && store.machine.records.isEmpty)
        _ = store.receive(makeAppend(makePart(step: 5)), from: .shard(0), payload: tensor(1))
        let failed = store.complete(.writeFailed(reason: "sync failed", fatal: true))
        #expect(failed.exits.count == 1)
        #expect(failed.sent.isEmpty)
    }

    @Test func damageIsRefusedAndRepairedFromAPeer() throws {
        let part = makePart(step: 5)
        var store = makeStore(found: .init(promisedEpoch: 1, parts: [part]))
        var chain = FetchChain()
        chain.request = 9
        chain.step = 5
        chain.stateDigest = "s5"
        chain.afterStep = -1
        let asked = store.receive(.fetchChain(chain), from: .shard(0))
        guard case .read(let parts, let purpose)? = asked.actions.first else {
            Issue.record("a read was expected")
            return
        }
        #expect(parts == [part])
        let failed = store.complete(.readFailed(part, why: "is torn", purpose))
        #expect(failed.said(.error, "damage"))
        let isRefused = failed.sent.contains { sent in
            guard case .fetchFailed(let failure) = sent.body else { return false }
            return failure.request == 9 && sent.to == .shard(0)
        }
        #expect(isRefused)
        #expect(store.machine.records.isEmpty)
        // The peers are asked one after another.
        let first = try #require(fetches(failed).first)
        #expect(first.to == .store(1) && first.fetch.payloadDigest == "p5")
        var refusal = FetchFailed()
        refusal.request = first.fetch.request
        refusal.step = 5
        let afterRefusal = store.receive(.fetchFailed(refusal), from: .store(1))
        let next = try #require(fetches(afterRefusal).first)
        #expect(next.to == .store(2))
        var record = RecordPart()
        record.part = makePart(step: 5, digest: "q")
        record.request = next.fetch.request
        let wrong = store.receive(.recordPart(record), from: .store(2), payload: tensor(2))
        #expect(wrong.actions.isEmpty)
        record.part = part
        let right = store.receive(.recordPart(record), from: .store(2), payload: tensor(1))
        #expect(writes(right) == ["record 0@5"])
        #expect(store.machine.records.isEmpty)
        _ = store.complete(.written)
        #expect(store.machine.records.values.map(\.payloadDigest) == ["p5"])
    }

    /// What a peer still holds of a timeline that was given up comes when the step was done again already.
    @Test func anOldRecordDoesNotReplaceWhatWasAppendedMeanwhile() throws {
        let old = makePart(step: 5)
        var store = makeStore(found: .init(promisedEpoch: 1, parts: [old]))
        var chain = FetchChain()
        chain.step = 5
        chain.stateDigest = "s5"
        chain.afterStep = -1
        let asked = store.receive(.fetchChain(chain), from: .shard(0))
        guard case .read(_, let purpose)? = asked.actions.first else {
            Issue.record("a read was expected")
            return
        }
        let fetch = try #require(fetches(store.complete(.readFailed(old, why: "is torn", purpose))).first)
        let newer = makePart(step: 5, epoch: 2, line: old.line + 1, digest: "q")
        _ = store.receive(makeAppend(newer), from: .shard(0), payload: tensor(2))
        var record = RecordPart()
        record.part = old
        record.request = fetch.fetch.request
        _ = store.receive(.recordPart(record), from: fetch.to, payload: tensor(1))
        let written = store.complete(.written)
        #expect(acks(written).map(\.payloadDigest) == ["q5"])
        #expect(writes(written).isEmpty)
        #expect(store.machine.records.values.map(\.payloadDigest) == ["q5"])
    }

    /// A read waits for the disk behind the write of the record that takes the place.
    @Test func whatMadeWayForAnotherRecordIsNotDamaged() throws {
        let old = makePart(step: 5)
        var store = makeStore(found: .init(promisedEpoch: 1, parts: [old]))
        let newer = makePart(step: 5, epoch: 2, line: old.line + 1, digest: "q")
        _ = store.receive(makeAppend(newer), from: .shard(0), payload: tensor(2))
        var fetch = FetchRecord()
        fetch.request = 7
        fetch.step = 5
        fetch.payloadDigest = old.payloadDigest
        let asked = store.receive(.fetchRecord(fetch), from: .store(1))
        guard case .read(_, let purpose)? = asked.actions.first else {
            Issue.record("a read was expected")
            return
        }
        #expect(acks(store.complete(.written)).map(\.payloadDigest) == ["q5"])
        let failed = store.complete(.readFailed(old, why: "has a frame of another digest", purpose))
        #expect(!failed.said(.error, "damage"))
        #expect(failed.sent.count == 1 && failed.sent.first?.to == .store(1))
        #expect(store.machine.records.values.map(\.payloadDigest) == ["q5"])
    }

    @Test func chainsAreServedOnlyWholeAndToTheStateThatIsAskedFor() {
        var store = makeStore(
            found: .init(
                promisedEpoch: 1,
                parts: [makePart(step: 1), makePart(step: 2, base: 1), makePart(step: 4, base: 3)]))
        func ask(_ step: UInt64, _ digest: String) -> Result {
            var chain = FetchChain()
            chain.step = step
            chain.stateDigest = digest
            chain.afterStep = -1
            return store.receive(.fetchChain(chain), from: .shard(0))
        }
        let whole = ask(2, "s2")
        guard case .read(let parts, _)? = whole.actions.first else {
            Issue.record("a read was expected")
            return
        }
        #expect(parts.map(\.step) == [1, 2])
        let other = ask(2, "other")
        #expect(other.actions.isEmpty && other.sent.count == 1)
        let gap = ask(4, "s4")
        #expect(gap.actions.isEmpty && gap.sent.count == 1)
    }
}
