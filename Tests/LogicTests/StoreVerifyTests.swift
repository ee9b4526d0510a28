import Foundation
import MachineCore
import StoreLogic
import Testing
import Wire

/// Verifications of a store that goes on taking appends and freeing what is old.
@Suite struct StoreVerifyTests {
    typealias Key = StoreMachine.Key

    private func store(_ parts: [Part]) -> Driver<StoreMachine> {
        let members = (0..<3).map { member(.store($0)) }
        return Driver(
            StoreMachine(
                membership: membership(.store(0), view: view(1, .running, members: members)),
                settings: .init(stores: 3, replicas: 3),
                found: StoreMachine.Found(promisedEpoch: 1, parts: parts)))
    }

    private func repair(
        _ driver: inout Driver<StoreMachine>, damaged steps: [UInt64]
    ) -> [Effect<StoreMachine.Action>] {
        let damages = steps.map {
            StoreMachine.Damage(key: Key(shard: 0, step: $0), what: "step \($0) is damaged")
        }
        return driver.tell(.completed(.verified(asked: 7, checked: 4, damages: damages, repair: true)))
    }

    /// What the operator is told: damaged records, and how many of them are mended.
    private func answer(_ effects: [Effect<StoreMachine.Action>]) -> (corrupt: Int, repaired: Int)? {
        for sent in effects.sent() {
            guard case .answer(let answer) = sent.body,
                let object = try? JSONSerialization.jsonObject(with: Data(answer.json.utf8))
                    as? [String: Any]
            else { continue }
            return ((object["corrupt"] as? [Any])?.count ?? -1, object["repaired"] as? Int ?? -1)
        }
        return nil
    }

    private func fetches(_ effects: [Effect<StoreMachine.Action>]) -> [(fetch: FetchRecord, peer: NodeID)] {
        effects.sent().compactMap {
            if case .fetchRecord(let fetch) = $0.body { (fetch, $0.to) } else { nil }
        }
    }

    private func retain(_ steps: [UInt64], committed: Int64) -> Envelope.OneOf_Body {
        var reply = HeartbeatReply()
        reply.committedStep = committed
        reply.retain.number = 1
        reply.retain.committedStep = committed
        reply.retain.steps = steps
        return .heartbeatReply(reply)
    }

    /// Hands the store what it asked for.
    private func give(
        _ made: (part: Part, payload: Payload), for fetch: FetchRecord, from peer: NodeID,
        to driver: inout Driver<StoreMachine>
    ) -> [Effect<StoreMachine.Action>] {
        var record = RecordPart()
        record.request = fetch.request
        record.part = made.part
        driver.hear(.recordPart(record), from: peer, payload: made.payload)
        driver.tell(.tick, after: 10)
        return driver.tell(.completed(.written))
    }

    @Test func waitsForItsOwnDamageAlone() throws {
        let made = (0...3).map { part(step: UInt64($0)) }
        var driver = store(made.map(\.part))
        // A committed part that never came here is being asked for as well.
        var reply = HeartbeatReply()
        reply.committedStep = 9
        var manifest = Manifest()
        manifest.step = 9
        manifest.parts = [part(step: 9).part]
        reply.manifests = [manifest]
        driver.hear(.heartbeatReply(reply), from: .coordinator)
        driver.tell(.tick, after: 10)
        driver.tell(.completed(.written))
        let asked = try #require(fetches(repair(&driver, damaged: [2])).first)
        let mended = give(made[2], for: asked.fetch, from: asked.peer, to: &driver)
        let told = try #require(answer(mended))
        #expect(told.corrupt == 1 && told.repaired == 1)
    }

    @Test func whatWasFreedWhileTheDiskWasReadIsNoDamage() throws {
        var driver = store((2...3).map { part(step: UInt64($0)).part })
        let told = try #require(answer(repair(&driver, damaged: [1])))
        #expect(told.corrupt == 0)
    }

    @Test func whatIsFreedWhileItIsFetchedNeedsNoMending() throws {
        var driver = store((0...3).map { part(step: UInt64($0)).part })
        let asked = repair(&driver, damaged: [1])
        #expect(answer(asked) == nil && fetches(asked).count == 1)
        let told = try #require(answer(driver.hear(retain([3], committed: 3), from: .coordinator)))
        #expect(told.corrupt == 1 && told.repaired == 1)
    }

