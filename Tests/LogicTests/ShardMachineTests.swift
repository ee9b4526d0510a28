import MachineCore
import ShardLogic
import Testing
import Wire

/// One shard with one element, two workers and three stores, in `bsp`.
@Suite struct ShardMachineTests {
    typealias Result = Outcome<ShardMachine.Action>

    static func settings(_ change: (inout RunSettings) -> Void = { _ in }) -> RunSettings {
        var settings = RunSettings(shards: 1, workers: 2, stores: 3)
        settings.tellPause = .milliseconds(0)
        settings.checkpointEvery = 0
        change(&settings)
        return settings
    }

    static let members =
        [makeMember(.shard(0)), makeMember(.worker(0)), makeMember(.worker(1))]
        + (0..<3).map { makeMember(.store($0)) }

    static func restore(step: Int64, digest: String = "") -> Restore {
        var restore = Restore()
        restore.step = step
        restore.stateDigest = digest
        restore.incarnation = 1
        return restore
    }

    /// A shard that was told to restore on timeline 1 and has not been answered.
    func restoring(step: Int64, digest: String = "", settings: RunSettings = settings())
        -> (shard: Stepper<ShardMachine>, first: Result)
    {
        let membership = makeMembership(.shard(0), view: makeView(number: 0, members: Self.members))
        var shard = Stepper(ShardMachine(membership: membership, settings: settings, elements: 1))
        let first = shard.receive(
            .view(
                makeView(
                    phase: .restoring, members: Self.members,
                    restores: [Self.restore(step: step, digest: digest)])),
            from: .coordinator)
        return (shard, first)
    }

    /// A shard that begins from the seed and trains.
    func running(_ settings: RunSettings = settings()) -> Stepper<ShardMachine> {
        var (shard, _) = restoring(step: -1, settings: settings)
        _ = shard.complete(.initialized(line: 1, parameters: tensor(0)))
        _ = shard.receive(.view(makeView(number: 2, members: Self.members)), from: .coordinator)
        return shard
    }

    func push(
        _ slot: UInt32, _ clock: UInt64, _ value: UInt8 = 1, line: UInt64 = 1, incarnation: UInt64 = 1,
        to shard: inout Stepper<ShardMachine>
    ) -> Result {
        var push = Push()
        push.line = line
        push.slot = slot
        push.clock = clock
        push.wantVersion = clock + 1
        return shard.receive(
            .push(push), from: .worker(Int(slot)), incarnation: incarnation, payload: tensor(value))
    }

    func pull(_ slot: UInt32, _ version: UInt64, of shard: inout Stepper<ShardMachine>) -> Result {
        var pull = Pull()
        pull.line = 1
        pull.slot = slot
        pull.version = version
        return shard.receive(.pull(pull), from: .worker(Int(slot)))
    }

    func applies(_ result: Result) -> [(version: UInt64, gradients: [[UInt8]?])] {
        result.actions.compactMap { action in
            guard case .apply(let version, let gradients) = action else { return nil }
            return (version, gradients.map { bytes(of: $0) })
        }
    }
    func encodes(_ result: Result) -> [UInt64] {
        result.actions.compactMap { if case .encode(let step, _) = $0 { step } else { nil } }
    }
    func answers(_ result: Result) -> [(reply: Parameters, payload: UInt8?, to: NodeID)] {
        result.sent.compactMap { sent in
            guard case .parameters(let reply) = sent.body else { return nil }
            return (reply, bytes(of: sent.payload)?.first, sent.to)
        }
    }
    func chains(_ result: Result) -> [(fetch: FetchChain, to: NodeID)] {
        result.sent.compactMap { if case .fetchChain(let fetch) = $0.body { (fetch, $0.to) } else { nil } }
    }
    func prepared(_ result: Result) -> [Part] {
        result.sent.flatMap { sent -> [Part] in
            guard case .prepared(let prepared) = sent.body else { return [] }
            return prepared.parts
        }
    }

