import Cluster
import Foundation
import Node
import Synchronization
import Training

/// One life of `varve up`: starts the processes, follows the coordinator's notices, ends when training has ended.
final class UpSession: Sendable {
    struct State {
        var lastStep: UInt64 = 0
        var committedStep: Int64 = -1
        var ratio = 0.0
        var finalLoss = Double.nan
        var finished: [String: Double]?
        var stopRequests = 0
        var fatal: String?
        /// Deaths from now on are wanted.
        var ending = false
        var coordinatorDeath: (at: ContinuousClock.Instant, cause: String)?
        var output: RunOutput
    }

    let directory: RunDirectory
    let lock: RunLock
    let configuration: ClusterConfiguration
    let plan: RunPlan
    let heldOut: Dataset
    let endpoints: NodeEndpoints
    let isNew: Bool
    let recordsHistory: Bool
    let state: Mutex<State>
    let wake = DispatchSemaphore(value: 0)
    let clientBox = Mutex<ToolClient?>(nil)
    let supervisorBox = Mutex<Supervisor?>(nil)

    init(
        directory: RunDirectory, lock: RunLock, configuration: ClusterConfiguration, plan: RunPlan,
        heldOut: Dataset, endpoints: NodeEndpoints, isNew: Bool, recordsHistory: Bool, json: Bool
    ) {
        self.recordsHistory = recordsHistory
        self.directory = directory
        self.lock = lock
        self.configuration = configuration
        self.plan = plan
        self.heldOut = heldOut
        self.endpoints = endpoints
        self.isNew = isNew
        state = Mutex(State(output: RunOutput(json: json, target: plan.settings.steps)))
    }

    /// Runs to the end. Returns the exit code, and the sentence that explains it when it is not 0.
    func run() -> (Int32, String?) {
        let began = ContinuousClock.now
        unlink(directory.endpointPath)
        setenv("OPENBLAS_NUM_THREADS", "1", 1)
        let supervisor = Supervisor { [weak self] in self?.took($0) }
        supervisorBox.withLock { $0 = supervisor }
        let stop = StopSignal()
        stop.onStop { [weak self] in self?.askToStop() }
        let outcome = startAndFollow(supervisor)
        state.withLock { $0.ending = true }
        let order = nodes(of: .worker) + nodes(of: .shard) + nodes(of: .store) + ["coordinator"]
        supervisor.stopAll(order: order, grace: 2)
        clientBox.withLock { $0 }?.close()
        unlink(directory.endpointPath)
        if let outcome {
            state.withLock { $0.output.close() }
            // A run that never began leaves nothing behind.
            if isNew && clientBox.withLock({ $0 }) == nil {
                try? FileManager.default.removeItem(atPath: directory.path)
            }
            return (CommandFailure.failed, outcome)
        }
        return summarize(since: began)
    }

    private enum Kind: String { case worker, shard, store }

    private func nodes(of kind: Kind) -> [String] {
        let count =
            switch kind {
            case .worker: plan.settings.workers
            case .shard: plan.settings.shards
            case .store: plan.settings.stores
            }
        return (0..<count).map { "\(kind.rawValue)-\($0)" }
    }

    private func program(_ node: String, _ arguments: [String]) -> Supervisor.Program {
        Supervisor.Program(
            node: node, executable: programPath(),
            arguments: arguments + (recordsHistory ? ["--history", directory.historyPath] : []),
            log: directory.logPath(node: node))
    }

    private func arguments(of node: String, _ kind: Kind, _ index: Int) -> [String] {
        var arguments = [kind.rawValue]
        if let coordinator = endpoints.nodes["coordinator"] {
            arguments += ["--join", "tcp://\(coordinator.advertise)"]
            if kind == .store { arguments += ["--directory", directory.storePath(index: index)] }
        } else {
            arguments += ["--run-dir", directory.path]
        }
        arguments += ["--index", "\(index)"]
        if let fixed = endpoints.nodes[node] {
            arguments += ["--bind", fixed.bind, "--advertise", fixed.advertise]
        } else if kind != .worker {
            arguments += ["--bind", "tcp://\(configuration.network.bind):0"]
        }
        return arguments
    }

