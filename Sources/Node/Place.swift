import Dispatch
import Foundation
import Logging
import MachineCore
import NNG
import Synchronization
import Wire

/// Why a process could not take its place.
public struct JoinError: Error, CustomStringConvertible {
    public let description: String
}

/// A place in a cluster that the coordinator has given to this process.
public struct Place: Sendable {
    public var identity: Identity
    public var view: View
    /// What the coordinator told about the run: see `RunDescription`.
    public var description: String
    /// Where to record what this process does; nil: nowhere.
    public var historyDirectory: String?
    let transport: Transport
    let signals: SignalSink

    /// Asks the coordinator for a place, again and again until the deadline.
    ///
    /// - Parameters:
    ///   - index: a certain place, or nil for any that is free.
    ///   - bind: where this node listens, or nil for a role that nobody dials; port 0 takes a free one.
    ///   - advertise: the host, or host and port, that peers dial, where it differs from `bind`'s.
    public static func join(
        coordinator: String, role: Role, index: Int?, bind: String?, advertise: String?, log: Logger,
        timeoutSeconds: Double
    ) throws -> Place {
        let signals = SignalSink()
        let nonce = UInt64.random(in: 1...UInt64.max)
        let asker = Identity(
            node: NodeID(role: .tool, index: Int(nonce % 1_000_000_000)), run: "", incarnation: 0, epoch: 0)
        let transport = Transport(identity: asker, log: log) { signals.put($0) }
        var join = Join()
        join.role = role.rawValue
        join.index = Int32(index ?? -1)
        join.host = ProcessInfo.processInfo.hostName
        join.pid = UInt32(getpid())
        join.nonce = nonce
        if let bind {
            let url = try transport.listen(bind)
            join.endpoint = advertise.map { replaceHost(of: url, with: $0) } ?? url
        }
        transport.connect(.coordinator, coordinator)
        let deadline = Instant.now + .milliseconds(Int(timeoutSeconds * 1000))
        var batch: [Transport.Signal] = []
        var askAt = Instant.now
        var reason = "no answer from \(coordinator)"
        while Instant.now < deadline {
            if Instant.now >= askAt {
                transport.send(.join(join), payload: nil, to: .coordinator, as: asker)
                askAt = .now + .milliseconds(250)
            }
            signals.waiting.take(into: &batch, until: .now() + .milliseconds(50))
            for signal in batch {
                switch signal {
                case .connected: askAt = .now
                case .disconnected: break
                case .packet(let packet, _):
                    switch packet.body {
                    case .joined(let joined) where joined.nonce == nonce:
                        return try taken(joined, packet.run, transport, signals)
                    case .refused(let refusal) where refusal.nonce == nonce:
                        reason = refusal.reason
                        if refusal.fatal {
                            throw JoinError(description: "the coordinator refused: \(reason)")
                        }
                        askAt = .now + .milliseconds(250)
                    default: break
                    }
                }
            }
        }
        throw JoinError(description: "could not join within \(Int(timeoutSeconds)) s: \(reason)")
    }

    private static func taken(
        _ joined: Joined, _ run: String, _ transport: Transport, _ signals: SignalSink
    ) throws -> Place {
        guard let node = NodeID(joined.node) else {
            throw JoinError(description: "the coordinator gave the place '\(joined.node)', which is none")
        }
        let identity = Identity(
            node: node, run: run, incarnation: joined.incarnation, epoch: joined.view.epoch)
        transport.become(identity)
        return Place(
            identity: identity, view: joined.view, description: joined.configuration, transport: transport,
            signals: signals)
    }

    private static func replaceHost(of url: String, with host: String) -> String {
        guard let scheme = url.range(of: "://"), let colon = url.lastIndex(of: ":"), colon > scheme.upperBound
        else { return url }
        // An IPv6 address in brackets has colons of its own.
        let port = host.split(separator: ":", omittingEmptySubsequences: false).last.flatMap { UInt16($0) }
        let hasPort = port != nil && (host.hasPrefix("[") || host.filter { $0 == ":" }.count == 1)
        return url[..<scheme.upperBound] + host + (hasPort ? "" : url[colon...])
    }

    /// Runs a machine in this place until it ends or the process is told to stop.
    func run<M: Machine>(
        _ machine: M, log: Logger, stop: StopSignal,
        engine: @escaping @Sendable () -> any Engine<M.Action, M.Completion>
    ) throws -> RoleEnd {
        let history = try historyDirectory.map {
            let process = ProcessFact(node: identity.node.description, incarnation: identity.incarnation)
            return try HistoryWriter(directory: $0, process: process, log: log)
        }
        let runner = RoleRunner<M>(transport: transport, log: log, history: history)
        signals.forward(to: { runner.put($0) })
        stop.onStop { runner.stop() }
        return runner.run(machine, engine: engine)
    }
}

/// Where a transport's signals go: into a mailbox while the place is asked for, then straight to the role.
final class SignalSink: Sendable {
    /// A closure that is itself a generic parameter is wrapped anew whenever the `Mutex` around it is entered, and
    /// each message would go through one more wrapper than the last. Inside a struct it keeps its representation.
    private struct Target {
        var handler: (@Sendable (Transport.Signal) -> Void)?
    }

    let waiting = Mailbox<Transport.Signal>()
    private let target = Mutex(Target())

    func put(_ signal: Transport.Signal) {
        let direct = target.withLock { target in
            if target.handler == nil { waiting.put(signal) }
            return target
        }
        direct.handler?(signal)
    }

    /// Hands on what waits, and then everything as it comes.
    func forward(to next: @escaping @Sendable (Transport.Signal) -> Void) {
        target.withLock { target in
            var batch: [Transport.Signal] = []
            waiting.take(into: &batch, until: .now())
            for signal in batch { next(signal) }
            target.handler = next
        }
    }
}

/// SIGTERM and SIGINT, as one call.
public final class StopSignal: Sendable {
    private struct State {
        var stopped = false
        var action: (@Sendable () -> Void)?
        var sources: [Source] = []
    }
    // Dispatch sources are safe to hold from any thread.
    private struct Source: @unchecked Sendable { let source: any DispatchSourceSignal }
    private let state = Mutex(State())

    public init(signals: [Int32] = [SIGTERM, SIGINT]) {
        for number in signals {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { [weak self] in self?.fire() }
            source.resume()
            let kept = Source(source: source)
            state.withLock { $0.sources.append(kept) }
        }
    }

    public func fire() {
        let action = state.withLock { state in
            state.stopped = true
            return state.action
        }
        action?()
    }

    /// Calls `action` on every signal, and at once when one has come already.
    public func onStop(_ action: @escaping @Sendable () -> Void) {
        let already = state.withLock { state in
            state.action = action
            return state.stopped
        }
        if already { action() }
    }
}
