import CoordinatorLogic
import MachineCore
import Testing
import Wire

/// Two shards and three stores with a write quorum of two; a disk that answers when the test says so.
@Suite struct CoordinatorMachineTests {
    typealias Result = Outcome<CoordinatorMachine.Action>

    /// A coordinator with the incarnations that it gave out.
    struct Cluster {
        var driver: Stepper<CoordinatorMachine>
        var incarnations: [NodeID: UInt64] = [:]

        init(_ settings: RunSettings) {
            driver = Stepper(
                CoordinatorMachine(
                    run: "run", settings: settings, configuration: "yaml", state: nil, manifests: [],
                    now: Instant(nanoseconds: 1_000_000_000)))
        }

        mutating func send(_ body: Envelope.OneOf_Body, from node: NodeID) -> Result {
            driver.receive(body, from: node, incarnation: incarnations[node] ?? 0)
        }

        /// Answers every write until none is left; gives back all that was sent meanwhile.
        mutating func settle(_ first: Result) -> Result {
            var items = first.items
            var last = first
            while last.persists > 0 {
                last = driver.complete(.persisted)
                items += last.items
            }
            return Result(items: items)
        }

        mutating func join(_ node: NodeID, nonce: UInt64? = nil) -> Result {
            var join = Join()
            join.role = node.role.rawValue
            join.index = Int32(node.index)
            join.pid = 100
            join.nonce = nonce ?? UInt64(node.index + 1) * 100 + (node.role == .shard ? 1 : 2)
            let result = settle(driver.receive(.join(join), from: node))
            for sent in result.sent {
                guard case .joined(let joined) = sent.body else { continue }
                incarnations[node] = joined.incarnation
            }
            return result
        }

        mutating func promise(_ store: Int, epoch: UInt64, parts: [Part] = []) -> Result {
            var promised = Promised()
            promised.epoch = epoch
            promised.parts = parts
            return settle(send(.promised(promised), from: .store(store)))
        }

        mutating func restored(_ shard: Int, line: UInt64, step: Int64, digest: String = "") -> Result {
            var restored = Restored()
            restored.line = line
            restored.step = step
            restored.stateDigest = digest
            return settle(send(.restored(restored), from: .shard(shard)))
        }

        mutating func prepared(_ shard: Int, _ part: Part) -> Result {
            var prepared = Prepared()
            prepared.parts = [part]
            return send(.prepared(prepared), from: .shard(shard))
        }

        mutating func heartbeat(_ nodes: [NodeID]) {
            for node in nodes { _ = settle(send(.heartbeat(Heartbeat()), from: node)) }
        }

        mutating func tick(milliseconds: Int) -> Result { settle(driver.wait(milliseconds: milliseconds)) }
    }

    static func settings(_ change: (inout RunSettings) -> Void = { _ in }) -> RunSettings {
        var settings = RunSettings(shards: 2, workers: 1, stores: 3)
        settings.tellPause = .milliseconds(0)
        change(&settings)
        return settings
    }

    static let places: [NodeID] = [.store(0), .store(1), .store(2), .shard(0), .shard(1)]

    /// Everyone has joined, and the first recovery waits for the promises of epoch 2.
    func formed(_ settings: RunSettings = settings()) -> Cluster {
        var cluster = Cluster(settings)
        _ = cluster.settle(cluster.driver.handle(.tick))
        for place in Self.places { _ = cluster.join(place) }
        #expect(cluster.driver.machine.phase == .fencing)
        return cluster
    }

    /// Training on timeline 2, with nothing committed.
    func running(_ settings: RunSettings = settings()) -> Cluster {
        var cluster = formed(settings)
        for store in 0..<3 { _ = cluster.promise(store, epoch: 2) }
        for shard in 0..<2 { _ = cluster.restored(shard, line: 2, step: -1) }
        #expect(cluster.driver.machine.phase == .running)
        cluster.heartbeat(Self.places)
        return cluster
    }

    func part(
        _ shard: UInt32, _ step: UInt64, base: UInt64? = nil, line: UInt64 = 2, stores: [UInt32] = [0, 1]
    )
        -> Part
    {
        makePart(shard: shard, step: step, epoch: 2, line: line, base: base, stores: stores)
    }

    /// Commits a base of both shards.
    func commit(_ step: UInt64, _ cluster: inout Cluster) {
        for shard: UInt32 in 0..<2 {
            let told = cluster.prepared(Int(shard), part(shard, step))
            _ = cluster.settle(told)
        }
        #expect(cluster.driver.machine.committedStep == Int64(step))
    }

    /// The supervisor tells of a shard's end; the store's promises of the new epoch are awaited then.
    func exit(_ node: NodeID, _ cluster: inout Cluster) -> Result {
        var exited = NodeExited()
        exited.node = node.description
        exited.pid = 100
        exited.cause = "signal 9"
        return cluster.settle(cluster.driver.receive(.nodeExited(exited), from: node))
    }

