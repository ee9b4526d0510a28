import CoordinatorLogic
import MachineCore
import Testing
import Wire

/// One shard, one worker, three stores of which two must acknowledge.
@Suite struct CoordinatorTests {
    private typealias Coordinator = Driver<CoordinatorMachine>

    private func coordinator(_ state: CoordinatorState? = nil, _ manifests: [Manifest] = []) -> Coordinator {
        var settings = RunSettings(shards: 1, workers: 1, stores: 3)
        settings.tellPause = .milliseconds(0)
        var driver = Driver(
            CoordinatorMachine(
                run: "test", settings: settings, configuration: "",
                state: state,
                manifests: manifests, now: Instant(nanoseconds: 1_000_000_000)))
        persistAll(&driver, driver.tell(.tick))
        return driver
    }

    /// Carries out every transaction that is asked for, and hands back all messages.
    @discardableResult
    private func persistAll(
        _ driver: inout Coordinator, _ effects: [Effect<CoordinatorMachine.Action>]
    ) -> [(body: Envelope.OneOf_Body, payload: Payload?, to: NodeID)] {
        var all = effects.sent()
        var open = effects.actions()
        while !open.isEmpty {
            guard case .persist = open.removeFirst() else { continue }
            let next = driver.tell(.completed(.persisted))
            all += next.sent()
            open += next.actions()
        }
        return all
    }

    private func join(_ node: NodeID, nonce: UInt64, pid: UInt32 = 1) -> Envelope.OneOf_Body {
        var join = Join()
        join.role = node.role.rawValue
        join.index = Int32(node.index)
        join.pid = pid
        join.nonce = nonce
        join.endpoint = "here"
        return .join(join)
    }

    private let tool = NodeID(role: .tool, index: 7)

    /// Incarnations as they are given out: store-0 2, store-1 3, store-2 4, shard-0 5, worker-0 6.
    private func formed() -> Coordinator {
        var driver = coordinator()
        for (index, node) in [NodeID.store(0), .store(1), .store(2), .shard(0), .worker(0)].enumerated() {
            persistAll(&driver, driver.hear(join(node, nonce: UInt64(index + 1)), from: tool))
        }
        return driver
    }

    private func promise(_ driver: inout Coordinator, _ store: Int, epoch: UInt64, parts: [Part] = []) {
        var promised = Promised()
        promised.epoch = epoch
        promised.parts = parts
        let effects = driver.hear(.promised(promised), from: .store(store), incarnation: UInt64(store + 2))
        persistAll(&driver, effects)
    }

    private func restored(
        _ driver: inout Coordinator, line: UInt64, step: Int64, digest: String, incarnation: UInt64
    ) {
        var restored = Restored()
        restored.line = line
        restored.step = step
        restored.stateDigest = digest
        persistAll(&driver, driver.hear(.restored(restored), from: .shard(0), incarnation: incarnation))
    }

    private func running() -> Coordinator {
        var driver = formed()
        for store in 0..<3 { promise(&driver, store, epoch: 2) }
        restored(&driver, line: 2, step: -1, digest: "", incarnation: 5)
        return driver
    }

    private func prepared(_ step: UInt64, line: UInt64, stores: [UInt32]) -> Envelope.OneOf_Body {
        var made = part(step: step, epoch: 2, line: line, base: step == 0 ? nil : step - 1).part
        made.stores = stores
        var prepared = Prepared()
        prepared.parts = [made]
        return .prepared(prepared)
    }