    /// Nil when training has ended as it should; else why not.
    private func startAndFollow(_ supervisor: Supervisor) -> String? {
        var coordinator = ["coordinator", "--run-dir", directory.path]
        if let fixed = endpoints.nodes["coordinator"] { coordinator += ["--bind", fixed.bind] }
        supervisor.start(program("coordinator", coordinator))
        guard let endpoint = waitForEndpoint() else {
            return state.withLock { $0.fatal }
                ?? "the coordinator did not start within 20 s: see \(directory.logPath(node: "coordinator"))"
        }
        let client = ToolClient(coordinator: endpoint, log: quietLog())
        clientBox.withLock { $0 = client }
        client.follow { [weak self] in self?.noticed($0) }
        for kind in [Kind.store, .shard, .worker] {
            for (index, node) in nodes(of: kind).enumerated() {
                let arguments = arguments(of: node, kind, index)
                supervisor.start(program(node, arguments))
            }
        }
        state.withLock {
            $0.output.started(
                runDirectory: directory.path,
                nodes: plan.settings.shards + plan.settings.workers + plan.settings.stores + 1)
        }
        Detach.reportReady("running in \(directory.path)")
        while true {
            _ = wake.wait(timeout: .now() + 0.2)
            let (finished, fatal, stops) = state.withLock { ($0.finished != nil, $0.fatal, $0.stopRequests) }
            if finished { return nil }
            if let fatal { return fatal }
            if stops >= 2 {
                return "stopped at once; 'varve up --resume --run-dir \(directory.path)' goes on"
            }
        }
    }

    private func waitForEndpoint() -> String? {
        let deadline = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < deadline {
            if let text = try? String(contentsOfFile: directory.endpointPath, encoding: .utf8), !text.isEmpty
            {
                return text
            }
            if state.withLock({ $0.fatal != nil || $0.stopRequests > 0 }) { return nil }
            _ = wake.wait(timeout: .now() + 0.01)
        }
        return nil
    }

    // MARK: What happens

    private func took(_ event: SupervisorEvent) {
        guard !state.withLock({ $0.ending }) else { return }
        switch event {
        case .started(let node, _, let instance):
            if node == "coordinator" && instance > 1 { welcomeCoordinator() }
        case .exited(let node, let pid, let cause, let seen):
            if node == "coordinator" && clientBox.withLock({ $0 }) == nil {
                // It ended before it could be reached: starting it again would end the same way.
                let reason = lastLine(of: directory.logPath(node: node))
                state.withLock {
                    $0.fatal = reason.hasPrefix("varve: ") ? String(reason.dropFirst(7)) : reason
                }
                wake.signal()
                return
            }
            if node == "coordinator" {
                // Its successor is told of this when it answers.
                state.withLock { if $0.coordinatorDeath == nil { $0.coordinatorDeath = (seen, cause) } }
                return
            }
            clientBox.withLock { $0 }?.tellExit(
                of: node, pid: UInt32(max(pid, 0)), cause: cause,
                ageMilliseconds: (ContinuousClock.now - seen) / .milliseconds(1))
        case .startFailed(_, let cause):
            state.withLock { $0.fatal = cause }
            wake.signal()
        case .givingUp(let node):
            let log = directory.logPath(node: node)
            let reason = lastLine(of: log)
            state.withLock { $0.fatal = "\(node) died again and again: \(reason) (see \(log))" }
            wake.signal()
        }
    }

    /// A coordinator that was started anew is told of its predecessor's death once it answers.
    private func welcomeCoordinator() {
        guard let client = clientBox.withLock({ $0 }) else { return }
        let thread = Thread { [weak self] in
            guard (try? client.ask("status", timeoutSeconds: 30)) != nil, let self else { return }
            let (died, isStopping) = state.withLock { state in
                defer { state.coordinatorDeath = nil }
                return (state.coordinatorDeath, state.stopRequests > 0)
            }
            // The order was its predecessor's: a coordinator that starts means to train to the end.
            if isStopping { _ = try? client.ask("stop", timeoutSeconds: 10) }
            guard let (died, cause) = died else { return }
            let age = (ContinuousClock.now - died) / .milliseconds(1)
            client.tellExit(of: "coordinator", pid: 0, cause: cause, ageMilliseconds: age)
        }
        thread.start()
    }

