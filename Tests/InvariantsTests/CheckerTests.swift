import Invariants
import MachineCore
import Testing

/// Each check fails when it should, and not before.
@Suite struct CheckerTests {
    struct Case: Sendable, CustomStringConvertible {
        var invariant: Invariant
        var description: String
        var facts: [(ProcessFact, Observation)]
        init(_ invariant: Invariant, _ description: String, _ facts: [(ProcessFact, Observation)]) {
            self.invariant = invariant
            self.description = description
            self.facts = facts
        }
    }

    @Test func aSoundRunHolds() {
        #expect(Facts.check([]).isEmpty)
        #expect(Facts.check([], order: .perProcess).isEmpty)
    }

    @Test func aSoundRunIsHeldAgainstThePromises() {
        var suite = InvariantSuite(Facts.run, order: .perProcess)
        for (process, what) in Facts.sound {
            suite.observe(HistoryRecord(process: process, at: 0, what: what))
        }
        suite.settle()
        let shown = Set(suite.findings.facts.keys)
        #expect(
            shown.isSuperset(of: [
                .durable, .atomic, .fenced, .singleWriter, .chained, .atMostOnce, .deterministic, .monotonic,
                .boundedLoss, .honest,
            ]))
    }

    @Test(arguments: [
        Case(
            .durable, "an acknowledgement before the sync",
            [
                (Facts.store(0), .writing(records: [Facts.held(2, "p")], promise: 0)),
                (Facts.store(0), .acknowledged(shard: 0, step: 2, payload: "p", epoch: 2)),
            ]),
        Case(
            .durable, "a commit that one store holds",
            [
                (Facts.store(0), .writing(records: [Facts.held(2, "payload-2")], promise: 0)),
                (Facts.store(0), .synced),
                (
                    Facts.coordinator,
                    .persisting(
                        state: Facts.state(epoch: 2, committed: 2), commits: [Facts.manifest(step: 2)])
                ),
            ]),
        Case(
            .durable, "a commit told of before it is in the database",
            [(Facts.coordinator, .announced(epoch: 2, committedStep: 2))]),
        Case(
            .durable, "a committed record that another one replaces",
            [
                (Facts.store(0), .writing(records: [Facts.held(1, "other")], promise: 0)),
                (Facts.store(0), .synced),
            ]),
        Case(
            .atomic, "a commit of two steps",
            [
                (
                    Facts.coordinator,
                    .persisting(
                        state: Facts.state(epoch: 2, committed: 2),
                        commits: [Facts.manifest(step: 2, partStep: 1)])
                )
            ]),
        Case(
            .atomic, "a shard that restores another step than was chosen",
            [
                (
                    Facts.coordinator,
                    .restoring(line: 3, step: 1, version: 1, shards: [0], heard: [0, 1], lost: nil)
                ),
                (Facts.shard, .began(line: 3, step: 0, version: 0, stateDigest: "s", parameters: "p")),
            ]),
        Case(
            .proved, "a restore to a digest that no commit names",
            [(Facts.shard, .began(line: 2, step: 1, version: 1, stateDigest: "other", parameters: "p"))]),
        Case(
            .fenced, "an acknowledgement to an older epoch than the promised one",
            [(Facts.store(0), .acknowledged(shard: 0, step: 1, payload: "payload-1", epoch: 1))]),
        Case(
            .fenced, "a promise that is not on the disk", [(Facts.store(0), .promised(epoch: 3))]),
        Case(
            .fenced, "a promise that did not outlive the process",
            [(Facts.store(0, 9), .opened(promised: 1, held: [Facts.held(1, "payload-1")], damaged: []))]),
        Case(
            .fenced, "an epoch told of before it is in the database",
            [(Facts.coordinator, .announced(epoch: 3, committedStep: 1))]),
        Case(
            .fenced, "a coordinator that goes on after another one has begun",
            [
                (ProcessFact(node: "coordinator", incarnation: 3), .led(epoch: 3, committedStep: 1)),
                (
                    Facts.coordinator,
                    .persisting(state: Facts.state(epoch: 2, committed: 1), commits: [])
                ),
                (Facts.coordinator, .persisted),
            ]),
        Case(
            .fenced, "a timeline that begins before enough stores have promised it",
            [
                (
                    Facts.coordinator,
                    .restoring(line: 3, step: 1, version: 1, shards: [0], heard: [0, 1], lost: nil)
                )
            ]),
        Case(
            .singleWriter, "two payloads for one step",
            [(Facts.shard, .appended(part: Facts.part(step: 1, payload: "other", base: nil)))]),
        Case(
            .chained, "a delta on a state that the shard never had",
            [(Facts.shard, .appended(part: Facts.part(step: 7, payload: "p", base: 5)))]),
        Case(
            .atMostOnce, "a step applied twice",
            [(Facts.shard, .applied(line: 2, version: 1, gradients: ["gradient-0"]))]),
        Case(
            .atMostOnce, "a gradient of another clock",
            [(Facts.shard, .applied(line: 2, version: 2, gradients: ["gradient-0"]))]),
        Case(
            .tail, "a record that was synced and is gone",
            [(Facts.store(0, 9), .opened(promised: 2, held: [], damaged: []))]),
        Case(
            .deterministic, "two states of one step",
            [
                (
                    Facts.coordinator,
                    .restoring(line: 3, step: 1, version: 1, shards: [0], heard: [0, 1], lost: nil)
                ),
                (Facts.worker, .computed(line: 3, clock: 0, slices: ["other"])),
            ]),
        Case(
            .monotonic, "a committed step that goes back",
            [
                (
                    Facts.coordinator,
                    .persisting(state: Facts.state(epoch: 2, committed: 0), commits: [])
                ),
                (Facts.coordinator, .persisted),
            ]),
        Case(
            .monotonic, "a commit that another one replaces",
            [
                (
                    Facts.coordinator,
                    .persisting(
                        state: Facts.state(epoch: 2, committed: 1),
                        commits: [Facts.manifest(step: 1, digest: "other")])
                ),
                (Facts.coordinator, .persisted),
            ]),
        Case(
            .boundedLoss, "lost steps that are not told of",
            [
                (Facts.coordinator, .fencing(epoch: 3, committedStep: 1)),
                (
                    Facts.coordinator,
                    .restoring(line: 3, step: -1, version: 0, shards: [0], heard: [0], lost: 0)
                ),
            ]),
        Case(
            .boundedLoss, "training that does not wait for its checkpoints",
            [
                (Facts.shard, .appended(part: Facts.part(step: 2, payload: "p", base: 1))),
                (Facts.worker, .computed(line: 2, clock: 1, slices: ["gradient-1"])),
                (Facts.shard, .applied(line: 2, version: 2, gradients: ["gradient-1"])),
            ]),
        Case(
            .honest, "a step told of that no shard has done",
            [(Facts.coordinator, .progress(line: 2, step: 5))]),
        Case(
            .proved, "an alarm of a process",
            [(Facts.coordinator, .alarm(kind: "proved", sentence: "another state"))]),
    ])
    func isFound(_ example: Case) {
        for order in [InvariantSuite.Order.causal, .perProcess] {
            let found = Facts.check(example.facts, order: order)
            #expect(found.contains { $0.invariant == example.invariant }, "\(order): \(found)")
        }
    }

    /// A shard need not send what a quorum has acknowledged before: its next delta builds on it.
    @Test(arguments: [1, 2]) func aDeltaMayBuildOnWhatAQuorumAcknowledgedEarly(acknowledgements: Int) {
        let next = ProcessFact(node: "shard-0", incarnation: 9)
        var facts: [(ProcessFact, Observation)] = [
            (Facts.shard, .appended(part: Facts.part(step: 2, payload: "p", base: 1))),
            (next, .began(line: 3, step: 1, version: 1, stateDigest: "state-1", parameters: "p")),
        ]
        for store in 0..<acknowledgements {
            facts.append((next, .heard(store: store, step: 2, payload: "p")))
        }
        facts.append((next, .appended(part: Facts.part(step: 3, payload: "q", base: 2, line: 3))))
        let isChained = !Facts.check(facts).contains { $0.invariant == .chained }
        #expect(isChained == (acknowledgements == 2))
    }

    /// A disk that lost a wiped store's records is no fault of the store.
    @Test func aNewDiskIsNotATornTail() {
        let empty: (ProcessFact, Observation) = (
            Facts.store(0, 9), .opened(promised: 0, held: [], damaged: [])
        )
        let lost: (ProcessFact, Observation) = (
            Facts.store(0, 0), .fault(kind: "disk-lost", node: Facts.store(0).node)
        )
        #expect(Facts.check([lost, empty]).isEmpty)
        #expect(Facts.check([empty], order: .perProcess).isEmpty)
        // Where all that is done to disks is told, nobody took this one away.
        #expect(Facts.check([empty]).contains { $0.invariant == .tail })
    }

    /// A shard that goes on encoding keeps ever more frames.
    @Test func framesThatWaitAreLimited() {
        let facts = (UInt64(2)...8).map { step -> (ProcessFact, Observation) in
            (
                Facts.shard,
                .appended(part: Facts.part(step: step, payload: "p\(step)", base: step - 1))
            )
        }
        #expect(Facts.check(facts).contains { $0.invariant == .boundedMemory })
        #expect(!Facts.check(Array(facts.prefix(1))).contains { $0.invariant == .boundedMemory })
    }

    /// The next record of a step may be found, or the one before it, when the batch was not synced.
    @Test(arguments: ["payload-1", "next"]) func aReplacementMayBeUnderWay(found: String) {
        let facts: [(ProcessFact, Observation)] = [
            (Facts.store(0), .writing(records: [Facts.held(1, "next")], promise: 0)),
            (Facts.store(0, 9), .opened(promised: 2, held: [Facts.held(1, found)], damaged: [])),
        ]
        #expect(Facts.check(facts).isEmpty)
    }
}
