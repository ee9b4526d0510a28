import Foundation
import LCCheckpoint
import Logging
import MachineCore
import Storage
import StoreLogic
import Wire

/// The disk of a store.
private final class StoreEngine: Engine {
    private let log: SegmentLog
    private var locations: [StoreMachine.Key: StoredRecord]
    private var newestPromise: RecordLocation?
    private let directoryInode: UInt64

    init(disk: StoreDisk) {
        log = disk.log
        locations = disk.locations
        newestPromise = disk.newestPromise
        directoryInode = StoreDisk.inode(of: disk.log.directory) ?? 0
    }

    func perform(_ action: StoreMachine.Action) -> StoreMachine.Completion? {
        switch action {
        case .write(let writes): return write(writes)
        case .read(let parts, let purpose): return read(parts, purpose)
        case .compact(let keep, let discardDamaged): return compact(keep, discardDamaged: discardDamaged)
        case .verify(let asked, let repair): return verify(asked: asked, repair: repair)
        }
    }

    private func write(_ writes: [StoreMachine.Write]) -> StoreMachine.Completion {
        // A folder that was deleted under a running process would take writes and syncs and keep nothing.
        guard StoreDisk.inode(of: log.directory) == directoryInode else {
            return .writeFailed(reason: "the directory \(log.directory) was removed or replaced", fatal: true)
        }
        do {
            var added: [(StoreMachine.Key, StoredRecord)] = []
            var promise: RecordLocation?
            for write in writes {
                switch write {
                case .promise(let epoch):
                    promise = try log.append(
                        RecordHeader(kind: .promise, shard: 0, step: 0, epoch: epoch),
                        payload: UnsafeRawBufferPointer(start: nil, count: 0))
                case .record(let part, let payload):
                    let digest = payload.withBytes { Digest.of($0) }
                    guard digest.description == part.payloadDigest else {
                        return .writeFailed(
                            reason: "a frame does not have the digest that it states", fatal: false)
                    }
                    let record = try append(StoreDisk.header(of: part), payload)
                    added.append((StoreMachine.Key(shard: part.shard, step: part.step), record))
                case .manifest(let manifest):
                    let bytes: [UInt8] = (try? manifest.serializedBytes()) ?? []
                    _ = try append(
                        RecordHeader(
                            kind: .manifest, shard: 0, step: manifest.step, epoch: manifest.epoch,
                            line: manifest.line,
                            payloadLength: UInt32(bytes.count)), Payload(bytes))
                case .drop(let key):
                    _ = try append(
                        RecordHeader(kind: .drop, shard: key.shard, step: key.step, epoch: 0), .empty)
                }
            }
            try log.sync()
            for (key, record) in added { locations[key] = record }
            if let promise { newestPromise = promise }
            return .written
        } catch let error as StorageError {
            switch error {
            case .noSpace: return .writeFailed(reason: "\(error)", fatal: false)
            case .inputOutput, .readOnly, .system, .poisoned, .damaged, .noRecord, .tooLarge, .wrongStore,
                .unsupportedVersion, .inUse, .closed, .notLeader, .database, .invalidArgument:
                return .writeFailed(reason: "\(error)", fatal: true)
            }
        } catch { return .writeFailed(reason: "\(error)", fatal: true) }
    }

    private func append(_ header: RecordHeader, _ payload: Payload) throws -> StoredRecord {
        try payload.withBytes { try log.appendRecord(header, payload: $0) }
    }