    @Test func tellsAPlaceOnlyWhenItIsDurable() {
        var driver = coordinator()
        let asked = driver.hear(join(.store(0), nonce: 5), from: tool)
        #expect(asked.sent().isEmpty)
        let told = persistAll(&driver, asked)
        #expect(
            told.contains {
                if case .joined(let joined) = $0.body { joined.node == "store-0" } else { false }
            })
    }

    @Test func theSameProcessGetsTheSamePlaceAgain() {
        var driver = formed()
        let again = persistAll(&driver, driver.hear(join(.shard(0), nonce: 4), from: tool))
        #expect(
            again.contains {
                if case .joined(let joined) = $0.body { joined.incarnation == 5 } else { false }
            })
        #expect(driver.machine.phase == .fencing)
    }

    @Test func fencesAQuorumBeforeItRestores() {
        var driver = formed()
        #expect(driver.machine.phase == .fencing)
        promise(&driver, 0, epoch: 1)
        promise(&driver, 0, epoch: 2)
        #expect(driver.machine.phase == .fencing)
        promise(&driver, 1, epoch: 2)
        persistAll(&driver, driver.tell(.tick, after: 150))
        #expect(driver.machine.phase == .restoring)
        restored(&driver, line: 2, step: -1, digest: "", incarnation: 5)
        #expect(driver.machine.phase == .running)
    }

    @Test func commitsOnlyWithAWriteQuorumAndOnlyWhenDurable() {
        var driver = running()
        persistAll(&driver, driver.hear(prepared(0, line: 2, stores: [0]), from: .shard(0), incarnation: 5))
        #expect(driver.machine.committedStep == -1)
        let effects = driver.hear(prepared(0, line: 2, stores: [0, 1]), from: .shard(0), incarnation: 5)
        let commits = effects.actions().flatMap { action in
            if case .persist(_, let commits, _) = action { return commits.map(\.step) }
            return []
        }
        #expect(commits == [0])
        #expect(effects.sent().isEmpty)
    }

    @Test func refusesPartsOfAnotherTimelineAndOfAReplacedShard() {
        var driver = running()
        persistAll(
            &driver, driver.hear(prepared(0, line: 1, stores: [0, 1]), from: .shard(0), incarnation: 5))
        let late = driver.hear(prepared(0, line: 2, stores: [0, 1]), from: .shard(0), incarnation: 4)
        persistAll(&driver, late)
        #expect(driver.machine.committedStep == -1)
        #expect(
            late.sent().contains { if case .refused(let refusal) = $0.body { refusal.fatal } else { false } })
    }

    @Test func aDeadShardComesBackAtTheNewestStepThatTheStoresProve() {
        var driver = running()
        persistAll(
            &driver, driver.hear(prepared(0, line: 2, stores: [0, 1]), from: .shard(0), incarnation: 5))
        var exit = NodeExited()
        exit.node = "shard-0"
        exit.pid = 1
        persistAll(&driver, driver.hear(.nodeExited(exit), from: tool))
        #expect(driver.machine.phase == .fencing)
        persistAll(&driver, driver.hear(join(.shard(0), nonce: 9, pid: 2), from: tool))
        // Step 1 was acknowledged by two stores, its commit was not made; step 2 is on one store only.
        let one = part(step: 1, epoch: 2, line: 2, base: 0).part
        let two = part(step: 2, epoch: 2, line: 2, base: 1).part
        promise(&driver, 0, epoch: 3, parts: [one, two])
        promise(&driver, 1, epoch: 3, parts: [one])
        promise(&driver, 2, epoch: 3)
        #expect(driver.machine.phase == .restoring)
        #expect(driver.machine.committedStep == 1)
        restored(&driver, line: 3, step: 1, digest: "another", incarnation: 7)
        #expect(driver.machine.phase == .restoring)
        restored(&driver, line: 3, step: 1, digest: one.stateDigest, incarnation: 7)
        #expect(driver.machine.phase == .running)
    }

    @Test func silenceEndsALease() {
        var driver = running()
        for _ in 0..<11 { persistAll(&driver, driver.tell(.tick, after: 100)) }
        #expect(driver.machine.phase == .fencing)
    }

    /// A coordinator that was away has heard nobody; that says nothing about the others.
    @Test func itsOwnPauseEndsNobodysLease() {
        var driver = running()
        persistAll(&driver, driver.tell(.tick, after: 5_000))
        #expect(driver.machine.phase == .running)
        for _ in 0..<11 { persistAll(&driver, driver.tell(.tick, after: 100)) }
        #expect(driver.machine.phase == .fencing)
    }

    /// A coordinator that dies before its transaction is durable must not have let the stores forget what it kept.
    @Test func storesForgetOnlyWhatIsGoneFromTheDatabase() {
        var manifests: [Manifest] = []
        for step in 0..<200 as Range<UInt64> {
            var manifest = Manifest()
            manifest.step = step
            manifests.append(manifest)
        }
        var state = CoordinatorState()
        state.committedStep = 199
        state.phase = .running
        var driver = Driver(
            CoordinatorMachine(
                run: "test", settings: RunSettings(shards: 1, workers: 1, stores: 1), configuration: "",
                state: state, manifests: manifests, now: Instant(nanoseconds: 1_000_000_000)))
        func toldToKeep(_ effects: [Effect<CoordinatorMachine.Action>]) -> [UInt64] {
            effects.sent().flatMap { sent -> [UInt64] in
                if case .heartbeatReply(let reply) = sent.body { reply.retain.steps } else { [] }
            }
        }
        let first = driver.tell(.tick)
        let deleted = first.actions().flatMap { action -> [UInt64] in
            if case .persist(_, _, let deletes) = action { deletes } else { [] }
        }
        #expect(deleted.count == 148)
        driver.hear(join(.store(0), nonce: 9), from: tool)
        #expect(toldToKeep(driver.hear(.heartbeat(Heartbeat()), from: .store(0), incarnation: 1)) == [])
        persistAll(&driver, driver.tell(.completed(.persisted)))
        let told = toldToKeep(driver.hear(.heartbeat(Heartbeat()), from: .store(0), incarnation: 1))
        #expect(Set(told).isDisjoint(with: deleted) && told.count == 52)
    }

    @Test func endsWhenAnotherLeads() {
        var driver = running()
        driver.hear(prepared(0, line: 2, stores: [0, 1]), from: .shard(0), incarnation: 5)
        #expect(driver.tell(.completed(.notLeader)).exits())
    }

    @Test func asksForNoTickWhileATransactionIsUnderWay() {
        var driver = running()
        driver.hear(join(.worker(0), nonce: 20), from: tool)
        driver.hear(join(.worker(0), nonce: 21), from: tool)
        #expect(driver.machine.nextDeadline.map { $0 > driver.now } ?? true)
    }
}