    @Test func damageThatRetentionStillNamesIsWaitedFor() {
        var driver = store((0...3).map { part(step: UInt64($0)).part })
        _ = repair(&driver, damaged: [1, 3])
        // Step 3 is newer than the last commit, step 1 is kept.
        #expect(answer(driver.hear(retain([1, 2], committed: 2), from: .coordinator)) == nil)
    }

    @Test func whatNoPeerHasIsToldAsNotMended() throws {
        var driver = store((0...3).map { part(step: UInt64($0)).part })
        var asked = fetches(repair(&driver, damaged: [3]))
        for _ in 0..<2 {
            let question = try #require(asked.first)
            var failure = FetchFailed()
            failure.request = question.fetch.request
            failure.step = 3
            let effects = driver.hear(.fetchFailed(failure), from: question.peer)
            #expect(answer(effects) == nil)
            asked = fetches(effects)
        }
        let told = try #require(answer(driver.tell(.tick, after: 1500)))
        #expect(told.corrupt == 1 && told.repaired == 0)
    }

    @Test func whatIsOnItsWayToTheDiskOutlivesTheRepair() throws {
        let made = (0...3).map { part(step: UInt64($0)) }
        var driver = store(made.map(\.part))
        let asked = try #require(fetches(repair(&driver, damaged: [2])).first)
        var record = RecordPart()
        record.request = asked.fetch.request
        record.part = made[2].part
        driver.hear(.recordPart(record), from: asked.peer, payload: made[2].payload)
        driver.tell(.tick, after: 10)
        // Comes while the mended record is being written, and is handed to the disk before the compaction is.
        let new = part(step: 4)
        var append = Append()
        append.part = new.part
        driver.hear(.append(append), from: .shard(0), payload: new.payload)
        let effects = driver.tell(.completed(.written))
        let kept = effects.actions().compactMap { action -> Set<Key>? in
            if case .compact(let keep, true) = action { keep } else { nil }
        }
        #expect(try #require(kept.first).contains(Key(shard: 0, step: 4)))
    }

    // MARK: Catching up

    private func heartbeats(_ effects: [Effect<StoreMachine.Action>]) -> [Heartbeat] {
        effects.sent().compactMap { if case .heartbeat(let heartbeat) = $0.body { heartbeat } else { nil } }
    }

    /// The promise of an empty disk may be written before the first view comes.
    @Test func anEmptyDiskIsNotCaughtUpBeforeItsPeersWereAsked() {
        let members = (0..<3).map { member(.store($0)) }
        var driver = Driver(
            StoreMachine(
                membership: membership(.store(0), view: view(1, epoch: 4, .running, members: members)),
                settings: .init(stores: 3, replicas: 3), found: StoreMachine.Found()))
        var effects = driver.tell(.tick, after: 10)
        effects += driver.tell(.completed(.written))
        effects += driver.tell(.tick, after: 1000)
        #expect(!heartbeats(effects).isEmpty)
        #expect(heartbeats(effects).allSatisfy { !$0.caughtUp })
    }

    private func inventoryRequests(_ effects: [Effect<StoreMachine.Action>]) -> [(
        request: InventoryRequest, peer: NodeID
    )] {
        effects.sent().compactMap {
            if case .inventoryRequest(let request) = $0.body { (request, $0.to) } else { nil }
        }
    }