    /// One whole step; the parameters of version `v` have the byte `v`.
    func step(_ clock: UInt64, _ shard: inout Stepper<ShardMachine>) -> Result {
        _ = push(0, clock, to: &shard)
        _ = push(1, clock, to: &shard)
        return shard.complete(.applied(version: clock + 1, parameters: tensor(UInt8(clock + 1))))
    }

    @Test func aStepWaitsForAllSlotsAndIsAppliedInTheirOrder() {
        var shard = running()
        let first = push(1, 0, 11, to: &shard)
        #expect(first.actions.isEmpty && answers(first).isEmpty)
        let second = push(0, 0, 10, to: &shard)
        #expect(applies(second).map(\.version) == [1])
        #expect(applies(second).first?.gradients == [[10, 0, 0, 0], [11, 0, 0, 0]])
        #expect(answers(second).isEmpty)
        let applied = shard.complete(.applied(version: 1, parameters: tensor(1)))
        #expect(answers(applied).map(\.to) == [.worker(0), .worker(1)])
        #expect(answers(applied).allSatisfy { $0.reply.version == 1 && $0.payload == 1 })
    }

    @Test func aRepeatedPushIsAppliedOnce() {
        var shard = running()
        _ = push(0, 0, 10, to: &shard)
        let again = push(0, 0, 99, to: &shard)
        #expect(again.actions.isEmpty)
        let whole = push(1, 0, 11, to: &shard)
        #expect(applies(whole).first?.gradients.first == [10, 0, 0, 0])
        let during = push(0, 0, 99, to: &shard)
        #expect(during.actions.isEmpty)
        _ = shard.complete(.applied(version: 1, parameters: tensor(1)))
        // After the step it is answered, and nothing is held of it.
        let late = push(0, 0, 99, to: &shard)
        #expect(late.actions.isEmpty)
        #expect(answers(late).map(\.reply.version) == [1])
        #expect(answers(late).map(\.reply.slotClock) == [1])
        let next = push(1, 1, to: &shard)
        #expect(next.actions.isEmpty)
        #expect(shard.machine.version == 1)
    }

    @Test func aLatePullIsServedThePreviousVersionExactly() {
        var shard = running()
        _ = step(0, &shard)
        _ = step(1, &shard)
        let late = pull(1, 1, of: &shard)
        #expect(answers(late).map(\.reply.version) == [1])
        #expect(answers(late).map(\.payload) == [1])
        let newest = pull(1, 2, of: &shard)
        #expect(answers(newest).map(\.payload) == [2])
        let early = pull(1, 3, of: &shard)
        #expect(answers(early).isEmpty)
    }

    @Test func pushesOfAnotherLineOrBeyondTheWindowChangeNothing() {
        var shard = running()
        _ = push(0, 0, to: &shard)
        for line: UInt64 in [0, 2] {
            let other = push(1, 0, line: line, to: &shard)
            #expect(other.sent.isEmpty && other.actions.isEmpty)
        }
        let beyond = push(1, 1, to: &shard)
        #expect(beyond.actions.isEmpty && beyond.said(.error, "protocol"))
        let whole = push(1, 0, to: &shard)
        #expect(applies(whole).count == 1)
    }

    @Test func pushesOfAReplacedWorkerAreRefused() {
        var shard = running()
        _ = push(0, 0, 10, incarnation: 3, to: &shard)
        let old = push(0, 0, 99, incarnation: 2, to: &shard)
        #expect(old.said(.warning, "fenced"))
        let refusals = old.sent.compactMap {
            if case .refused(let refusal) = $0.body { refusal } else { nil }
        }
        #expect(refusals.map(\.fatal) == [true])
        let whole = push(1, 0, 11, to: &shard)
        #expect(applies(whole).first?.gradients.first == [10, 0, 0, 0])
    }

