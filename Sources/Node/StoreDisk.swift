import Foundation
import LCCheckpoint
import Storage
import StoreLogic
import Wire

/// A store's directory as it was found: the log, and what stands in it in the terms of the store's decisions.
///
/// Tools read the directories of a run with this too, whether its processes live or not.
public struct StoreDisk {
    let log: SegmentLog
    var locations: [StoreMachine.Key: StoredRecord] = [:]
    var newestPromise: RecordLocation?
    public var found = StoreMachine.Found()
    public var findings: [Finding] = []

    /// By which a directory knows whose it is: another store's, or another run's, is refused.
    static func identity(run: String, store: Int) -> UInt64 {
        Array("\(run)/\(NodeID.store(store))".utf8).withUnsafeBytes { Digest.of($0).low } | 1
    }

    /// - Parameter identity: whose directory it must be; nil: whoever's it is.
    public static func open(directory: String, readOnly: Bool, identity: UInt64? = nil)
        throws(StorageError) -> StoreDisk
    {
        var options = SegmentLogOptions()
        options.storeID = identity
        options.segmentBytes = 16 << 20
        options.readOnly = readOnly
        let (log, records, findings) = try SegmentLog.open(directory: directory, options: options)
        var disk = StoreDisk(log: log, findings: findings)
        var parts: [StoreMachine.Key: Part] = [:]
        for record in records.sorted(by: { $0.order < $1.order }) {
            let header = record.header
            let key = StoreMachine.Key(shard: header.shard, step: header.step)
            switch header.kind {
            case .base, .delta:
                parts[key] = part(of: header)
                disk.locations[key] = record
            case .manifest:
                if let (_, bytes) = try? log.read(record.location),
                    let manifest = try? Manifest(serializedBytes: bytes)
                {
                    disk.found.manifests.append(manifest)
                }
            case .promise:
                disk.found.promisedEpoch = max(disk.found.promisedEpoch, header.epoch)
                disk.newestPromise = record.location
            case .drop:
                parts[key] = nil
                disk.locations[key] = nil
            case .pin, .unpin: break
            }
        }
        disk.found.damages = damages(findings, locations: disk.locations, directory: directory)
        for finding in findings {
            // A damaged payload keeps its header: so it is known what has to be fetched.
            guard case .damagedPayload(let location, let header) = finding,
                header.kind == .base || header.kind == .delta
            else { continue }
            let key = StoreMachine.Key(shard: header.shard, step: header.step)
            if let current = disk.locations[key], current.location > location { continue }
            parts[key] = part(of: header)
        }
        disk.found.parts = parts.values.sorted { ($0.shard, $0.step) < ($1.shard, $1.step) }
        return disk
    }

    /// The frame of a record, checked against its digest.
    public func frame(of part: Part) throws -> [UInt8] {
        guard let record = locations[StoreMachine.Key(shard: part.shard, step: part.step)] else {
            throw StorageError.noRecord(
                path: log.directory, location: RecordLocation(segment: 0, offset: 0))
        }
        return try log.read(record.location).1
    }

    /// Everything that is not as it was written.
    public func verify() throws -> [StoreMachine.Damage] {
        Self.damages(try log.verifyAll(), locations: locations, directory: log.directory)
    }

    /// A damaged record that no committed step needs any more is not worth keeping.
    mutating func forget(_ keys: Set<StoreMachine.Key>) { for key in keys { locations[key] = nil } }

    mutating func append(_ part: Part, frame: [UInt8]) throws {
        let record = try frame.withUnsafeBytes { try log.appendRecord(Self.header(of: part), payload: $0) }
        locations[StoreMachine.Key(shard: part.shard, step: part.step)] = record
    }

    /// Makes what was appended durable, then gives up the places that hold damage.
    func syncAndDiscardDamage() throws {
        try log.sync()
        // Only sealed segments can be given up, and the damage may be in the one that is written to.
        try log.rotate()
        let kept = Set(locations.values.map(\.location))
        _ = try log.compact(discardDamaged: true) { record in
            switch record.header.kind {
            case .base, .delta: kept.contains(record.location)
            case .manifest, .promise, .pin, .unpin, .drop: true
            }
        }
    }

    public func close() { log.close() }

    static func damages(
        _ findings: [Finding], locations: [StoreMachine.Key: StoredRecord], directory: String
    ) -> [StoreMachine.Damage] {
        findings.filter(\.isDamage).flatMap { finding -> [StoreMachine.Damage] in
            func damage(_ key: StoreMachine.Key?) -> StoreMachine.Damage {
                StoreMachine.Damage(key: key, what: finding.description)
            }
            func within(_ segment: UInt64, _ offsets: Range<UInt64>) -> [StoreMachine.Damage] {
                let keys = locations.filter {
                    $0.value.location.segment == segment && offsets.contains($0.value.location.offset)
                }.keys.sorted()
                return keys.isEmpty ? [damage(nil)] : keys.map(damage)
            }
            switch finding {
            case .misdirected(let location, claims: _, _):
                // What matters is whose place was overwritten, not whose record lies there now; nobody's harms nobody.
                let place = location.offset..<location.offset + 1
                return within(location.segment, place).filter { $0.key != nil }
            case .damagedPayload(let location, let header):
                let key = StoreMachine.Key(shard: header.shard, step: header.step)
                guard header.kind == .base || header.kind == .delta else { return [damage(nil)] }
                // An older record of the step was replaced by a good one: that harms nobody.
                if let current = locations[key], current.location > location { return [] }
                return [damage(key)]
            case .damagedHeader(let location, let length, acknowledged: _):
                return within(location.segment, location.offset..<location.offset + max(length, 1))
            case .missingSegment(let segment): return within(segment, 0..<UInt64.max)
            case .missingBytes(let segment, let from, let to):
                return within(segment, from..<max(to, from + 1))
            case .tornTail, .damagedSegmentHeader, .leftover, .damagedIndex: return [damage(nil)]
            }
        }
    }

    static func inode(of path: String) -> UInt64? {
        var information = stat()
        guard stat(path, &information) == 0, information.st_nlink > 0 else { return nil }
        return UInt64(information.st_ino)
    }

    static func header(of part: Part) -> RecordHeader {
        RecordHeader(
            kind: part.kind == .base ? .base : .delta, shard: part.shard, step: part.step, epoch: part.epoch,
            line: part.line, baseStep: part.baseStep, baseDigest: digest(part.baseDigest),
            stateDigest: digest(part.stateDigest), payloadDigest: digest(part.payloadDigest),
            rawBytes: part.rawBytes,
            relativeError: part.relativeError, payloadLength: UInt32(part.encodedBytes))
    }

    static func part(of header: RecordHeader) -> Part {
        var part = Part()
        part.shard = header.shard
        part.step = header.step
        part.epoch = header.epoch
        part.line = header.line
        part.kind = header.kind == .base ? .base : .delta
        part.baseStep = header.baseStep
        part.baseDigest = header.kind == .base ? "" : header.baseDigest.description
        part.stateDigest = header.stateDigest.description
        part.payloadDigest = header.payloadDigest.description
        part.rawBytes = header.rawBytes
        part.encodedBytes = UInt64(header.payloadLength)
        part.relativeError = header.relativeError
        return part
    }

    private static func digest(_ hex: String) -> Digest128 {
        Digest(hex: hex).map { Digest128(high: $0.high, low: $0.low) } ?? .zero
    }
}