    func views(_ result: Result) -> [View] {
        result.sent.compactMap { if case .view(let view) = $0.body { view } else { nil } }
    }

    @Test func nothingIsAnnouncedBeforeItIsPersisted() {
        var cluster = Cluster(Self.settings())
        _ = cluster.settle(cluster.driver.handle(.tick))
        var join = Join()
        join.role = "store"
        join.index = 0
        join.nonce = 9
        let asked = cluster.driver.receive(.join(join), from: .store(0))
        #expect(asked.sent.isEmpty && asked.persists == 1)
        let again = cluster.driver.receive(.join(join), from: .store(0))
        #expect(again.sent.isEmpty && again.actions.isEmpty)
        let persisted = cluster.driver.complete(.persisted)
        let joined = persisted.sent.compactMap {
            if case .joined(let joined) = $0.body { joined } else { nil }
        }
        #expect(joined.map(\.node) == ["store-0"])
        // The same process asks again: the same answer.
        let repeated = cluster.driver.receive(.join(join), from: .store(0))
        let same = repeated.sent.compactMap { if case .joined(let joined) = $0.body { joined } else { nil } }
        #expect(same.map(\.incarnation) == joined.map(\.incarnation))
    }

    @Test func aStepIsCommittedOnlyWhenEveryShardHasToldOfIt() {
        var cluster = running()
        let first = cluster.prepared(0, part(0, 4))
        #expect(first.persists == 0)
        for wrong in [part(1, 4, line: 1), part(1, 4, stores: [0]), part(0, 4)] {
            let refused = cluster.prepared(1, wrong)
            #expect(refused.persists == 0)
        }
        let second = cluster.prepared(1, part(1, 4))
        #expect(second.commits == [4])
        // Others hear of it only when it is on the disk.
        let before = cluster.send(.heartbeat(Heartbeat()), from: .shard(0))
        #expect(before.committedSteps == [-1])
        _ = cluster.driver.complete(.persisted)
        let after = cluster.send(.heartbeat(Heartbeat()), from: .shard(0))
        #expect(after.committedSteps == [4])
    }

    @Test func aFenceNeedsSoManyStoresThatNoOlderWriterReachesAQuorum() {
        var cluster = formed()
        _ = cluster.promise(0, epoch: 2)
        _ = cluster.promise(1, epoch: 1)
        _ = cluster.tick(milliseconds: 200)
        #expect(cluster.driver.machine.phase == .fencing)
        _ = cluster.promise(1, epoch: 2)
        // The third store is waited for a little, because it may hold more.
        #expect(cluster.driver.machine.phase == .fencing)
        _ = cluster.tick(milliseconds: 100)
        #expect(cluster.driver.machine.phase == .restoring)
    }

    @Test func aLostShardLeadsToAFenceAndARestoreOfTheCommit() {
        var cluster = running()
        commit(4, &cluster)
        let died = exit(.shard(0), &cluster)
        let fences = died.sent.compactMap { if case .fence(let fence) = $0.body { fence } else { nil } }
        #expect(fences.map(\.epoch) == [3, 3, 3])
        #expect(fences.map(\.committedStep) == [4, 4, 4])
        _ = cluster.promise(0, epoch: 3)
        _ = cluster.promise(1, epoch: 3)
        let chosen = cluster.promise(2, epoch: 3)
        #expect(views(chosen).last?.restores.map(\.step) == [4, 4])
        #expect(views(chosen).last?.restores.map(\.stateDigest) == ["s4", "s4"])
        #expect(views(chosen).last?.line == 3)
    }

    /// What the three stores hold above the commit of step 4, and the step that is restored from it.
    @Test(
        arguments: [
            // Two copies of both parts: it was acknowledged, so it is committed now.
            (copies: [2, 2], line: 2, base: 4, expected: 5),
            (copies: [3, 2], line: 2, base: 4, expected: 5),
            // One part may have been acknowledged to nobody.
            (copies: [2, 1], line: 2, base: 4, expected: 4),
            (copies: [2, 0], line: 2, base: 4, expected: 4),
            // A timeline that was given up.
            (copies: [3, 3], line: 1, base: 4, expected: 4),
            // Builds on a step that nobody holds, and on another state of the committed one.
            (copies: [3, 3], line: 2, base: 9, expected: 4),
            (copies: [3, 3], line: 2, base: 0, expected: 4),
        ] as [(copies: [Int], line: UInt64, base: UInt64, expected: Int64)])
    func theStepToRestoreIsTheNewestThatTheStoresProve(
        copies: [Int], line: UInt64, base: UInt64, expected: Int64
    ) {
        var cluster = running()
        commit(4, &cluster)
        _ = exit(.shard(0), &cluster)
        let step: UInt64 = base == 9 ? 10 : 5
        var last = Result(items: [])
        for store in 0..<3 {
            var parts: [Part] = []
            for shard in 0..<2 where store < copies[shard] {
                var held = part(UInt32(shard), step, base: base == 0 ? 4 : base, line: line)
                if base == 0 { held.baseDigest = "another" }
                parts.append(held)
            }
            last = cluster.promise(store, epoch: 3, parts: parts)
        }
        #expect(cluster.driver.machine.committedStep == expected)
        #expect(views(last).last?.restores.map(\.step) == [expected, expected])
        #expect(views(last).last?.restores.map(\.stateDigest) == ["s\(expected)", "s\(expected)"])
    }

