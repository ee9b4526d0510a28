import Glibc
import Testing

@testable import Storage

struct FaultTests {
    private func options(_ segmentBytes: UInt64 = 5200) -> SegmentLogOptions {
        var options = smallOptions(segmentBytes: segmentBytes)
        options.fsync = .real
        return options
    }

    /// Appends, syncs and compacts; notes in `acknowledged` what must be found again.
    private func work(_ files: FaultyFileSystem, _ acknowledged: inout Set<UInt64>) throws {
        let (log, _, _) = try SegmentLogOn.open(directory: "d", options: options(), files: files)
        defer { log.close() }
        var pending: Set<UInt64> = []
        for step in UInt64(1)...24 {
            try log.add(step: step, bytes: 60)
            pending.insert(step)
            if step % 3 == 0 {
                try log.sync()
                acknowledged.formUnion(pending)
                pending = []
            }
            if step == 18 {
                // From here on the dead ones may be gone, whether or not the compaction comes to its end.
                acknowledged = acknowledged.filter { $0 % 4 == 0 }
                _ = try log.compact(rewriteBelow: 0.9) { $0.header.step % 4 == 0 }
            }
        }
    }

    @Test func whatWasSyncedSurvivesACrashBeforeAnyCall() throws {
        let whole = FaultyFileSystem()
        var all: Set<UInt64> = []
        try work(whole, &all)
        #expect(whole.changes > 50)
        for stop in 0...whole.changes {
            for seed in 0..<4 {
                let files = FaultyFileSystem()
                files.stopAt = stop
                var acknowledged: Set<UInt64> = []
                try? work(files, &acknowledged)
                let after = files.afterCrash { sector in
                    seed == 0 ? false : seed == 1 ? true : (sector &* 7 &+ stop &* 13 &+ seed) % 3 == 0
                }
                let (log, records, findings) = try SegmentLogOn.open(
                    directory: "d", options: options(), files: after)
                let found = Set(records.map(\.header.step))
                #expect(found.isSuperset(of: acknowledged), "stopped at \(stop), seed \(seed): \(findings)")
                #expect(!findings.contains { if case .missingSegment = $0 { true } else { false } })
                for record in records {
                    #expect(try log.read(record.location).1 == payload(step: record.header.step, bytes: 60))
                }
                try log.add(step: 99)
                try log.sync()
                log.close()
            }
        }
    }

    @Test func aFailedFsyncPoisonsTheLog() throws {
        let files = FaultyFileSystem()
        let (log, _, _) = try SegmentLogOn.open(directory: "d", options: options(), files: files)
        let place = try log.add(step: 1)
        files.failSync = true
        let path = "d/" + Layout.fileName(1)
        #expect(throws: StorageError.inputOutput(path: path, call: "fdatasync", code: EIO)) { try log.sync() }
        let calls = files.changes
        for _ in 0..<2 {
            do {
                try log.sync()
                Issue.record("a poisoned log was synced")
            } catch StorageError.poisoned {}
        }
        #expect(throws: StorageError.self) { try log.add(step: 2) }
        #expect(throws: StorageError.self) { try log.read(place) }
        #expect(files.changes == calls)
    }

    /// What a log returns when it is opened counts as acknowledged, and so must outlive the power.
    @Test func whatIsFoundBesideDamageIsDurable() throws {
        let files = FaultyFileSystem()
        let (log, _, _) = try SegmentLogOn.open(directory: "d", options: options(1 << 20), files: files)
        let damaged = try log.add(step: 1, bytes: 600)
        try log.add(step: 2)
        try log.sync()
        try log.add(step: 3)
        files.endProcess()
        files.flip("d/" + Layout.fileName(1), at: Int(damaged.offset) + 8)
        let (again, found, findings) = try SegmentLogOn.open(
            directory: "d", options: options(1 << 20), files: files)
        #expect(findings.contains { $0.isDamage })
        #expect(found.map(\.header.step).contains(3))
        again.close()
        let after = files.afterCrash { _ in false }
        let (last, kept, _) = try SegmentLogOn.open(
            directory: "d", options: options(1 << 20), files: after)
        #expect(Set(kept.map(\.header.step)).isSuperset(of: found.map(\.header.step)))
        last.close()
    }

    @Test func aFullDiskLeavesTheLogUsable() throws {
        let files = FaultyFileSystem()
        let (log, _, _) = try SegmentLogOn.open(directory: "d", options: options(1 << 20), files: files)
        try log.add(step: 1)
        try log.sync()
        files.capacityBytes = Int(log.bytesOnDisk) + 400
        do {
            try log.add(step: 2, bytes: 1000)
            Issue.record("no space was found")
        } catch StorageError.noSpace {}
        // A tombstone still fits into what is left.
        try log.add(.drop, step: 3, bytes: 0)
        files.capacityBytes = .max
        try log.add(step: 4, bytes: 1000)
        try log.sync()
        log.close()
        let (again, records, findings) = try SegmentLogOn.open(
            directory: "d", options: options(1 << 20), files: files)
        #expect(records.map(\.header.step) == [1, 3, 4] && findings.isEmpty)
        again.close()
    }

    @Test func shortWritesAreCompleted() throws {
        let files = FaultyFileSystem()
        let (log, _, _) = try SegmentLogOn.open(directory: "d", options: options(), files: files)
        try log.add(step: 0)
        files.writeLimit = 13
        let place = try log.add(step: 1, bytes: 333)
        try log.sync()
        #expect(try log.read(place).1 == payload(step: 1, bytes: 333))
        #expect(try log.verifyAll().isEmpty)
    }
}
