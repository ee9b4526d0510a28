import Foundation
import Testing

@testable import Storage

struct DatabaseTests {
    @Test func anIndexIsKeptAndADamagedOneMadeAnew() throws {
        let scratch = try Scratch()
        let path = scratch.file("index.sqlite")
        let records = (1...5).map {
            StoredRecord(
                header: header(step: UInt64($0), bytes: 9),
                location: .init(segment: 1, offset: UInt64($0) * 8),
                order: UInt64($0))
        }
        var index = try RecordIndex.open(path: path)
        try index.replaceAll(records, storeID: .max, completeBefore: 2)
        try index.remove([records[0].location])
        index.close()
        index = try RecordIndex.open(path: path)
        #expect(try index.all() == Array(records[1...]))
        #expect(try index.known(storeID: .max)?.completeBefore == 2)
        #expect(try index.known(storeID: 1) == nil)
        index.close()
        try Data(repeating: 65, count: 9000).write(to: URL(fileURLWithPath: path))
        index = try RecordIndex.open(path: path)
        #expect(index.findings.count == 1)
        #expect(try index.all().isEmpty)
        index.close()
    }

    @Test func onlyTheLeaderCommits() throws {
        let scratch = try Scratch()
        let path = scratch.file("coordinator.sqlite")
        let old = try CoordinatorDatabase.open(path: path)
        try old.takeLeadership(leader: "a")
        let row = ManifestRow(step: 4, line: 1, epoch: 2, manifest: [1, 2, 3], committed: true)
        try old.commit(leader: "a", puts: [("epoch", [2])], manifests: [row])
        let new = try CoordinatorDatabase.open(path: path)
        try new.takeLeadership(leader: "b")
        #expect(throws: StorageError.notLeader(leader: "a", current: "b")) {
            try old.commit(leader: "a", puts: [("epoch", [9])], deleteManifests: [4])
        }
        #expect(try new.load() == ["epoch": [2]])
        #expect(try new.manifests() == [row])
        try new.commit(leader: "b", puts: [], deleteManifests: [4])
        #expect(try new.manifests().isEmpty)
        let events = (1...3).map {
            HistoryEvent(timeMilliseconds: $0, node: "store-1", kind: "fault", sentence: "s\($0)")
        }
        try new.appendEvents(events)
        #expect(try new.recentEvents(limit: 2) == Array(events[1...]))
        old.close()
        new.close()
    }
}
