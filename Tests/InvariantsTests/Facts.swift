import Invariants
import MachineCore
import Wire

/// Facts of a small cluster: one shard, one worker, two stores of which both must acknowledge.
enum Facts {
    static let run: RunFacts = {
        var settings = RunSettings(shards: 1, workers: 1, stores: 2)
        settings.writeQuorum = 2
        return RunFacts(settings, isExact: true)
    }()

    static func part(step: UInt64, payload: String, base: UInt64?, line: UInt64 = 2) -> PartFact {
        var part = Part()
        part.step = step
        part.line = line
        part.epoch = line
        part.kind = base == nil ? .base : .delta
        part.baseStep = base ?? 0
        part.baseDigest = base.map { "state-\($0)" } ?? ""
        part.stateDigest = "state-\(step)"
        part.payloadDigest = payload
        return PartFact(part)
    }

    static func held(_ step: UInt64, _ payload: String) -> HeldFact {
        HeldFact(shard: 0, step: step, payload: payload)
    }

    static func state(epoch: UInt64, committed: Int64) -> StateFact {
        var state = CoordinatorState()
        state.epoch = epoch
        state.line = 2
        state.phase = .running
        state.committedStep = committed
        return StateFact(state)
    }

    static func manifest(step: UInt64, partStep: UInt64? = nil, digest: String = "model") -> ManifestFact {
        var part = Part()
        part.step = partStep ?? step
        part.line = 2
        part.stateDigest = "state-\(step)"
        part.payloadDigest = "payload-\(step)"
        part.stores = [0, 1]
        var manifest = Manifest()
        manifest.step = step
        manifest.line = 2
        manifest.modelDigest = digest
        manifest.parts = [part]
        return ManifestFact(manifest)
    }

    static let coordinator = ProcessFact(node: "coordinator", incarnation: 1)
    static let shard = ProcessFact(node: "shard-0", incarnation: 2)
    static let worker = ProcessFact(node: "worker-0", incarnation: 3)
    static func store(_ index: Int, _ incarnation: UInt64 = 4) -> ProcessFact {
        ProcessFact(node: "store-\(index)", incarnation: incarnation)
    }

    /// A run without faults from the beginning to the commit of step 1.
    static let sound: [(ProcessFact, Observation)] = [
        (coordinator, .led(epoch: 1, committedStep: -1)),
        (coordinator, .fencing(epoch: 2, committedStep: -1)),
        (coordinator, .persisting(state: state(epoch: 2, committed: -1), commits: [])),
        (coordinator, .persisted), (coordinator, .announced(epoch: 2, committedStep: -1)),
        (store(0), .opened(promised: 0, held: [], damaged: [])),
        (store(1), .opened(promised: 0, held: [], damaged: [])),
        (store(0), .writing(records: [], promise: 2)), (store(0), .synced), (store(0), .promised(epoch: 2)),
        (coordinator, .restoring(line: 2, step: -1, version: 0, shards: [0], heard: [0, 1], lost: nil)),
        (shard, .began(line: 2, step: -1, version: 0, stateDigest: "", parameters: "seed")),
        (worker, .computed(line: 2, clock: 0, slices: ["gradient-0"])),
        (shard, .applied(line: 2, version: 1, gradients: ["gradient-0"])),
        (shard, .appended(part: part(step: 1, payload: "payload-1", base: nil))),
        (store(0), .writing(records: [held(1, "payload-1")], promise: 0)), (store(0), .synced),
        (store(0), .acknowledged(shard: 0, step: 1, payload: "payload-1", epoch: 2)),
        (store(1), .writing(records: [held(1, "payload-1")], promise: 0)), (store(1), .synced),
        (store(1), .acknowledged(shard: 0, step: 1, payload: "payload-1", epoch: 2)),
        (shard, .heard(store: 0, step: 1, payload: "payload-1")),
        (shard, .heard(store: 1, step: 1, payload: "payload-1")),
        (coordinator, .progress(line: 2, step: 1)),
        (coordinator, .persisting(state: state(epoch: 2, committed: 1), commits: [manifest(step: 1)])),
        (coordinator, .persisted), (coordinator, .announced(epoch: 2, committedStep: 1)),
    ]

    /// What the checkers say of a sound run that goes on like this.
    static func check(
        _ more: [(ProcessFact, Observation)], order: InvariantSuite.Order = .causal
    ) -> [Violation] {
        var suite = InvariantSuite(run, order: order)
        for (process, what) in sound + more {
            suite.observe(HistoryRecord(process: process, at: 0, what: what))
        }
        suite.settle()
        return suite.findings.violations
    }
}
