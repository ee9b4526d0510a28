import Dispatch
import Glibc
import NNG

/// Kills one peer after the other at a fixed rate while requests are in flight on every link.
struct Soak {
    let options: Options
    private let started = Processes.nowMilliseconds
    /// A link that is silent for this long while its peer runs is wedged.
    static let wedgedMilliseconds = 10_000.0

    init(_ options: Options) { self.options = options }

    private struct Outcome {
        var kills = 0
        /// Peers that had ended by themselves, for example because they couldn't listen.
        var ended = 0
        var wedgedLink: Int?
        var residentStartKiB = 0
        var residentEndKiB = 0
    }

    func run() {
        if options.victim == "client" { return runClients() }
        let clocks = (0..<options.links).map { _ in LinkClock() }
        let ports = (0..<options.links).map { _ in Processes.freePort() }
        var peers = ports.map { spawnPeer(port: $0) }
        let links = (0..<options.links).map { link(ports[$0], clocks[$0]) }
        let outcome = killInTurn(&peers, ports, clocks)
        Console.say("  closing")
        let closedInMilliseconds = close(links)
        for pid in peers { Processes.kill(pid) }
        report(outcome, clocks, closedInMilliseconds)
        let own = links.compactMap { ($0 as? Traffic)?.counters }
        if !own.isEmpty {
            let lost = own.map(\.droppedGone).reduce(0, +)
            let connections = own.map(\.connections).reduce(0, +)
            let replaced = own.map(\.replacements).reduce(0, +)
            Console.say("  \(connections) connections, \(lost) messages dropped with theirs")
            Console.say("  \(replaced) attempts to connect or greet were left behind")
        }
    }

    private func spawnPeer(port: Int) -> pid_t {
        let perLink = options.inFlight / options.links
        return Processes.spawn([
            "peer", "--protocol", options.candidate.rawValue, "--victim", options.victim, "--port", "\(port)",
            "--in-flight", "\(perLink)", "--links", "1",
        ])
    }

    private func link(_ port: Int, _ clock: LinkClock) -> any SoakLink & Sendable {
        let url = "tcp://127.0.0.1:\(port)"
        let perLink = options.inFlight / options.links
        switch options.candidate {
        case .dialer: return Traffic(url: url, inFlight: perLink, clock: clock)
        case .raw: return SocketLink(url: url, inFlight: perLink, isRaw: true, clock: clock)
        case .req: return RequestLink(url: url, inFlight: perLink, clock: clock)
        case .pair0: return SocketLink(url: url, inFlight: perLink, isRaw: false, clock: clock)
        }
    }

    private func killInTurn(_ peers: inout [pid_t], _ ports: [Int], _ clocks: [LinkClock]) -> Outcome {
        var outcome = Outcome()
        let period = 1_000_000 / UInt32(options.perSecond)
        usleep(1_000_000)
        for kill in 0..<options.kills {
            let victim = kill % peers.count
            let clock = clocks[min(victim, clocks.count - 1)]
            let started = Processes.nowMilliseconds
            clock.killed()
            if !Processes.kill(peers[victim]) { outcome.ended += 1 }
            usleep(min(30_000, period / 3))
            clock.restarted()
            peers[victim] = spawnPeer(port: ports[victim])
            outcome.kills = kill + 1
            if kill == min(40, options.kills / 4) { outcome.residentStartKiB = Processes.residentKiB }
            if kill % 50 == 49 { Console.say("  \(kill + 1) kills, resident \(Processes.residentKiB) KiB") }
            outcome.wedgedLink = wedged(clocks)
            if outcome.wedgedLink != nil { break }
            let spent = (Processes.nowMilliseconds - started) * 1000
            if spent < Double(period) { usleep(period - UInt32(spent)) }
        }
        let end = Processes.nowMilliseconds + Soak.wedgedMilliseconds
        let marks = clocks.map { $0.snapshot.answers }
        usleep(500_000)
        while Processes.nowMilliseconds < end, outcome.wedgedLink == nil {
            if zip(clocks, marks).allSatisfy({ $0.snapshot.answers > $1 }) { break }
            usleep(10_000)
        }
        outcome.wedgedLink =
            outcome.wedgedLink
            ?? zip(clocks, marks).enumerated().first { item in
                item.element.0.snapshot.answers <= item.element.1
            }?.offset
        outcome.residentEndKiB = Processes.residentKiB
        return outcome
    }

