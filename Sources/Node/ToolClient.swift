import Dispatch
import Foundation
import Logging
import MachineCore
import NNG
import Synchronization
import Wire

/// Why a question to the coordinator has no answer.
public struct ToolError: Error, CustomStringConvertible {
    public let description: String
}

/// Asks a coordinator and follows its notices: for the command line, supervisors, drills.
public final class ToolClient: Sendable {
    private struct State {
        var answers: [UInt64: String?] = [:]
        var failures: [UInt64: String] = [:]
        var nextID: UInt64 = 1
        var lastNotice: UInt64 = 0
        var onNotice: (@Sendable (String) -> Void)?
        var following = false
        var closed = false
    }

    private let transport: Transport
    private let identity: Identity
    private let shared: Shared

    /// What the transport's callbacks touch.
    private final class Shared: Sendable {
        let state = Mutex(State())
        let answered = DispatchSemaphore(value: 0)

        func take(_ signal: Transport.Signal, renew: () -> Void) {
            switch signal {
            case .connected: renew()
            case .disconnected: break
            case .packet(let packet, _):
                switch packet.body {
                case .answer(let answer):
                    state.withLock { state in
                        guard state.answers[answer.id] != nil else { return }
                        state.answers[answer.id] = .some(answer.json)
                        if !answer.ok { state.failures[answer.id] = answer.json }
                    }
                    answered.signal()
                case .notice(let notice):
                    let handler = state.withLock { state -> (@Sendable (String) -> Void)? in
                        guard notice.number > state.lastNotice else { return nil }
                        state.lastNotice = notice.number
                        return state.onNotice
                    }
                    handler?(notice.json)
                default: break
                }
            }
        }
    }

    public init(coordinator: String, log: Logger) {
        identity = Identity(
            node: NodeID(role: .tool, index: Int.random(in: 0..<1_000_000_000)), run: "", incarnation: 0,
            epoch: 0)
        let shared = Shared()
        self.shared = shared
        let renewal = Renewal()
        transport = Transport(identity: identity, log: log) { signal in shared.take(signal) { renewal.fire() }
        }
        let (transport, identity) = (transport, identity)
        renewal.set {
            let following = shared.state.withLock { $0.following ? $0.lastNotice : nil }
            guard let following else { return }
            var ask = Ask()
            ask.what = "events"
            ask.after = following
            transport.send(.ask(ask), payload: nil, to: .coordinator, as: identity)
        }
        transport.connect(.coordinator, coordinator)
        let timer = Thread {
            while !shared.state.withLock({ $0.closed }) {
                renewal.fire()
                Thread.sleep(forTimeInterval: 1)
            }
        }
        timer.start()
    }

    private final class Renewal: Sendable {
        // In a struct, as in `SignalSink`.
        private struct State { var action: (@Sendable () -> Void)? }
        private let state = Mutex(State())
        func set(_ next: @escaping @Sendable () -> Void) { state.withLock { $0.action = next } }
        func fire() { state.withLock { $0 }.action?() }
    }

    /// Puts a question and waits for its answer; asks again while there is none.
    public func ask(_ what: String, step: Int64 = 0, timeoutSeconds: Double = 5) throws -> String {
        let id = shared.state.withLock { state in
            let id = UInt64.random(in: 1...UInt64.max)
            state.answers[id] = .some(nil)
            return id
        }
        var ask = Ask()
        ask.id = id
        ask.what = what
        ask.step = step
        let deadline = DispatchTime.now() + timeoutSeconds
        var resendAt = DispatchTime.now()
        let resends = what == "status" || what == "manifests"
        var sent = false
        while DispatchTime.now() < deadline {
            if DispatchTime.now() >= resendAt, resends || !sent {
                sent = transport.send(.ask(ask), payload: nil, to: .coordinator, as: identity)
                resendAt = .now() + 0.25
            }
            _ = shared.answered.wait(timeout: min(resendAt, deadline))
            let (answer, failure) = shared.state.withLock { state in
                (state.answers[id] ?? nil, state.failures[id])
            }
            if let failure { throw ToolError(description: failure) }
            if let answer {
                shared.state.withLock { _ = $0.answers.removeValue(forKey: id) }
                return answer
            }
        }
        throw ToolError(description: "the coordinator does not answer")
    }

    /// Has every notice, from the first that the coordinator still holds, handed over as JSON.
    public func follow(_ handler: @escaping @Sendable (String) -> Void) {
        shared.state.withLock { state in
            state.onNotice = handler
            state.following = true
        }
    }

    public func tellExit(of node: String, pid: UInt32, cause: String, ageMilliseconds: Double) {
        var exit = NodeExited()
        exit.node = node
        exit.pid = pid
        exit.cause = cause
        exit.ageMilliseconds = ageMilliseconds
        transport.send(.nodeExited(exit), payload: nil, to: .coordinator, as: identity)
    }

    public func close() {
        shared.state.withLock { $0.closed = true }
        transport.close()
    }
}
