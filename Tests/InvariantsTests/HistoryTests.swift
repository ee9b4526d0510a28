import Foundation
import Invariants
import MachineCore
import Testing

/// The hand-written form of a history is the one that `Codable` reads.
@Suite struct HistoryTests {
    @Test(
        arguments: [
            .computed(line: 3, clock: 7, slices: ["aa", "bb"]),
            .began(line: 3, step: -1, version: 0, stateDigest: "", parameters: "cc"),
            .applied(line: 3, version: 8, gradients: ["aa"]),
            .appended(part: Facts.part(step: 8, payload: "dd", base: 7)),
            .appended(part: Facts.part(step: 8, payload: "dd", base: nil)),
            .heard(store: 2, step: 8, payload: "dd"),
            .opened(promised: 4, held: [Facts.held(8, "dd")], damaged: []),
            .writing(records: [Facts.held(8, "dd"), Facts.held(9, "ee")], promise: 5), .synced,
            .acknowledged(shard: 0, step: 8, payload: "dd", epoch: 5), .promised(epoch: UInt64.max),
            .compacting(kept: [KeyFact(shard: 0, step: 8)]), .led(epoch: 6, committedStep: -1),
            .persisting(state: Facts.state(epoch: 6, committed: 8), commits: [Facts.manifest(step: 8)]),
            .persisted,
            .announced(epoch: 6, committedStep: 8), .progress(line: 3, step: 9),
            .fencing(epoch: 7, committedStep: 8),
            .restoring(line: 7, step: 8, version: 8, shards: [0, 1], heard: [0, 2], lost: 1),
            .restoring(line: 7, step: 8, version: 8, shards: [], heard: [], lost: nil),
            .alarm(kind: "proved", sentence: "a \"quoted\"\nsentence"),
            .fault(kind: "disk-lost", node: "store-1"),
        ] as [Observation])
    func textIsWhatCodableReads(what: Observation) throws {
        let record = HistoryRecord(process: ProcessFact(node: "shard-0", incarnation: 9), at: 12, what: what)
        #expect(!record.json.contains("\n"))
        #expect(try JSONDecoder().decode(HistoryRecord.self, from: Data(record.json.utf8)) == record)
    }
}