    private func wedged(_ clocks: [LinkClock]) -> Int? {
        let now = Processes.nowMilliseconds
        return clocks.firstIndex { now - ($0.snapshot.waitingSince ?? now) > Soak.wedgedMilliseconds }
    }

    /// Closes every link on threads; the milliseconds until all were closed, or nil when one hung for 5 s.
    private func close(_ links: [any SoakLink & Sendable]) -> Double? {
        let group = DispatchGroup()
        let started = Processes.nowMilliseconds
        for link in links {
            group.enter()
            Threads.detach {
                link.close()
                group.leave()
            }
        }
        let done = group.wait(timeout: .now() + 5) == .success
        return done ? Processes.nowMilliseconds - started : nil
    }

    /// The other direction: one listener here, its clients are killed.
    private func runClients() {
        let any = LinkClock()
        guard let server = EchoListener(url: "tcp://127.0.0.1:0", onMessage: { _ in any.answered() }),
            let port = server.listener.flatMap({ Int($0.url.split(separator: ":").last ?? "") })
        else { return NNGSoak.fail("cannot listen") }
        var peers = (0..<options.links).map { _ in spawnPeer(port: port) }
        let outcome = killInTurn(&peers, Array(repeating: port, count: peers.count), [any])
        let hung = server.listener.map { listener -> Double in
            let started = Processes.nowMilliseconds
            listener.close()
            return Processes.nowMilliseconds - started
        }
        for pid in peers { Processes.kill(pid) }
        report(outcome, [any], hung)
        if let counters = server.listener?.counters {
            Console.say("  \(counters.connections) connections, \(counters.disconnections) lost")
        }
    }

    private func report(_ outcome: Outcome, _ clocks: [LinkClock], _ closed: Double?) {
        let states = clocks.map(\.snapshot)
        let answers = states.map(\.answers).reduce(0, +)
        let pause = states.map(\.longestPause).max() ?? 0
        let absence = states.map(\.longestAbsence).max() ?? 0
        let recovery = states.map(\.longestRecovery).max() ?? 0
        Console.say(
            "protocol \(options.candidate.rawValue), victim \(options.victim), nng \(NNGStatistics.version)")
        let end = outcome.wedgedLink.map { "WEDGED on link \($0)" } ?? "all links carry traffic"
        Console.say("  kills \(outcome.kills) of \(options.kills): \(end)")
        Console.say("  peers that ended before they were killed: \(outcome.ended)")
        Console.say("  answers \(answers), wrong \(states.map(\.wrong).reduce(0, +))")
        Console.say(
            "  longest pause \(Int(pause)) ms, longest from restart to traffic \(Int(recovery)) ms, "
                + "longest absence of a killed peer \(Int(absence)) ms")
        let started = self.started
        for (link, state) in states.enumerated() {
            for pause in state.long {
                let began = Int(pause.began - started)
                Console.say(
                    "  link \(link) was silent for \(Int(pause.milliseconds)) ms, from \(began) ms on")
            }
        }
        let growth = outcome.residentEndKiB - outcome.residentStartKiB
        Console.say("  resident \(outcome.residentStartKiB) -> \(outcome.residentEndKiB) KiB (\(growth) KiB)")
        Console.say(
            "  close \(closed.map { "took \(Int($0)) ms" } ?? "HUNG"), left closing \(NNGStatistics.closing)")
        let sound =
            outcome.wedgedLink == nil && closed != nil && states.allSatisfy { $0.wrong == 0 }
        if !sound { exit(1) }
    }
}
