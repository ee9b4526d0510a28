import Foundation

@testable import Storage

/// A directory that goes away with the test.
final class Scratch {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "varve-storage-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }
}

func smallOptions(segmentBytes: UInt64 = 64 << 20) -> SegmentLogOptions {
    var options = SegmentLogOptions()
    options.fsync = .none
    options.preallocateBytes = 256
    options.headroomBytes = 512
    options.segmentBytes = segmentBytes
    options.storeID = 7
    return options
}

func header(_ kind: RecordHeader.Kind = .delta, step: UInt64, shard: UInt32 = 1, bytes: Int) -> RecordHeader {
    RecordHeader(
        kind: kind, shard: shard, step: step, epoch: 3, line: 2, baseStep: step &- 1,
        baseDigest: .init(high: 1, low: 2), stateDigest: .init(high: 3, low: step),
        payloadDigest: .init(high: 5, low: 6), rawBytes: 99, relativeError: 0.25, payloadLength: UInt32(bytes)
    )
}

func payload(step: UInt64, bytes: Int) -> [UInt8] {
    (0..<bytes).map { UInt8(truncatingIfNeeded: UInt64($0) &* 31 &+ step &* 7 &+ 1) }
}

extension SegmentLogOn {
    @discardableResult
    func add(_ kind: RecordHeader.Kind = .delta, step: UInt64, shard: UInt32 = 1, bytes: Int = 21) throws
        -> RecordLocation
    {
        let head = header(kind, step: step, shard: shard, bytes: bytes)
        return try payload(step: step, bytes: bytes).withUnsafeBytes { try append(head, payload: $0) }
    }
}