    /// An empty disk has more to fetch than may wait: only when all of it is here is it caught up.
    @Test func whatThereIsNoRoomForIsAskedForAgain() {
        let held = (1...10).map { part(step: UInt64($0)) }
        var settings = StoreMachine.Settings(stores: 3, replicas: 3, maxRepairs: 4)
        settings.retry = .milliseconds(500)
        var driver = Driver(
            StoreMachine(
                membership: membership(
                    .store(0), view: view(1, .running, members: (0..<3).map { member(.store($0)) })),
                settings: settings, found: StoreMachine.Found(promisedEpoch: 1)))
        var next = view(2, .running, members: (0..<3).map { member(.store($0)) })
        next.epoch = 1
        var effects = driver.hear(.view(next), from: .coordinator)
        for _ in 0..<400 where driver.machine.records.count < held.count {
            var answers: [Effect<StoreMachine.Action>] = []
            for (request, peer) in inventoryRequests(effects) {
                var inventory = Inventory()
                inventory.request = request.request
                inventory.parts = held.map(\.part)
                answers += driver.hear(.inventory(inventory), from: peer)
            }
            for sent in effects.sent() {
                guard case .fetchRecord(let fetch) = sent.body else { continue }
                var record = RecordPart()
                record.request = fetch.request
                record.part = held[Int(fetch.step) - 1].part
                answers += driver.hear(
                    .recordPart(record), from: sent.to, payload: held[Int(fetch.step) - 1].payload)
            }
            while answers.actions().contains(where: { if case .write = $0 { true } else { false } }) {
                let more = driver.tell(.completed(.written))
                #expect(
                    heartbeats(answers + more).allSatisfy {
                        !$0.caughtUp || driver.machine.records.count == held.count
                    })
                answers = more
            }
            #expect(driver.machine.held.first { $0.what == "repairs" }!.count <= 4)
            effects = answers + driver.tell(.tick, after: 100)
        }
        #expect(driver.machine.records.count == held.count)
    }

    @Test func inventoriesComeInPages() {
        let held = (1...7).map { part(step: UInt64($0)).part }
        let members = (0..<3).map { member(.store($0)) }
        var settings = StoreMachine.Settings(stores: 3, replicas: 3, maxInventory: 3)
        settings.retry = .milliseconds(500)
        var driver = Driver(
            StoreMachine(
                membership: membership(.store(0), view: view(1, .running, members: members)),
                settings: settings, found: StoreMachine.Found(promisedEpoch: 1, parts: held)))
        var request = InventoryRequest()
        var steps: [[UInt64]] = []
        while true {
            request.request += 1
            let answer = driver.hear(.inventoryRequest(request), from: .store(1)).sent()
            guard case .inventory(let inventory)? = answer.first?.body else { break }
            steps.append(inventory.parts.map(\.step))
            guard inventory.moreFollow, let last = inventory.parts.last else { break }
            request.isContinued = true
            request.afterShard = last.shard
            request.afterStep = last.step
        }
        #expect(steps == [[1, 2, 3], [4, 5, 6], [7]])
        // And an asker goes on behind the last one, and has heard the peer only at the end.
        var asker = store([])
        let first = asker.hear(
            .view(view(2, .running, members: members)), from: .coordinator)
        let question = inventoryRequests(first + asker.tell(.tick, after: 1000)).first {
            $0.peer == .store(1)
        }
        var page = Inventory()
        page.request = question?.request.request ?? 0
        page.parts = Array(held.prefix(3))
        page.moreFollow = true
        let more = inventoryRequests(asker.hear(.inventory(page), from: .store(1))).first
        #expect(more?.request.isContinued == true && more?.request.afterStep == 3)
    }

    /// A gap may be what has the peers asked, before a view comes that says so; no later view need come.
    @Test func aStoreIsCaughtUpOnceThePeersAnsweredAboutAGap() {
        var driver = store([part(step: 0).part])
        let late = part(step: 5, base: 4)
        var append = Append()
        append.part = late.part
        var effects = driver.hear(.append(append), from: .shard(0), payload: late.payload)
        effects += driver.tell(.tick, after: 10)
        effects += driver.tell(.completed(.written))
        effects += driver.tell(.tick, after: 10)
        let asked: [(id: UInt64, peer: NodeID)] = effects.sent().compactMap { sent in
            if case .inventoryRequest(let request) = sent.body { (request.request, sent.to) } else { nil }
        }
        #expect(Set(asked.map(\.peer)) == [.store(1), .store(2)])
        #expect(heartbeats(effects).allSatisfy { !$0.caughtUp })
        for question in asked {
            var inventory = Inventory()
            inventory.request = question.id
            _ = driver.hear(.inventory(inventory), from: question.peer)
        }
        #expect(heartbeats(driver.tell(.tick, after: 1000)).last?.caughtUp == true)
    }
}