    @Test func gradientsOfAnotherSizeAreNotTaken() {
        var shard = running()
        _ = push(0, 0, to: &shard)
        var wrong = Push()
        wrong.line = 1
        wrong.slot = 1
        let short = shard.receive(.push(wrong), from: .worker(1), payload: Payload([1, 2, 3]))
        #expect(short.actions.isEmpty && short.said(.error, "protocol"))
    }

    /// Trains to the first checkpoint and gives back its part as it was appended.
    func checkpointed(_ change: (inout RunSettings) -> Void = { _ in }) throws
        -> (shard: Stepper<ShardMachine>, part: Part)
    {
        let settings = Self.settings {
            $0.checkpointEvery = 1
            change(&$0)
        }
        var (shard, _) = restoring(step: -1, settings: settings)
        let begun = shard.complete(.initialized(line: 1, parameters: tensor(0)))
        #expect(encodes(begun) == [0])
        _ = shard.receive(.view(makeView(number: 2, members: Self.members)), from: .coordinator)
        let encoded = shard.complete(.encoded(makePart(step: 0, epoch: 0, line: 0), frame: tensor(7)))
        let appends = encoded.sent.compactMap {
            if case .append(let append) = $0.body { append } else { nil }
        }
        #expect(encoded.sent.map(\.to) == [.store(0), .store(1), .store(2)])
        let part = try #require(appends.first).part
        #expect(part.epoch == 1 && part.line == 1)
        return (shard, part)
    }

    func ack(_ part: Part, by store: Int, digest: String? = nil, _ shard: inout Stepper<ShardMachine>)
        -> Result
    {
        var ack = Appended()
        ack.shard = part.shard
        ack.step = part.step
        ack.payloadDigest = digest ?? part.payloadDigest
        return shard.receive(.appended(ack), from: .store(store))
    }

    @Test func preparedIsToldOnlyAfterAWriteQuorum() throws {
        var (shard, part) = try checkpointed()
        let first = ack(part, by: 0, &shard)
        #expect(prepared(first).isEmpty)
        let same = ack(part, by: 0, &shard)
        #expect(prepared(same).isEmpty)
        let other = ack(part, by: 1, digest: "other", &shard)
        #expect(prepared(other).isEmpty)
        let quorum = ack(part, by: 2, &shard)
        #expect(prepared(quorum).map(\.stores) == [[0, 2]])
        // Told again until the coordinator has committed it.
        let again = shard.wait(milliseconds: 300)
        #expect(prepared(again).count == 1)
        var reply = HeartbeatReply()
        reply.committedStep = 0
        _ = shard.receive(.heartbeatReply(reply), from: .coordinator)
        let after = shard.wait(milliseconds: 300)
        #expect(prepared(after).isEmpty)
    }

    @Test func nothingIsAppliedWhileACheckpointWaitsForItsQuorum() throws {
        var (shard, part) = try checkpointed()
        _ = push(0, 0, to: &shard)
        let whole = push(1, 0, to: &shard)
        #expect(whole.actions.isEmpty)
        let first = ack(part, by: 0, &shard)
        #expect(first.actions.isEmpty)
        let quorum = ack(part, by: 1, &shard)
        #expect(applies(quorum).map(\.version) == [1])
    }

    @Test func onlyTheStoresThatAreSilentAreAskedAgain() throws {
        var (shard, part) = try checkpointed()
        _ = ack(part, by: 1, &shard)
        // A little more than the patience: frames are given the time that they take.
        let again = shard.wait(milliseconds: 251)
        #expect(again.sent.map(\.to) == [.store(0), .store(2)])
    }

