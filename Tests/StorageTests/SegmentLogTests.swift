import Foundation
import Testing

@testable import Storage

struct SegmentLogTests {
    @Test func recordsComeBackInOrderAcrossSegmentsAndReopening() throws {
        let scratch = try Scratch()
        var (log, records, findings) = try SegmentLog.open(
            directory: scratch.file("log"), options: smallOptions(segmentBytes: 5000))
        #expect(records.isEmpty && findings.isEmpty)
        for step in 1...40 { try log.add(step: UInt64(step), bytes: step * 3) }
        try log.sync()
        #expect(log.segmentCount > 3)
        log.close()
        #expect(throws: StorageError.closed(path: scratch.file("log"))) { try log.sync() }
        (log, records, findings) = try SegmentLog.open(
            directory: scratch.file("log"), options: smallOptions())
        #expect(findings.isEmpty)
        #expect(records.map(\.header.step) == Array(1...40))
        for record in records {
            let (head, bytes) = try log.read(record.location)
            #expect(head == record.header)
            #expect(bytes == payload(step: head.step, bytes: Int(head.step) * 3))
        }
        #expect(try log.verifyAll().isEmpty)
    }

    /// Three synced records and one that was not, as bytes of a file.
    private func sample(_ scratch: Scratch) throws -> (
        bytes: [UInt8], name: String, records: [StoredRecord], synced: Int, end: Int
    ) {
        let (log, _, _) = try SegmentLog.open(directory: scratch.file("sample"), options: smallOptions())
        for step in 1...3 { try log.add(step: UInt64(step)) }
        try log.sync()
        let synced = Int(log.bytesOnDisk)
        try log.add(step: 4)
        let end = Int(log.bytesOnDisk)
        let name = Layout.fileName(log.activeSegment)
        log.close()
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: scratch.file("sample/" + name))))
        let (again, records, _) = try SegmentLog.open(
            directory: scratch.file("sample"), options: smallOptions())
        again.close()
        return (bytes, name, records, synced, end)
    }

    @Test func aFileCutAtAnyByteLosesOnlyWhatIsCut() throws {
        let scratch = try Scratch()
        let sample = try sample(scratch)
        for length in 0..<sample.bytes.count where length > 4000 || length % 64 == 0 || length < 80 {
            let directory = scratch.file("cut")
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: directory) }
            try Data(sample.bytes[..<length]).write(to: URL(fileURLWithPath: directory + "/" + sample.name))
            let (log, records, findings) = try SegmentLog.open(directory: directory, options: smallOptions())
            let whole = sample.records.filter {
                Int($0.location.offset) + Layout.frameBytes + Int($0.header.payloadLength) <= length
            }
            #expect(records == whole, "cut at \(length)")
            // The padding of the last synced record holds nothing.
            let damaged = length < sample.synced - 7
            #expect(findings.contains { $0.isDamage } || !damaged, "cut at \(length)")
            if damaged, length > 1056 {
                #expect(!findings.contains { if case .tornTail = $0 { true } else { false } })
            }
            for record in records { _ = try log.read(record.location) }
            let added = try log.add(step: 9)
            try log.sync()
            log.close()
            let (again, after, _) = try SegmentLog.open(directory: directory, options: smallOptions())
            #expect(after.map(\.location) == whole.map(\.location) + [added], "cut at \(length)")
            again.close()
        }
    }

    @Test func anyFlippedBitIsFoundAndNothingSyncedIsCutOff() throws {
        let scratch = try Scratch()
        let sample = try sample(scratch)
        let directory = scratch.file("flip")
        for place in Int(Layout.recordsStart)..<sample.end {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: directory) }
            var bytes = sample.bytes
            bytes[place] ^= UInt8(1 << (place % 8))
            try Data(bytes).write(to: URL(fileURLWithPath: directory + "/" + sample.name))
            let (log, records, findings) = try SegmentLog.open(directory: directory, options: smallOptions())
            let hit = sample.records.first {
                let start = Int($0.location.offset)
                return place >= start && place < start + Layout.frameBytes + Int($0.header.payloadLength)
            }
            let verified = try log.verifyAll()
            for record in sample.records where record != hit {
                #expect(records.contains(record), "flip at \(place)")
                #expect(try log.read(record.location).1 == payload(step: record.header.step, bytes: 21))
            }
            if let hit {
                #expect(!(findings + verified).isEmpty, "flip at \(place)")
                #expect(throws: StorageError.self) { try log.read(hit.location) }
                if place < sample.synced {
                    #expect(!findings.contains { if case .tornTail = $0 { true } else { false } })
                    #expect(verified.contains { $0.isDamage }, "flip at \(place)")
                }
            }
            log.close()
        }
    }

    @Test func damageInTheLastSyncedRecordIsKeptInPlaceAndAppendsGoElsewhere() throws {
        let scratch = try Scratch()
        let sample = try sample(scratch)
        let directory = scratch.file("last")
        let last = sample.records[2].location
        let dataEnd = Int(last.offset) + Layout.frameBytes + 21
        for place in Int(last.offset)..<dataEnd {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: directory) }
            // Nothing sound follows: only the watermark tells that the record was acknowledged.
            var bytes = Array(sample.bytes[..<sample.synced]) + [UInt8](repeating: 0, count: 400)
            bytes[place] ^= UInt8(1 << (place % 8))
            let url = URL(fileURLWithPath: directory + "/" + sample.name)
            try Data(bytes).write(to: url)
            let (log, _, findings) = try SegmentLog.open(directory: directory, options: smallOptions())
            #expect(!findings.contains { if case .tornTail = $0 { true } else { false } }, "flip at \(place)")
            let added = try log.add(step: 9)
            try log.sync()
            if place < Int(last.offset) + Layout.frameBytes {
                #expect(findings.contains { $0.isDamage }, "flip at \(place)")
                #expect(added.segment > last.segment, "flip at \(place)")
                #expect([UInt8](try Data(contentsOf: url)) == bytes, "flip at \(place)")
            }
            #expect(try log.verifyAll().contains { $0.isDamage }, "flip at \(place)")
            #expect(throws: StorageError.self) { try log.read(last) }
            log.close()
            let (again, records, _) = try SegmentLog.open(directory: directory, options: smallOptions())
            #expect(records.map(\.header.step).filter { $0 != 3 } == [1, 2, 9], "flip at \(place)")
            again.close()
        }
    }

    @Test func aSecondOpenerIsRefused() throws {
        let scratch = try Scratch()
        let (log, _, _) = try SegmentLog.open(directory: scratch.file("log"), options: smallOptions())
        #expect(throws: StorageError.inUse(path: scratch.file("log/lock"))) {
            try SegmentLog.open(directory: scratch.file("log"), options: smallOptions())
        }
        log.close()
    }

    @Test func aMissingSegmentAndAMisdirectedWriteAreNamed() throws {
        let scratch = try Scratch()
        let directory = scratch.file("log")
        let (log, _, _) = try SegmentLog.open(directory: directory, options: smallOptions())
        let first = try log.add(step: 1)
        let second = try log.add(step: 2)
        try log.rotate()
        try log.add(step: 3)
        try log.rotate()
        try log.add(step: 4)
        try log.sync()
        log.close()
        try FileManager.default.removeItem(atPath: directory + "/" + Layout.fileName(2))
        let url = URL(fileURLWithPath: directory + "/" + Layout.fileName(1))
        var bytes = [UInt8](try Data(contentsOf: url))
        let length = Int(second.offset - first.offset)
        let stray = bytes[Int(first.offset)..<Int(first.offset) + length]
        bytes.replaceSubrange(Int(second.offset)..<Int(second.offset) + length, with: stray)
        try Data(bytes).write(to: url)
        let (again, records, findings) = try SegmentLog.open(directory: directory, options: smallOptions())
        #expect(records.map(\.header.step) == [1, 4])
        #expect(findings.contains(.missingSegment(segment: 2)))
        #expect(
            findings.contains(.misdirected(location: second, claims: first, header: records[0].header)))
        again.close()
    }

    @Test func compactionKeepsTheLivingInTheirOrder() throws {
        let scratch = try Scratch()
        let directory = scratch.file("log")
        let (log, _, _) = try SegmentLog.open(directory: directory, options: smallOptions(segmentBytes: 6000))
        for step in 1...60 { try log.add(step: UInt64(step), bytes: 100) }
        try log.sync()
        let before = log.bytesOnDisk
        let result = try log.compact { $0.header.step % 10 == 0 || $0.header.step > 55 }
        #expect(result.reclaimedBytes > 0 && log.bytesOnDisk < before)
        log.close()
        let (again, records, findings) = try SegmentLog.open(directory: directory, options: smallOptions())
        #expect(findings.isEmpty)
        #expect(records.map(\.order) == records.map(\.order).sorted())
        #expect(Set(records.map(\.header.step)).isSuperset(of: [10, 20, 30, 40, 50, 56, 57, 58, 59, 60]))
        #expect(!records.contains { $0.header.step == 1 })
        for record in records { _ = try again.read(record.location) }
        again.close()
    }
}
