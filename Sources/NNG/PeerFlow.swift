/// What a listener knows of one connected peer: the window of unacknowledged messages and the queue behind it.
///
/// Invariants
/// - `unacknowledged` holds the sizes of the messages handed to nng and not acknowledged, oldest first; its
///   length never exceeds `windowMessages`, which is below the 64 at which raw REP drops in silence.
/// - A message in `waiting` has not been handed to nng; it leaves by the window or by its deadline.
struct PeerFlow {
    static let windowMessages = 48
    static let windowBytes = 64 << 20

    struct Waiting {
        var message: MessageHandle
        var bytes: Int
        var deadline: Monotonic
    }

    let connection: UInt8
    private(set) var sentNumber: UInt32 = 0
    private(set) var unacknowledged = FIFO<Int>()
    private(set) var unacknowledgedBytes = 0
    private var waiting = FIFO<Waiting>()
    private(set) var waitingBytes = 0

    init(connection: UInt8) { self.connection = connection }

    var waitingCount: Int { waiting.count }

    private var windowIsOpen: Bool {
        unacknowledged.count < PeerFlow.windowMessages && unacknowledgedBytes < PeerFlow.windowBytes
    }

    /// Puts a message behind those that wait; false when the queue's limits are reached.
    mutating func enqueue(_ message: MessageHandle, _ settings: EndpointSettings, now: Monotonic) -> Bool {
        guard waiting.count < settings.sendQueueLimit, waitingBytes < settings.sendQueueBytes else {
            return false
        }
        let bytes = message.count
        waitingBytes += bytes
        waiting.append(
            Waiting(
                message: message, bytes: bytes,
                deadline: now.adding(milliseconds: Int(settings.sendDeadlineMilliseconds))))
        return true
    }

    /// The next message that the window lets out, with its word; nil when none may leave.
    mutating func next() -> (message: MessageHandle, word: LinkWord)? {
        guard windowIsOpen, let item = waiting.popFirst() else { return nil }
        waitingBytes -= item.bytes
        unacknowledged.append(item.bytes)
        unacknowledgedBytes += item.bytes
        sentNumber = (sentNumber + 1) & LinkWord.numberMask
        return (item.message, LinkWord(connection: connection, number: sentNumber))
    }

    /// Takes an acknowledgement; words of an earlier connection or out of range change nothing.
    mutating func acknowledge(_ word: LinkWord) {
        guard word.connection == connection else { return }
        let open = Int((sentNumber &- word.number) & LinkWord.numberMask)
        guard open <= unacknowledged.count else { return }
        while unacknowledged.count > open, let bytes = unacknowledged.popFirst() {
            unacknowledgedBytes -= bytes
        }
    }

    /// Takes out one message whose deadline has passed; the caller frees and counts it.
    mutating func popExpired(now: Monotonic) -> MessageHandle? {
        guard let item = waiting.first, item.deadline <= now else { return nil }
        waitingBytes -= item.bytes
        return waiting.popFirst()?.message
    }

    /// Takes out any waiting message, when the peer is gone.
    mutating func popAny() -> MessageHandle? {
        guard let item = waiting.popFirst() else { return nil }
        waitingBytes -= item.bytes
        return item.message
    }
}
