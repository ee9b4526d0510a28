/// Messages that wait to leave, with limits in number, bytes and time.
///
/// Invariant: `bytes` is the sum of the bodies in `items`; deadlines are in order.
struct SendQueue {
    struct Item {
        var buffer: MessageBuffer
        var deadline: Monotonic
    }

    private var items = FIFO<Item>()
    private(set) var bytes = 0
    private var lastDeadline = Monotonic.now
    /// What a slow link carries in a millisecond, at 10 MB/s.
    private static let bytesPerMillisecond = 10_000

    var count: Int { items.count }
    var isEmpty: Bool { items.isEmpty }

    /// Takes the buffer, unless the limits are reached.
    mutating func append(_ buffer: MessageBuffer, _ settings: EndpointSettings) -> Bool {
        guard items.count < settings.sendQueueLimit, bytes < settings.sendQueueBytes else { return false }
        // Each has the time that what is ahead of it takes, so that a large packet crosses a slow link whole.
        let patience = settings.sendDeadlineMilliseconds + bytes / SendQueue.bytesPerMillisecond
        lastDeadline = max(lastDeadline, Monotonic.now.adding(milliseconds: patience))
        append(Item(buffer: buffer, deadline: lastDeadline))
        return true
    }

    /// Takes an item that another queue has admitted.
    mutating func append(_ item: Item) {
        items.append(item)
        bytes += item.buffer.count
    }

    mutating func popFirst() -> Item? {
        guard let item = items.popFirst() else { return nil }
        bytes -= item.buffer.count
        return item
    }

    /// Frees what has waited for too long; returns how many there were.
    mutating func dropExpired(now: Monotonic) -> UInt64 {
        var dropped: UInt64 = 0
        while let item = items.first, item.deadline <= now {
            popFirst()?.buffer.free()
            dropped += 1
        }
        return dropped
    }

    /// Frees everything; returns how many there were.
    mutating func dropAll() -> UInt64 {
        var dropped: UInt64 = 0
        while let item = popFirst() {
            item.buffer.free()
            dropped += 1
        }
        return dropped
    }
}
