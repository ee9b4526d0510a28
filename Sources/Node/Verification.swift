import Foundation
import LCCheckpoint
import MachineCore
import Storage
import StoreLogic
import Wire

/// Reads every copy of every committed checkpoint of a run that is down, and mends what is damaged or missing.
public struct Verification {
    public struct Item: Sendable {
        public var store: Int
        public var step: UInt64?
        public var shard: UInt32?
        public var what: String
    }

    public struct Report: Sendable {
        public var checked = 0
        public var corrupt: [Item] = []
        public var repaired = 0
    }

    private let run: String
    private let plan: RunPlan
    private let manifests: [Manifest]
    private let directories: [String]

    public init(run: String, plan: RunPlan, databasePath: String, storeDirectories: [String]) throws {
        self.run = run
        self.plan = plan
        directories = storeDirectories
        manifests = try ModelReader.manifests(databasePath: databasePath)
    }

    public func run(repair: Bool) throws -> Report {
        var report = Report()
        var disks: [Int: StoreDisk] = [:]
        defer { for disk in disks.values { disk.close() } }
        for (index, directory) in directories.enumerated() {
            if !repair && !FileManager.default.fileExists(atPath: directory) {
                report.corrupt.append(Item(store: index, what: "the directory is not there"))
                continue
            }
            do {
                disks[index] = try StoreDisk.open(
                    directory: directory, readOnly: !repair,
                    identity: StoreDisk.identity(run: run, store: index))
            } catch {
                report.corrupt.append(Item(store: index, what: "\(error)"))
            }
        }
        // What a store should hold: the chains of all committed steps, as any sound copy tells them.
        let wanted = wantedParts(disks)
        for (index, disk) in disks.sorted(by: { $0.key < $1.key }) {
            let damages = try disk.verify()
            let damagedKeys = Set(damages.compactMap(\.key))
            for damage in damages {
                report.corrupt.append(
                    Item(store: index, step: damage.key?.step, shard: damage.key?.shard, what: damage.what))
            }
            var broken: [Part] = []
            for (key, part) in wanted.sorted(by: { $0.key < $1.key }) where holds(index, part.shard) {
                report.checked += 1
                if damagedKeys.contains(key) {
                    broken.append(part)
                } else if (try? disk.frame(of: part)).map({ digest($0) == part.payloadDigest }) != true {
                    broken.append(part)
                    report.corrupt.append(
                        Item(
                            store: index, step: part.step, shard: part.shard,
                            what: "step \(part.step) of shard-\(part.shard) is missing"))
                }
            }
            if repair {
                disks[index]?.forget(damagedKeys.filter { wanted[$0] == nil })
                try mend(index, broken, damages: damages, &disks, &report)
            }
        }
        return report
    }

    private func digest(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { Digest.of($0).description } }

    private func holds(_ store: Int, _ shard: UInt32) -> Bool {
        Placement.stores(ofShard: Int(shard), stores: plan.settings.stores, replicas: plan.settings.replicas)
            .contains(.store(store))
    }

    private func wantedParts(_ disks: [Int: StoreDisk]) -> [StoreMachine.Key: Part] {
        var wanted: [StoreMachine.Key: Part] = [:]
        for manifest in manifests {
            for part in manifest.parts {
                let key = StoreMachine.Key(shard: part.shard, step: part.step)
                wanted[key] = part
                for disk in disks.values {
                    guard let chain = try? ModelReader.chain(to: part, in: disk.found.parts) else { continue }
                    for link in chain { wanted[StoreMachine.Key(shard: link.shard, step: link.step)] = link }
                    break
                }
            }
        }
        return wanted
    }

    private func mend(
        _ index: Int, _ broken: [Part], damages: [StoreMachine.Damage], _ disks: inout [Int: StoreDisk],
        _ report: inout Report
    ) throws {
        var mended: Set<StoreMachine.Key> = []
        for part in broken {
            for (other, source) in disks where other != index {
                guard let frame = try? source.frame(of: part), digest(frame) == part.payloadDigest else {
                    continue
                }
                try disks[index]?.append(part, frame: frame)
                mended.insert(StoreMachine.Key(shard: part.shard, step: part.step))
                break
            }
        }
        guard mended.count == broken.count else {
            report.repaired += mended.count
            return
        }
        try disks[index]?.syncAndDiscardDamage()
        // With every wanted record sound, what is left of the damage is of no use to anyone.
        report.repaired += report.corrupt.filter { $0.store == index }.count
    }
}
