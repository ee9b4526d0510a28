import Dispatch
import Synchronization

/// Hands items from any thread to the one thread that takes them, in order.
final class Mailbox<Item: Sendable>: Sendable {
    private struct State {
        var items: [Item] = []
        var closed = false
    }
    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    /// Never blocks.
    func put(_ item: Item) {
        let wasEmpty = state.withLock { state in
            let wasEmpty = state.items.isEmpty
            state.items.append(item)
            return wasEmpty
        }
        if wasEmpty { signal.signal() }
    }

    /// All that is there, waiting for something until the deadline at most.
    func take(into batch: inout [Item], until deadline: DispatchTime) {
        batch.removeAll(keepingCapacity: true)
        state.withLock { swap(&$0.items, &batch) }
        guard batch.isEmpty else { return }
        _ = signal.wait(timeout: deadline)
        state.withLock { swap(&$0.items, &batch) }
    }

    var count: Int { state.withLock { $0.items.count } }
}