    @Test func aRestoredStateOfAnotherDigestIsNotTaken() {
        var cluster = running()
        commit(4, &cluster)
        _ = exit(.shard(0), &cluster)
        _ = cluster.join(.shard(0), nonce: 7)
        for store in 0..<3 { _ = cluster.promise(store, epoch: 3) }
        _ = cluster.restored(0, line: 3, step: 4, digest: "s4")
        let wrong = cluster.restored(1, line: 3, step: 4, digest: "other")
        #expect(wrong.said(.error, "proved"))
        _ = cluster.restored(1, line: 2, step: 4, digest: "s4")
        #expect(cluster.driver.machine.phase == .restoring)
        _ = cluster.restored(1, line: 3, step: 4, digest: "s4")
        #expect(cluster.driver.machine.phase == .running)
    }

    @Test func anEndedLeaseIsAFault() {
        var cluster = running()
        for _ in 0..<9 { _ = cluster.tick(milliseconds: 100) }
        cluster.heartbeat(Self.places.filter { $0 != .shard(1) })
        let ended = cluster.tick(milliseconds: 100)
        #expect(ended.decisions.filter { $0.kind == "fault" }.map(\.level) == [.warning])
        #expect(ended.decisions.contains { $0.sentence.hasPrefix("shard-1 failed") })
        #expect(cluster.driver.machine.phase == .fencing)
    }

    @Test func aJoinReplacesTheProcessThatHeldThePlace() {
        var cluster = running()
        let old = cluster.incarnations[.shard(0)] ?? 0
        _ = cluster.join(.shard(0), nonce: 7)
        let new = cluster.incarnations[.shard(0)] ?? 0
        #expect(new > old)
        #expect(cluster.driver.machine.phase == .fencing)
        let refused = cluster.driver.receive(
            .heartbeat(Heartbeat()), from: .shard(0), incarnation: old)
        let refusals = refused.sent.compactMap {
            if case .refused(let refusal) = $0.body { refusal } else { nil }
        }
        #expect(refusals.map(\.fatal) == [true])
    }

    @Test func anotherRoleOrPlaceCantJoin() {
        var cluster = running()
        for (role, index): (String, Int32) in [("shard", 2), ("tool", 0), ("coordinator", 0), ("", 0)] {
            var join = Join()
            join.role = role
            join.index = index
            join.nonce = 77
            let refused = cluster.driver.receive(.join(join), from: .worker(0))
            #expect(refused.persists == 0)
            #expect(refused.sent.contains { if case .refused = $0.body { true } else { false } })
        }
    }

    @Test func aCoordinatorThatNoLongerLeadsEnds() {
        var cluster = Cluster(Self.settings())
        _ = cluster.driver.handle(.tick)
        let replaced = cluster.driver.complete(.notLeader)
        #expect(replaced.exits.count == 1 && replaced.sent.isEmpty)
    }

    @Test func aPartialRecoveryFreezesAndTakesTheHighestVersion() {
        var cluster = running(Self.settings { $0.partialRecovery = true })
        commit(4, &cluster)
        _ = exit(.shard(0), &cluster)
        for store in 0..<3 { _ = cluster.promise(store, epoch: 3) }
        #expect(cluster.driver.machine.phase == .freezing)
        var frozen = Frozen()
        frozen.line = 2
        frozen.version = 99
        _ = cluster.settle(cluster.send(.frozen(frozen), from: .shard(1)))
        #expect(cluster.driver.machine.phase == .freezing)
        frozen.line = 3
        frozen.version = 6
        let thawed = cluster.settle(cluster.send(.frozen(frozen), from: .shard(1)))
        #expect(cluster.driver.machine.phase == .restoring)
        #expect(views(thawed).last?.resumeVersion == 6)
        #expect(views(thawed).last?.restores.map(\.shard) == [0])
        #expect(views(thawed).last?.restores.map(\.step) == [4])
    }
}

extension Outcome<CoordinatorMachine.Action> {
    var persists: Int { actions.count { if case .persist = $0 { true } else { false } } }
    var commits: [UInt64] {
        actions.flatMap { action -> [UInt64] in
            guard case .persist(_, let commits, _) = action else { return [] }
            return commits.map(\.step)
        }
    }
    var committedSteps: [Int64] {
        sent.compactMap { if case .heartbeatReply(let reply) = $0.body { reply.committedStep } else { nil } }
    }
}
