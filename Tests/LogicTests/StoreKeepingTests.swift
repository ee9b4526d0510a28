import MachineCore
import StoreLogic
import Testing
import Wire

/// What a store holds on to: damaged records that it had acknowledged, and chains of which it lacks a link.
@Suite struct StoreKeepingTests {
    private let members = (0..<3).map { member(.store($0)) }

    private func store(_ parts: [Part], _ manifests: [Manifest] = []) -> Driver<StoreMachine> {
        Driver(
            StoreMachine(
                membership: membership(.store(0), view: view(1, .running, members: members)),
                settings: StoreMachine.Settings(stores: 3, replicas: 3),
                found: StoreMachine.Found(promisedEpoch: 1, parts: parts, manifests: manifests)))
    }

    /// Tells of a newer timeline, and has its epoch promised.
    private func enter(_ line: UInt64, _ driver: inout Driver<StoreMachine>, committed: Int64 = -1) {
        let next = view(2, epoch: line, line: line, .running, members: members, committed: committed)
        driver.hear(.view(next), from: .coordinator, epoch: line)
        driver.tell(.completed(.written))
    }

    /// The steps that a compaction leaves; nil if none begins, since nothing would be freed.
    private func kept(_ driver: inout Driver<StoreMachine>, _ steps: [UInt64]) -> Set<UInt64>? {
        var reply = HeartbeatReply()
        reply.retain.number = 1
        reply.retain.committedStep = Int64(steps.max() ?? 0)
        reply.retain.steps = steps
        for case .compact(let keep, _) in driver.hear(.heartbeatReply(reply), from: .coordinator).actions() {
            return Set(keep.map(\.step))
        }
        return nil
    }

    /// Others hold the newer steps, and may hold of the older ones only what they can fetch from here.
    @Test func whatAMissingLinkBuildsOnIsKept() {
        let parts = [part(step: 0), part(step: 1, base: 0), part(step: 2), part(step: 3, base: 2)].map(\.part)
        // Step 7 was written while this store was away, and builds on 3 through links that are not here.
        var behind = store(parts)
        #expect(kept(&behind, [7]) == nil)
        // A link of another timeline than what builds on it is none.
        var mixed = store(
            parts + [part(step: 6).part, part(step: 7, line: 2, base: 6).part, part(step: 8).part])
        #expect(kept(&mixed, [7]) == nil)
        var whole = store(parts + [part(step: 7).part])
        #expect(kept(&whole, [7]) == [7])
    }

    @Test func whatWasAcknowledgedAndIsDamagedMakesNoRoomForAnOlderTimeline() throws {
        let newer = part(step: 5, epoch: 3, line: 3, frame: [5, 3]).part
        var driver = store([newer])
        enter(3, &driver)
        _ = try driver.findDamage(in: newer)
        // Nobody holds it any more; then a peer tells of what it holds of the timeline before.
        for peer in 1...2 {
            var refusal = FetchFailed()
            refusal.step = 5
            driver.hear(.fetchFailed(refusal), from: .store(peer))
        }
        let asked = driver.tell(.tick, after: 1000).sent()
        #expect(asked.contains { if case .inventoryRequest = $0.body { true } else { false } })
        var inventory = Inventory()
        inventory.request = .max
        inventory.parts = [part(step: 5, epoch: 2, line: 2, frame: [5, 2]).part]
        let answer = driver.hear(.inventory(inventory), from: .store(1)).sent()
        #expect(!answer.contains { if case .fetchRecord = $0.body { true } else { false } })
    }

    /// The coordinator falls back when nobody can restore a committed step, and it is done again.
    @Test func aCommitThatWasGivenUpKeepsNothingOut() {
        let before = part(step: 5).part
        var manifest = Manifest()
        manifest.step = 5
        manifest.line = 1
        manifest.parts = [before]
        var driver = store([before], [manifest])
        let again = part(step: 5, epoch: 2, line: 2)
        func answer() -> [String] {
            var append = Append()
            append.part = again.part
            let now = driver.hear(.append(append), from: .shard(0), epoch: 2, payload: again.payload).sent()
            return (now + driver.tell(.completed(.written)).sent()).compactMap {
                switch $0.body {
                case .appended: "appended"
                case .appendRefused(let refusal): refusal.reason
                default: nil
                }
            }
        }
        #expect(answer() == ["step 5 is committed with another payload"])
        enter(2, &driver, committed: 4)
        #expect(answer() == ["appended"])
    }

    /// The same bits were written, and written again after a rollback; a peer knows only of the first time.
    @Test func aRepairDoesNotTakeARecordBackToAnOlderTimeline() throws {
        let newer = part(step: 5, epoch: 3, line: 3, frame: [5, 5])
        var older = newer.part
        older.line = 2
        older.epoch = 2
        var driver = store([newer.part])
        enter(3, &driver)
        let asked = try driver.findDamage(in: newer.part).sent()
        let request = try #require(
            asked.compactMap { if case .fetchRecord(let fetch) = $0.body { fetch } else { nil } }.first)
        var record = RecordPart()
        record.request = request.request
        record.part = older
        driver.hear(.recordPart(record), from: .store(1), payload: newer.payload)
        driver.tell(.completed(.written))
        #expect(driver.machine.records.values.map(\.line) == [3])
    }
}
