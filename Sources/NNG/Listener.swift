internal import CNNG
import Dispatch
import Synchronization

/// A connected client as a listener sees it; a client that reconnects is another peer.
public struct PeerID: Hashable, Sendable, CustomStringConvertible {
    let pipe: UInt32

    /// The number of the connection, for logs.
    public var description: String { "peer \(pipe)" }
}

/// A listening socket with many clients, each of which can be sent to at any time.
///
/// Messages may be lost (a full queue, a dead connection, a missed deadline) and are never duplicated; messages
/// from one peer arrive in order. It speaks raw REP with its own words in the header: see
/// `docs/decisions/0001-messaging.md`. Clients must be `Dialer`s, which acknowledge what they receive.
public final class Listener: Sendable {
    private let link: ListenerLink

    /// The address with the port that was really bound.
    public let url: String

    /// Listens on `url` (`tcp://127.0.0.1:0` takes a free port).
    ///
    /// `onMessage` runs on nng's threads, one call at a time: it must be cheap and must not block.
    /// `onPeerClosed` runs on a queue of this listener; no message of that peer is delivered after it was called.
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
        var pipe = nng_pipe()
        pipe.id = peer.pipe
        nng_pipe_close(pipe)
    }

    /// The clients that are connected now.
    public var peers: [PeerID] { link.peers }

    /// Messages that wait for one peer: those behind the window and those sent and not yet acknowledged.
    public func backlog(of peer: PeerID) -> (waiting: Int, unacknowledged: Int) { link.backlog(peer) }

    /// What this listener has done so far.
    public var counters: EndpointCounters { link.counters }

    /// nng's number of the socket, to find it in `NNGStatistics`.
    public var socketID: UInt32 { link.core?.socket.raw.id ?? 0 }

    /// Stops listening and drops every connection; returns within `closeDeadlineMilliseconds`.
    ///
    /// Does not wait for queued messages. A socket that nng can't close is left to a detached thread.
    public func close() { link.close(waiting: true) }
}
