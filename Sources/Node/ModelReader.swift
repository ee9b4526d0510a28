import Foundation
import LCCheckpoint
import MachineCore
import ParameterState
import Storage
import StoreLogic
import Training
import Wire

/// A model as a checkpoint holds it: flat parameters and optimizer slots, proved against the manifest.
public struct RestoredModel: Sendable {
    public var step: UInt64
    public var parameters: [Float]
    /// By the optimizer's slot names.
    public var slots: [String: [Float]]
    /// Of the flat parameters, whatever the number of shards.
    public var digest: String
}

/// Why no model could be restored from a run directory.
public struct RestoreError: Error, CustomStringConvertible {
    public let description: String
}

/// Reads committed checkpoints from the directories of a run on this box, whether its processes live or not.
public struct ModelReader {
    private let plan: RunPlan
    private let manifests: [Manifest]
    private let storeDirectories: [Int: String]

    /// - Parameter storeDirectories: by the stores' indices; those that are missing or unreadable are passed over.
    public init(plan: RunPlan, databasePath: String, storeDirectories: [Int: String]) throws {
        self.plan = plan
        self.storeDirectories = storeDirectories
        manifests = try Self.manifests(databasePath: databasePath)
    }

    public static func manifests(databasePath: String) throws -> [Manifest] {
        guard FileManager.default.fileExists(atPath: databasePath) else { return [] }
        let database = try CoordinatorDatabase.open(path: databasePath)
        defer { database.close() }
        return try database.manifests().filter(\.committed).map { row in
            var manifest = try Manifest(serializedBytes: row.manifest)
            manifest.pinned = row.pinned
            return manifest
        }.sorted { $0.step < $1.step }
    }

    public var committedSteps: [UInt64] { manifests.map(\.step) }

    /// Restores a committed step, from whichever stores hold it; the latest by default.
    public func restore(step: UInt64?) throws -> RestoredModel {
        guard let latest = manifests.last else {
            throw RestoreError(description: "no checkpoint is committed yet")
        }
        let wanted = step ?? latest.step
        guard let manifest = manifests.first(where: { $0.step == wanted }) else {
            throw RestoreError(
                description:
                    "step \(wanted) is not a committed step that is still held; 'varve checkpoints list' shows them"
            )
        }
        var disks: [Int: StoreDisk] = [:]
        var problems: [String] = []
        for (index, directory) in storeDirectories.sorted(by: { $0.key < $1.key }) {
            guard FileManager.default.fileExists(atPath: directory) else {
                problems.append("store-\(index) is not there")
                continue
            }
            do { disks[index] = try StoreDisk.open(directory: directory, readOnly: true) } catch {
                problems.append("store-\(index): \(error)")
            }
        }
        defer { for disk in disks.values { disk.close() } }
        var parameters = [Float](repeating: 0, count: plan.elements)
        var slots = Dictionary(
            uniqueKeysWithValues: plan.optimizer.slotNames.map {
                ($0, [Float](repeating: 0, count: plan.elements))
            })
        for part in manifest.parts {
            let state = plan.makeShardState(Int(part.shard))
            try restore(part, into: state, disks: disks, problems: problems)
            state.withReconstruction { sections in
                parameters.replaceSubrange(state.range, with: sections[0])
                for (name, section) in zip(plan.optimizer.slotNames, sections.dropFirst()) {
                    slots[name]?.replaceSubrange(state.range, with: section)
                }
            }
        }
        let digest = parameters.withUnsafeBytes { Digest.of($0) }
        return RestoredModel(step: wanted, parameters: parameters, slots: slots, digest: digest.description)
    }

    private func restore(
        _ part: Part, into state: ShardState, disks: [Int: StoreDisk], problems: [String]
    ) throws {
        var problems = problems
        for (index, disk) in disks.sorted(by: { $0.key < $1.key }) {
            do {
                let chain = try Self.chain(to: part, in: disk.found.parts)
                for (position, link) in chain.enumerated() {
                    let frame = try disk.frame(of: link)
                    try frame.withUnsafeBytes { try state.restoreFrame($0, isFirst: position == 0) }
                }
                guard state.reconstructionDigest?.description == part.stateDigest else {
                    throw RestoreError(description: "the chain leads to another digest than the manifest's")
                }
                return
            } catch { problems.append("store-\(index): \(error)") }
        }
        throw RestoreError(
            description:
                "no store gives step \(part.step) of shard-\(part.shard): \(problems.joined(separator: "; "))"
        )
    }

    /// From the last base to the part, each link naming the digest that it builds on.
    static func chain(to part: Part, in parts: [Part]) throws -> [Part] {
        var byStep: [UInt64: Part] = [:]
        for candidate in parts where candidate.shard == part.shard { byStep[candidate.step] = candidate }
        var reversed: [Part] = []
        var wanted = (step: part.step, digest: part.stateDigest)
        while true {
            guard let link = byStep[wanted.step], link.stateDigest == wanted.digest else {
                throw RestoreError(description: "step \(wanted.step) is missing")
            }
            reversed.append(link)
            guard link.kind == .delta else { return reversed.reversed() }
            guard link.baseStep < link.step else {
                throw RestoreError(description: "step \(link.step) has no base")
            }
            wanted = (link.baseStep, link.baseDigest)
        }
    }
}

extension Manifest {
    /// As `varve checkpoints list --json` shows it.
    public var summaryJSON: String {
        let kind = parts.allSatisfy { $0.kind == .base } ? "base" : "delta"
        return JSONText.object([
            ("step", "\(step)"), ("kind", JSONText.quoted(kind)),
            ("raw_bytes", "\(parts.reduce(0) { $0 + $1.rawBytes })"),
            ("encoded_bytes", "\(parts.reduce(0) { $0 + $1.encodedBytes })"),
            ("digest", JSONText.quoted(modelDigest)), ("replicas", "\(parts.map(\.stores.count).min() ?? 0)"),
            ("pinned", pinned ? "true" : "false"),
        ])
    }
}
