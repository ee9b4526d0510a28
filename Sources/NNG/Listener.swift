/// A connected client as a listener sees it; a client that reconnects is another peer.
public struct PeerID: Hashable, Sendable, CustomStringConvertible {
    /// Unique in this process.
    public let number: UInt64

    /// Names a peer, for tests and simulations.
    public init(number: UInt64) { self.number = number }

    /// The number of the connection, for logs.
    public var description: String { "peer \(number)" }
}

/// A listening socket with many clients, each of which can be sent to at any time.
///
/// Messages may be lost (a full queue, a dead connection, a missed deadline) and are never duplicated; messages
/// from one peer arrive in order. On the wire it is a REP socket of SP over TCP, carried by nng's streams: see
/// `docs/decisions/0001-messaging.md`.
public final class Listener: Sendable {
    private let link: ListenerLink

    /// The address with the port that was really bound.
    public let url: String

    /// Listens on `url` (`tcp://127.0.0.1:0` takes a free port).
    ///
    /// `onMessage` runs on nng's threads, one call at a time for each peer and in parallel for several: it must be
    /// cheap and must not block. `onPeerClosed` runs on a queue of this listener, after the peer's last message.
    /// Throws when the URL is malformed, the port is taken, or the TLS files do not load.
    public init(
        url: String, settings: EndpointSettings = EndpointSettings(),
        onMessage: @escaping @Sendable (PeerID, ReceivedMessage) -> Void,
        onPeerClosed: @escaping @Sendable (PeerID) -> Void = { _ in }
    ) throws(NNGError) {
        link = try ListenerLink(settings: settings, onMessage: onMessage, onPeerClosed: onPeerClosed)
        do throws(NNGError) {
            self.url = try link.start(url)
        } catch {
            link.close(waiting: false)
            throw error
        }
    }

    deinit { link.close(waiting: false) }

    /// Queues one message made of the parts; never blocks; false when it was refused.
    @discardableResult
    public func send(to peer: PeerID, parts: [UnsafeRawBufferPointer]) -> Bool {
        offer(to: peer, parts: parts) == .queued
    }

    /// Queues one message made of the parts and says why when it was refused.
    public func offer(to peer: PeerID, parts: [UnsafeRawBufferPointer]) -> SendOutcome {
        link.offer(peer, parts)
    }

    /// Queues a message without copying its body; false when it was refused.
    @discardableResult
    public func send(to peer: PeerID, message: consuming Message) -> Bool {
        link.offer(peer, message.take()) == .queued
    }

    /// Drops the connection to a peer; it may connect again as another peer.
    public func disconnect(_ peer: PeerID) {
        link.connection(peer)?.close()
    }

    /// The clients that are connected now.
    public var peers: [PeerID] { link.peers }

    /// Messages that wait to leave for one peer.
    public func backlog(of peer: PeerID) -> Int { link.connection(peer)?.backlog ?? 0 }

    /// What this listener has done so far.
    public var counters: EndpointCounters { link.counters }

    /// Stops listening and drops every connection; returns within `closeDeadlineMilliseconds`.
    ///
    /// Does not wait for queued messages. What nng can't close in time is left to a detached thread.
    public func close() { link.close(waiting: true) }
}
