import Cluster
import Foundation
import Synchronization

/// A `varve up --json` of the drill's own, and what it tells.
final class RunningCluster: Sendable {
    private struct State {
        var events: [ClusterEvent] = []
        var readTo: UInt64 = 0
        var rest: [UInt8] = []
        var seen: Set<ProcessTable.Entry> = []
    }

    let executable: String
    let directory: String
    /// Where the outputs of commands go.
    let scratch: String
    let clock: any DrillClock
    let up: Subprocess
    private let state = Mutex(State())
    private let outputPath: String
    private let errorPath: String

    /// Starts the cluster. The calling thread must live as long as the drill: `up` ends with it.
    init(
        executable: String, configurationPath: String, scratch: String, name: String, clock: any DrillClock,
        more: [String] = [], environment: [String: String] = [:]
    ) throws(Subprocess.Failure) {
        self.executable = executable
        self.scratch = scratch
        self.clock = clock
        directory = "\(scratch)/\(name)"
        outputPath = "\(scratch)/\(name).events"
        errorPath = "\(scratch)/\(name).errors"
        // By way of env: a library that is loaded first may change the environment before a Swift program has found its
        // arguments, which stand beside it. env becomes the program, under the same process id.
        let program = environment.isEmpty ? [executable] : ["/usr/bin/env", executable]
        up = try Subprocess(
            program[0],
            program.dropFirst() + ["up", configurationPath, "--run-dir", directory, "--json"] + more,
            environment: environment.merging(["VARVE_PARENT_PID": "\(getpid())"]) { $1 }, output: outputPath,
            errors: errorPath)
    }

    /// Every event so far, after a look for new ones.
    var events: [ClusterEvent] {
        state.withLock { state in
            read(&state)
            return state.events
        }
    }

    private func read(_ state: inout State) {
        guard let file = FileHandle(forReadingAtPath: outputPath) else { return }
        defer { try? file.close() }
        guard (try? file.seek(toOffset: state.readTo)) != nil, let data = try? file.readToEnd() else {
            return
        }
        state.readTo += UInt64(data.count)
        state.rest += data
        let now = clock.milliseconds
        while let end = state.rest.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: state.rest[..<end], as: UTF8.self)
            state.rest.removeFirst(end + 1)
            if let event = ClusterEvent(line: line[...], atMilliseconds: now) { state.events.append(event) }
        }
    }

    func last(_ kind: String, _ key: String) -> Double? {
        events.last { $0.kind == kind && $0.numbers[key] != nil }?.numbers[key]
    }

    /// The last words of `up`: why it gave up.
    var lastWords: String {
        let text = (try? String(contentsOfFile: errorPath, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").last.map(String.init) ?? ""
    }

    /// The processes of the nodes that run now.
    func processes() -> [String: ProcessTable.Entry] {
        let nodes = ProcessTable.nodes(of: up.pid)
        state.withLock { $0.seen.formUnion(nodes.values) }
        return nodes
    }

    /// Every process of this cluster that was ever seen.
    var everSeen: Set<ProcessTable.Entry> { state.withLock { $0.seen } }

    /// What `varve status --json` says; nil while nobody answers.
    func status() -> ClusterStatus? {
        guard
            let done = try? Subprocess.run(
                executable, ["status", "--run-dir", directory, "--json"], folder: scratch,
                milliseconds: 6000), done.code == 0
        else { return nil }
        return ClusterStatus(json: done.output)
    }

    /// Runs another varve command on this cluster's run directory.
    func varve(_ arguments: [String], milliseconds: Int = 60_000) -> (
        code: Int32?, output: String, errors: String
    ) {
        (try? Subprocess.run(
            executable, arguments + ["--run-dir", directory], folder: scratch, milliseconds: milliseconds))
            ?? (nil, "", "can't start \(executable)")
    }

    /// Ends everything, in any case.
    func end() {
        _ = processes()
        up.end(graceMilliseconds: 3000)
        // Nodes end with `up`; one that did not would be named as an orphan, and is ended here all the same.
        _ = ended(withinMilliseconds: 3000)
        for entry in everSeen where ProcessTable.isAlive(entry) { kill(entry.pid, SIGKILL) }
    }

    /// Processes of this cluster that go on after the time that they are given to end.
    func ended(withinMilliseconds: Int) -> [ProcessTable.Entry] {
        let deadline = ContinuousClock.now + .milliseconds(withinMilliseconds)
        while true {
            let left = everSeen.filter(ProcessTable.isAlive)
            if left.isEmpty || ContinuousClock.now >= deadline { return Array(left) }
            usleep(5000)
        }
    }
}
