import Foundation

/// A fault that has struck.
struct Injection: Sendable {
    var nodes: [String]
    /// What was done, to which process, file or link.
    var sentence: String
    /// Ends it; a sentence when that did not work. nil for what is over at once.
    var heal: (@Sendable () -> String?)?
}

/// Why a fault did not strike.
struct NotInjected: Error {
    let sentence: String
    init(_ sentence: String) { self.sentence = sentence }
}

/// Finds the injector of a fault.
struct Injectors {
    let scene: Scene

    func inject(
        _ fault: Fault, nodes: [String], pairs: [LinkPair]
    ) throws(NotInjected) -> Injection {
        let processes = ProcessInjector(scene: scene)
        let disks = DiskInjector(scene: scene)
        let calls = SystemCallInjector(scene: scene)
        let peers = PeerInjector(scene: scene)
        switch fault.kind {
        case .kill:
            if let moment = fault.during { return try calls.kill(nodes, during: moment) }
            return try processes.end(nodes, with: SIGKILL, named: "SIGKILL")
        case .term: return try processes.end(nodes, with: SIGTERM, named: "SIGTERM")
        case .pause: return try processes.pause(nodes)
        case .resume: return try processes.resume(nodes)
        case .replace: return try SuccessorInjector(scene: scene).replace(nodes)
        case .clockJump:
            return try ClockInjector(scene: scene).jump(nodes, milliseconds: fault.byMilliseconds)
        case .cut, .delay, .limit: return try links(fault, nodes: nodes, pairs: pairs)
        case .reset, .halfOpen: return try links(fault, nodes: nodes, pairs: pairs)
        case .garbage, .oversize: return try peers.send(fault.kind, to: nodes, count: fault.count)
        case .stalledHandshakes: return try peers.stall(nodes, count: fault.count)
        case .bitFlip: return try disks.flipBits(nodes, count: fault.count, record: fault.record)
        case .misdirectedWrite: return try disks.misdirect(nodes)
        case .tornTail: return try disks.tearTail(nodes)
        case .missingSegment: return try disks.removeSegment(nodes)
        case .wipe: return try disks.wipe(nodes)
        case .staleDisk: return try disks.goBack(nodes, ageMilliseconds: fault.ageMilliseconds)
        case .diskFull: return try disks.fill(nodes)
        case .fsyncError: return try calls.failSync(nodes)
        case .slowFsync: return try calls.slowSync(nodes, milliseconds: fault.delayMilliseconds)
        }
    }

    private func links(
        _ fault: Fault, nodes: [String], pairs: [LinkPair]
    ) throws(NotInjected) -> Injection {
        guard let proxy = scene.proxy else { throw NotInjected("the links do not run through the proxy") }
        guard !pairs.isEmpty else { throw NotInjected("no link was drawn") }
        let names = pairs.map { "\($0.from) → \($0.to)" }.joined(separator: ", ")
        let rule: LinkProxies.Rule
        let what: String
        switch fault.kind {
        case .cut: (rule, what) = (.init(isCut: true), "nothing goes through")
        case .delay:
            rule = .init(
                delayMilliseconds: fault.delayMilliseconds, jitterMilliseconds: fault.jitterMilliseconds)
            what = "\(fault.delayMilliseconds) ms later, and up to \(fault.jitterMilliseconds) ms more"
        case .limit:
            rule = .init(bytesPerSecond: fault.bytesPerSecond)
            what = "\(fault.bytesPerSecond) bytes per second"
        case .reset, .halfOpen:
            try waitForConnections(proxy, pairs)
            let count = proxy.breakConnections(pairs, leavingDialer: fault.kind == .halfOpen)
            guard count > 0 else { throw NotInjected("no connection is open on \(names)") }
            let how = fault.kind == .reset ? "reset" : "closed at one end, left open at the other"
            return Injection(
                nodes: nodes, sentence: "\(names): \(counted(count, "connection")) \(how)", heal: nil)
        default: throw NotInjected("\(fault.kind.rawValue) is no fault of links")
        }
        try waitForConnections(proxy, pairs)
        let id = proxy.add(rule, on: pairs)
        return Injection(nodes: nodes, sentence: "\(names): \(what)") {
            proxy.remove(id)
            return nil
        }
    }
}

extension Injectors {
    /// A rule on links that nothing uses would be no fault. Stores speak to each other only when one has to catch up.
    private func waitForConnections(_ proxy: LinkProxies, _ pairs: [LinkPair]) throws(NotInjected) {
        let busy = pairs.filter { !($0.from.hasPrefix("store") && $0.to.hasPrefix("store")) }
        try ProcessInjector(scene: scene).wait(
            milliseconds: 20_000, until: { proxy.idle(busy).isEmpty && !busy.isEmpty },
            else: "no connection is open on "
                + proxy.idle(busy.isEmpty ? pairs : busy).map { "\($0.from) → \($0.to)" }.joined(
                    separator: ", "))
    }
}

/// What a machine must have for some faults.
struct Means {
    private let faults: [(step: String, fault: Fault)]

    init(_ steps: [DrillStep]) { faults = Self.faults(of: steps) }

    private static func faults(of steps: [DrillStep]) -> [(step: String, fault: Fault)] {
        steps.flatMap { step -> [(step: String, fault: Fault)] in
            switch step.action {
            case .fault(let fault): [(step.name, fault)]
            case .parallel(let inner): faults(of: inner)
            case .wait, .assert, .heal, .pause, .run, .verify: []
            }
        }
    }

    var needProxy: Bool { faults.contains { $0.fault.kind.needsProxy } }
    var needClocks: Bool { faults.contains { $0.fault.kind == .clockJump } }

    /// Why one of the faults can't be injected on this machine, before anything is started.
    var lack: String? {
        for (step, fault) in faults {
            if let lack = Self.lack(for: fault) {
                return "step '\(step)': \(fault.kind.rawValue) can't be injected: \(lack)"
            }
        }
        return nil
    }

    /// Why a fault can't be injected here, or nil.
    static func lack(for fault: Fault) -> String? {
        switch fault.kind {
        case .fsyncError, .slowFsync: return tracer()
        case .kill: return fault.during == nil ? nil : tracer()
        case .clockJump:
            return SharedClock.library == nil
                ? "libfaketime is not installed ('apt-get install libfaketime')" : nil
        case .diskFull: return geteuid() == 0 ? nil : "only root may mount a small file system"
        case .term, .pause, .resume, .replace, .cut, .delay, .limit, .reset, .halfOpen, .garbage, .oversize,
            .stalledHandshakes, .bitFlip, .tornTail, .missingSegment, .misdirectedWrite, .wipe, .staleDisk:
            return nil
        }
    }

    static func tracer() -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin").split(separator: ":")
        guard folders.contains(where: { access("\($0)/strace", X_OK) == 0 }) else {
            return "strace is not installed ('apt-get install strace')"
        }
        let scope =
            (try? String(contentsOfFile: "/proc/sys/kernel/yama/ptrace_scope", encoding: .utf8)) ?? "0"
        if geteuid() != 0, scope.trimmingCharacters(in: .whitespacesAndNewlines) != "0" {
            return "this system lets only root trace a process that runs (kernel.yama.ptrace_scope)"
        }
        return nil
    }
}

/// Makes a file say something else, by rename: nobody reads half of it.
func replaceFile(_ path: String, with text: String) -> Bool {
    let new = path + ".drill"
    guard (try? text.write(toFile: new, atomically: false, encoding: .utf8)) != nil else { return false }
    return rename(new, path) == 0
}