    private func askToStop() {
        state.withLock { $0.stopRequests += 1 }
        wake.signal()
        guard let client = clientBox.withLock({ $0 }) else { return }
        Thread { _ = try? client.ask("stop", timeoutSeconds: 10) }.start()
    }

    private func noticed(_ json: String) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any],
            let event = object["event"] as? String
        else { return }
        let numbers = object.compactMapValues { ($0 as? NSNumber)?.doubleValue }
        state.withLock { state in
            switch event {
            case "step":
                state.lastStep = UInt64(numbers["step"] ?? 0)
                state.finalLoss = numbers["loss"] ?? .nan
            case "checkpoint":
                state.committedStep = Int64(numbers["step"] ?? -1)
                state.ratio = numbers["ratio"] ?? 0
            case "finished": state.finished = numbers
            default: break
            }
            if event != "finished" {
                state.output.event(
                    event, json: json, numbers: numbers, object: object.compactMapValues { $0 as? String })
            }
        }
        // A node that is alive and silent is paused or hung: it is replaced like a dead one.
        if event == "fault", let node = object["node"] as? String, let cause = object["cause"] as? String,
            cause.contains("lease has ended")
        {
            supervisorBox.withLock { $0 }?.signal(node, SIGKILL)
        }
        if event == "finished" { wake.signal() }
    }

    private func lastLine(of path: String) -> String {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return "it left no word" }
        return text.split(separator: "\n").last.map(String.init) ?? "it left no word"
    }

    // MARK: The end

    private func summarize(since began: ContinuousClock.Instant) -> (Int32, String?) {
        let finished = state.withLock { $0.finished } ?? [:]
        do {
            let reader = try ModelReader(
                plan: plan, databasePath: directory.databasePath,
                storeDirectories: Dictionary(
                    uniqueKeysWithValues: (0..<plan.settings.stores).map {
                        ($0, directory.storePath(index: $0))
                    }))
            let model = try reader.restore(step: nil)
            let evaluation = model.parameters.withUnsafeBufferPointer {
                Model(plan.shape).evaluate(parameters: $0, dataset: heldOut)
            }
            let wall = ContinuousClock.now - began
            let seconds = Double(wall.components.seconds) + Double(wall.components.attoseconds) / 1e18
            var fields: [(String, String)] = [
                ("event", "\"summary\""), ("steps", "\(model.step)"),
                ("final_loss", number(finished["final_loss"])),
            ]
            switch evaluation.quality {
            case .accuracy(let value): fields.append(("accuracy", number(Double(value))))
            case .rmse(let value): fields.append(("rmse", number(Double(value))))
            }
            let encoded = finished["encoded_bytes"] ?? 0
            fields += [
                ("checkpoints_committed", number(finished["checkpoints_committed"])),
                ("compression_ratio", number(encoded > 0 ? (finished["raw_bytes"] ?? 0) / encoded : 0)),
                ("recoveries", number(finished["recoveries"])),
                ("checkpoint_overhead_percent", number(finished["checkpoint_overhead_percent"])),
                ("model_digest", "\"\(model.digest)\""), ("wall_seconds", number(seconds)),
                ("run_dir", jsonText(directory.path)),
            ]
            let json = "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
            try writeByRename(json + "\n", to: directory.path + "/summary.json")
            state.withLock { $0.output.summary(fields, json: json) }
            return (CommandFailure.done, nil)
        } catch {
            state.withLock { $0.output.close() }
            return (CommandFailure.failed, "training ended, and its last checkpoint can't be read: \(error)")
        }
    }

    private func number(_ value: Double?) -> String {
        guard let value, value.isFinite else { return "null" }
        return value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }
}

/// A string as JSON.
func jsonText(_ text: String) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .withoutEscapingSlashes
    let data = (try? encoder.encode([text])) ?? Data("[\"\"]".utf8)
    return String(String(decoding: data, as: UTF8.self).dropFirst().dropLast())
}
