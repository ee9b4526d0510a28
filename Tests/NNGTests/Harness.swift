import Foundation
import Synchronization
import Testing

@testable import NNG

/// Collects what handlers see, and lets a test wait for it with a deadline.
final class Inbox<Element: Sendable>: Sendable {
    private struct State {
        var items: [Element] = []
    }

    private let state = Mutex(State())
    private let condition = NSCondition()

    func put(_ element: Element) {
        condition.lock()
        state.withLock { $0.items.append(element) }
        condition.broadcast()
        condition.unlock()
    }

    var items: [Element] { state.withLock { $0.items } }
    var count: Int { state.withLock { $0.items.count } }

    /// Waits until at least `count` items are here; false when the deadline passes first.
    func wait(for count: Int, seconds: Double = 10) -> Bool {
        let limit = Date(timeIntervalSinceNow: seconds)
        condition.lock()
        defer { condition.unlock() }
        while self.count < count {
            if !condition.wait(until: limit) { return self.count >= count }
        }
        return true
    }
}

extension ReceivedMessage {
    var array: [UInt8] { withUnsafeBytes { Array($0) } }
}

extension Dialer {
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { send(parts: [$0]) } }
}

extension Listener {
    @discardableResult
    func send(_ bytes: [UInt8], to peer: PeerID) -> Bool {
        bytes.withUnsafeBytes { send(to: peer, parts: [$0]) }
    }
}

/// A listener that sends every message back; made in two steps, since its handler needs it.
final class EchoServer: Sendable {
    private let box = Mutex<Listener?>(nil)
    let closedPeers = Inbox<PeerID>()

    var listener: Listener { box.withLock { $0 }! }
    var url: String { listener.url }

    init(url: String = "tcp://127.0.0.1:0", settings: EndpointSettings = EndpointSettings()) throws {
        let made = try Listener(
            url: url, settings: settings,
            onMessage: { [weak self] peer, message in
                guard let listener = self?.box.withLock({ $0 }) else { return }
                message.withUnsafeBytes { _ = listener.send(to: peer, parts: [$0]) }
            }, onPeerClosed: { [closedPeers] in closedPeers.put($0) })
        box.withLock { $0 = made }
    }
}

/// Waits for a condition that no handler announces, polling every 5 ms; false when the deadline passes first.
func eventually(seconds: Double = 10, _ condition: () -> Bool) -> Bool {
    let limit = Date(timeIntervalSinceNow: seconds)
    while !condition() {
        if Date() > limit { return false }
        usleep(5000)
    }
    return true
}
