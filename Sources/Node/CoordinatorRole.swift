import CoordinatorLogic
import Foundation
import Logging
import MachineCore
import NNG
import Storage
import Wire

/// The database of a coordinator.
private final class CoordinatorEngine: Engine {
    private let database: CoordinatorDatabase
    private let leader: String

    init(database: CoordinatorDatabase, leader: String) {
        self.database = database
        self.leader = leader
    }

    func perform(_ action: CoordinatorMachine.Action) -> CoordinatorMachine.Completion? {
        switch action {
        case .persist(let state, let commits, let deletes):
            do {
                let bytes: [UInt8] = try state.serializedBytes()
                let rows = try commits.map { manifest in
                    ManifestRow(
                        step: manifest.step, line: manifest.line, epoch: manifest.epoch,
                        manifest: try manifest.serializedBytes(), committed: true, pinned: manifest.pinned)
                }
                try database.commit(
                    leader: leader, puts: [("state", bytes)], manifests: rows, deleteManifests: deletes)
                return .persisted
            } catch StorageError.notLeader { return .notLeader } catch { return .persistFailed("\(error)") }
        case .record(let node, let kind, let sentence):
            let event = HistoryEvent(
                timeMilliseconds: Int64(Date().timeIntervalSince1970 * 1000), node: node, kind: kind,
                sentence: sentence)
            try? database.appendEvents([event])
            return nil
        }
    }
}

/// What a coordinator needs to begin.
public struct CoordinatorOptions: Sendable {
    public var run: String
    public var databasePath: String
    /// `tcp://host:port`; port 0 takes a free one.
    public var bind: String
    /// Where to record what this process does; nil: nowhere.
    public var historyDirectory: String?
    /// Told the address that was really bound, before anyone can join.
    public var onListening: @Sendable (String) -> Void

    public init(
        run: String, databasePath: String, bind: String, historyDirectory: String?,
        onListening: @escaping @Sendable (String) -> Void
    ) {
        self.historyDirectory = historyDirectory
        self.run = run
        self.databasePath = databasePath
        self.bind = bind
        self.onListening = onListening
    }
}

/// A run's checkpoints are of another number of shards than its configuration.
struct LayoutError: Error, CustomStringConvertible {
    var shards: Int
    var committed: Manifest

    var description: String {
        "the configuration has \(shards) shards, and step \(committed.step) was committed by \(committed.parts.count); put it back as it was"
    }
}

/// Coordinates a run until the process is stopped or replaced. Blocks.
///
/// - Parameter description: what every node that joins is told.
public func runCoordinator(
    _ options: CoordinatorOptions, plan: RunPlan, description: String, log: Logger, stop: StopSignal
) throws -> RoleEnd {
    let database = try CoordinatorDatabase.open(path: options.databasePath)
    let leader = "\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    try database.takeLeadership(leader: leader)
    let state = try database.load()["state"].map { try CoordinatorState(serializedBytes: $0) }
    let manifests = try database.manifests().filter(\.committed).map { row in
        var manifest = try Manifest(serializedBytes: row.manifest)
        manifest.pinned = row.pinned
        return manifest
    }
    if let last = manifests.max(by: { $0.step < $1.step }), last.parts.count != plan.settings.shards {
        throw LayoutError(shards: plan.settings.shards, committed: last)
    }
    var machine = CoordinatorMachine(
        run: options.run, settings: plan.settings, configuration: description, state: state,
        manifests: manifests,
        now: .now)
    let sink = SignalSink()
    let transport = Transport(identity: machine.identity, log: log) { sink.put($0) }
    let history = try options.historyDirectory.map {
        let process = ProcessFact(node: NodeID.coordinator.description, incarnation: machine.firstEpoch)
        return try HistoryWriter(directory: $0, process: process, log: log)
    }
    let runner = RoleRunner<CoordinatorMachine>(transport: transport, log: log, history: history)
    sink.forward(to: { runner.put($0) })
    let url = try listen(transport, options.bind)
    options.onListening(url)
    machine.selfMember.pid = UInt32(getpid())
    machine.selfMember.host = ProcessInfo.processInfo.hostName
    machine.selfMember.endpoint = url
    stop.onStop { runner.stop() }
    let holder = DatabaseHolder(database: database)
    return runner.run(machine) { CoordinatorEngine(database: holder.database, leader: leader) }
}

/// Listens; a free port is one below those that the system gives to outgoing connections: the coordinator that follows
/// this one must bind the same port, and would find it taken now and then.
private func listen(_ transport: Transport, _ bind: String) throws(NNGError) -> String {
    if bind.hasSuffix(":0") {
        for _ in 0..<32 {
            let url = bind.dropLast() + String(Int.random(in: 20_000..<32_768))
            if let bound = try? transport.listen(String(url)) { return bound }
        }
    }
    return try transport.listen(bind)
}

/// Hands the database to the engine's thread, which alone uses it from then on.
private final class DatabaseHolder: @unchecked Sendable {
    let database: CoordinatorDatabase
    init(database: CoordinatorDatabase) { self.database = database }
}
