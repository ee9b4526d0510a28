import Foundation

/// The wall clock that a cluster's processes see: libfaketime's, which adds to the machine's what a file says.
///
/// Every process of a cluster reads the same file, so that all clocks jump at once. The clock that leases and deadlines
/// are counted by (CLOCK_MONOTONIC) is left alone, as it is by whoever sets a machine's time.
struct SharedClock: Sendable {
    private let path: String

    static let library: String? = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    ].first { access($0, R_OK) == 0 }

    init?(folder: String) {
        path = folder + "/clock"
        guard Self.library != nil, set(seconds: 0) else { return nil }
    }

    var environment: [String: String] {
        [
            "LD_PRELOAD": Self.library ?? "", "FAKETIME_TIMESTAMP_FILE": path, "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        ]
    }

    /// What the library of the first process shares with all others, and leaves behind.
    static func clean(after pid: Int32) {
        unlink("/dev/shm/faketime_shm_\(pid)")
        unlink("/dev/shm/sem.faketime_sem_\(pid)")
    }

    func set(seconds: Int) -> Bool {
        replaceFile(path, with: "\(seconds < 0 ? "-" : "+")\(abs(seconds))s\n")
    }
}

/// Makes the clocks of a cluster jump.
struct ClockInjector {
    let scene: Scene

    func jump(_ nodes: [String], milliseconds: Int) throws(NotInjected) -> Injection {
        guard let clocks = scene.clocks else {
            throw NotInjected("the cluster was started with its own clocks")
        }
        let every = NodeRole.allCases.flatMap { $0.nodes(in: scene.run.drill.configuration) }
        guard Set(nodes) == Set(every) else {
            throw NotInjected("the processes of a cluster share one clock: name 'every node'")
        }
        let seconds = milliseconds / 1000
        let processes = try ProcessInjector(scene: scene).find(nodes)
        for (node, entry) in processes {
            let maps = ProcessTable.read("/proc/\(entry.pid)/maps") ?? []
            guard String(decoding: maps, as: UTF8.self).contains("libfaketime") else {
                throw NotInjected("\(node) does not look at the clock that jumps")
            }
        }
        guard clocks.set(seconds: seconds) else { throw NotInjected("the clock could not be set") }
        return Injection(
            nodes: nodes, sentence: "the wall clocks of all nodes jumped ahead by \(seconds) s"
        ) { clocks.set(seconds: 0) ? nil : "the clock could not be set back" }
    }
}