    @Test func aRestoreTriesTheNextReplicaAndNamesTheDigest() throws {
        var (shard, first) = restoring(step: 5, digest: "s5")
        let asked = try #require(chains(first).first)
        #expect(asked.to == .store(0))
        #expect(asked.fetch.stateDigest == "s5" && asked.fetch.afterStep == -1)
        let silent = shard.wait(milliseconds: 250)
        #expect(chains(silent).map(\.to) == [.store(1)])
        // An answer to the question that was given up is not taken.
        var answer = ChainPart()
        answer.request = asked.fetch.request
        answer.parts = [makePart(step: 5)]
        answer.last = true
        let late = shard.receive(.chainPart(answer), from: .store(0), payload: tensor(1))
        #expect(late.actions.isEmpty)
        answer.request = try #require(chains(silent).first).fetch.request
        let taken = shard.receive(.chainPart(answer), from: .store(1), payload: tensor(1))
        guard case .restore(let link)? = taken.actions.first else {
            Issue.record("a restore was expected")
            return
        }
        #expect(link.stateDigest == "s5" && link.isFirst && link.isLast && link.resumeVersion == 5)
        // The arithmetic found another state: the next replica.
        let wrong = shard.complete(.restoreFailed(line: 1, reason: "the digest differs", isLoss: true))
        #expect(wrong.sent.allSatisfy { if case .restored = $0.body { false } else { true } })
        #expect(chains(wrong).map(\.to) == [.store(2)])
        answer.request = try #require(chains(wrong).first).fetch.request
        _ = shard.receive(.chainPart(answer), from: .store(2), payload: tensor(1))
        let restored = shard.complete(
            .restored(line: 1, step: 5, stateDigest: "s5", parameters: tensor(5)))
        let told = restored.sent.compactMap { if case .restored(let told) = $0.body { told } else { nil } }
        #expect(told.first?.stateDigest == "s5")
        #expect(shard.machine.version == 5)
    }

    @Test func aRestoreThatEveryReplicaRefusesIsToldAndBegunAgain() throws {
        var (shard, result) = restoring(step: 5, digest: "s5")
        for store in 0..<3 {
            var failure = FetchFailed()
            failure.request = try #require(chains(result).first).fetch.request
            failure.reason = "not here"
            result = shard.receive(.fetchFailed(failure), from: .store(store))
        }
        let told = result.sent.compactMap { if case .restoreFailed(let told) = $0.body { told } else { nil } }
        #expect(told.map(\.definite) == [true])
        let again = shard.wait(milliseconds: 250)
        #expect(chains(again).map(\.to) == [.store(0)])
    }

    @Test func anAnswerOfAnotherLengthIsMalformed() throws {
        var (shard, first) = restoring(step: 5, digest: "s5")
        var answer = ChainPart()
        answer.request = try #require(chains(first).first).fetch.request
        answer.parts = [makePart(step: 5, bytes: .max), makePart(step: 6, bytes: 9)]
        let taken = shard.receive(.chainPart(answer), from: .store(0), payload: tensor(1))
        #expect(taken.actions.isEmpty)
        #expect(chains(taken).map(\.to) == [.store(1)])
    }

    @Test func aReplacedShardEnds() {
        var shard = running()
        var members = Self.members
        members[0] = makeMember(.shard(0), incarnation: 2)
        let replaced = shard.receive(.view(makeView(number: 3, members: members)), from: .coordinator)
        #expect(replaced.exits.count == 1)
    }

    @Test func aStepThatWasUnderWayWhenARestoreWasOrderedIsGivenUp() {
        var shard = running()
        _ = push(0, 0, to: &shard)
        _ = push(1, 0, to: &shard)
        let view = makeView(
            number: 3, epoch: 2, line: 2, phase: .restoring, members: Self.members,
            restores: [Self.restore(step: -1)])
        _ = shard.receive(.view(view), from: .coordinator)
        let late = shard.complete(.applied(version: 1, parameters: tensor(9)))
        #expect(late.sent.isEmpty && shard.machine.version == 0)
        _ = shard.complete(.initialized(line: 2, parameters: tensor(0)))
        #expect(shard.machine.line == 2 && shard.machine.version == 0)
    }
}
