/// A link to one listener: one connection, one peer, kept connected for as long as it lives.
///
/// Messages may be lost (a full queue, a dead connection, a missed deadline) and are never duplicated or sent
/// again; messages arrive in order. On the wire it is a REQ socket of SP over TCP, carried by nng's streams: see
/// `docs/decisions/0001-messaging.md`.
public final class Dialer: Sendable {
    private let link: DialerLink

    /// The address that is dialed.
    public let url: String

    /// Starts to dial `url` and returns at once; messages sent before the connection stands wait for it.
    ///
    /// `onMessage` runs on nng's threads, one call at a time: it must be cheap and must not block.
    /// `onConnected` and `onDisconnected` run in turn on a queue of this dialer.
    /// Throws when the URL is malformed or the TLS files do not load; a peer that is away is no error.
    public init(
        url: String, settings: EndpointSettings = EndpointSettings(),
        onMessage: @escaping @Sendable (ReceivedMessage) -> Void,
        onConnected: @escaping @Sendable () -> Void = {},
        onDisconnected: @escaping @Sendable () -> Void = {}
    ) throws(NNGError) {
        self.url = url
        link = try DialerLink(
            url: url, settings: settings, onMessage: onMessage, onConnected: onConnected,
            onDisconnected: onDisconnected)
        do throws(NNGError) {
            try link.start()
        } catch {
            link.close(waiting: false)
            throw error
        }
    }

    deinit { link.close(waiting: false) }

    /// Queues one message made of the parts; never blocks; false when it was refused.
    @discardableResult
    public func send(parts: [UnsafeRawBufferPointer]) -> Bool { offer(parts: parts) == .queued }

    /// Queues one message made of the parts and says why when it was refused.
    public func offer(parts: [UnsafeRawBufferPointer]) -> SendOutcome { link.offer(parts) }

    /// Queues a message without copying its body; false when it was refused.
    @discardableResult
    public func send(message: consuming Message) -> Bool { link.offer(message.take()) == .queued }

    /// Whether a connection stands now; a stopped peer still counts as connected.
    public var isConnected: Bool { link.isConnected }

    /// Messages that wait to leave.
    public var backlog: Int { link.backlog }

    /// What this dialer has done so far, over all its connections.
    public var counters: EndpointCounters { link.counters }

    /// Drops the connection with all that waits on it and dials anew: for a caller that sees no progress.
    public func reconnect() { link.replace() }

    /// Closes the link; returns within `closeDeadlineMilliseconds`.
    ///
    /// Does not wait for queued messages. What nng can't close in time is left to a detached thread.
    public func close() { link.close(waiting: true) }
}