    private func read(_ parts: [Part], _ purpose: StoreMachine.ReadPurpose) -> StoreMachine.Completion {
        var frames: [[UInt8]] = []
        for part in parts {
            let key = StoreMachine.Key(shard: part.shard, step: part.step)
            func failed(_ why: String) -> StoreMachine.Completion {
                .readFailed(part, why: why, purpose)
            }
            guard let record = locations[key] else { return failed("is not on the disk") }
            do {
                let (_, payload) = try log.read(record.location)
                let digest = payload.withUnsafeBytes { Digest.of($0) }
                guard digest.description == part.payloadDigest else {
                    return failed("has a frame of another digest")
                }
                frames.append(payload)
            } catch { return failed("can't be read: \(error)") }
        }
        let total = frames.reduce(0) { $0 + $1.count }
        let payload = Payload(count: total) { raw in
            var offset = 0
            for frame in frames {
                raw[offset..<offset + frame.count].copyBytes(from: frame)
                offset += frame.count
            }
        }
        return .read(parts, payload, purpose)
    }

    /// Compaction reads whole segments, so it waits until enough of the disk is dead.
    private func compact(_ keep: Set<StoreMachine.Key>, discardDamaged: Bool) -> StoreMachine.Completion {
        locations = locations.filter { keep.contains($0.key) }
        let live = locations.values.reduce(UInt64(0)) { $0 + UInt64($1.header.payloadLength) + 256 }
        let used = log.bytesOnDisk
        guard discardDamaged || used > 2 * live + (32 << 20) else { return .compacted(freedBytes: 0) }
        let kept = Set(locations.values.map(\.location))
        let steps = Set(keep.map(\.step))
        do {
            // Only sealed segments can be given up, and the damage may be in the one that is written to.
            if discardDamaged { try log.rotate() }
            let result = try log.compact(
                discardDamaged: discardDamaged,
                keep: { record in
                    switch record.header.kind {
                    case .base, .delta: return kept.contains(record.location)
                    case .manifest, .pin, .unpin: return steps.contains(record.header.step)
                    case .promise: return record.location == self.newestPromise
                    case .drop: return false
                    }
                })
            for move in result.moved {
                switch move.to.header.kind {
                case .base, .delta:
                    let key = StoreMachine.Key(shard: move.to.header.shard, step: move.to.header.step)
                    if locations[key]?.location == move.from { locations[key] = move.to }
                case .promise: if newestPromise == move.from { newestPromise = move.to.location }
                case .manifest, .pin, .unpin, .drop: break
                }
            }
            return .compacted(freedBytes: UInt64(max(0, result.reclaimedBytes)))
        } catch { return .compactionFailed("\(error)") }
    }

    private func verify(asked: UInt64, repair: Bool) -> StoreMachine.Completion {
        do {
            let findings = try log.verifyAll()
            let damages = StoreDisk.damages(findings, locations: locations, directory: log.directory)
            return .verified(asked: asked, checked: locations.count, damages: damages, repair: repair)
        } catch {
            return .verified(
                asked: asked, checked: locations.count,
                damages: [StoreMachine.Damage(key: nil, what: "\(error)")], repair: false)
        }
    }
}

/// Keeps checkpoints until the process is stopped or replaced. Blocks.
public func runStore(_ place: Place, plan: RunPlan, directory: String, log: Logger, stop: StopSignal) throws
    -> RoleEnd
{
    let disk = try StoreDisk.open(
        directory: directory, readOnly: false,
        identity: StoreDisk.identity(run: place.identity.run, store: place.identity.node.index))
    for finding in disk.findings { log.warning("disk: \(finding.description)") }
    let machine = StoreMachine(
        membership: Membership(
            identity: place.identity, view: place.view, heartbeatInterval: plan.settings.heartbeat),
        settings: StoreMachine.Settings(
            stores: plan.settings.stores, replicas: plan.settings.replicas, retry: plan.settings.retry),
        found: disk.found)
    let holder = DiskHolder(disk: disk)
    return try place.run(machine, log: log, stop: stop) { StoreEngine(disk: holder.disk) }
}

/// Hands the opened log to the engine's thread, which alone uses it from then on.
private final class DiskHolder: @unchecked Sendable {
    let disk: StoreDisk
    init(disk: StoreDisk) { self.disk = disk }
}
