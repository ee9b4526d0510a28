/// What one endpoint has done since it was opened.
public struct EndpointCounters: Sendable, Hashable {
    /// Messages handed to the kernel.
    public var sentMessages: UInt64 = 0
    /// Bytes of the bodies handed to the kernel.
    public var sentBytes: UInt64 = 0
    /// Messages delivered to the handler.
    public var receivedMessages: UInt64 = 0
    /// Bytes of the bodies delivered to the handler.
    public var receivedBytes: UInt64 = 0
    /// Messages refused because the link's queue was full.
    public var refusedFull: UInt64 = 0
    /// Messages refused because they exceed `maxReceiveBytes`.
    public var refusedOversize: UInt64 = 0
    /// Messages refused because the peer was not connected, or the endpoint closed.
    public var refusedGone: UInt64 = 0
    /// Messages dropped because they could not leave before their deadline.
    public var droppedLate: UInt64 = 0
    /// Messages dropped because their connection went away.
    public var droppedGone: UInt64 = 0
    /// Connections made.
    public var connections: UInt64 = 0
    /// Connections lost.
    public var disconnections: UInt64 = 0
    /// Connections or attempts replaced by the watchdog or by `reconnect()`.
    public var replacements: UInt64 = 0

    /// All zero.
    public init() {}
}

/// What became of an offered message.
public enum SendOutcome: Sendable, Hashable {
    /// It will be sent, unless the connection dies or its deadline passes first.
    case queued
    /// The link's bounded queue is full: try again later.
    case queueFull
    /// It is larger than `maxReceiveBytes`, which the peer would answer by dropping the connection.
    case oversize
    /// The peer is not connected, or the endpoint is closed.
    case gone
    /// There is no memory for the message.
    case noMemory
}

extension EndpointCounters {
    /// The sum of what an endpoint and its pump have counted.
    func adding(_ other: EndpointCounters?) -> EndpointCounters {
        guard let other else { return self }
        var sum = self
        sum.sentMessages += other.sentMessages
        sum.sentBytes += other.sentBytes
        sum.receivedMessages += other.receivedMessages
        sum.receivedBytes += other.receivedBytes
        sum.refusedFull += other.refusedFull
        sum.refusedOversize += other.refusedOversize
        sum.refusedGone += other.refusedGone
        sum.droppedLate += other.droppedLate
        sum.droppedGone += other.droppedGone
        sum.connections += other.connections
        sum.disconnections += other.disconnections
        sum.replacements += other.replacements
        return sum
    }
}
