/// A binary heap of things to happen; what is due at the same time happens in the order of its entry.
///
/// The heap moves small entries; the items stay where they are until they are due.
struct EventQueue<Item> {
    private struct Entry {
        var at: UInt64
        var sequence: UInt64
        var slot: Int

        @inline(__always) func precedes(_ other: Entry) -> Bool {
            at != other.at ? at < other.at : sequence < other.sequence
        }
    }

    private var heap: [Entry] = []
    private var items: [Item?] = []
    private var free: [Int] = []
    private var sequence: UInt64 = 0

    var count: Int { heap.count }
    /// When the next item is due.
    var nextTime: UInt64? { heap.first?.at }

    mutating func add(_ item: Item, at: UInt64) {
        sequence += 1
        let slot: Int
        if let known = free.popLast() {
            slot = known
            items[slot] = item
        } else {
            slot = items.count
            items.append(item)
        }
        let entry = Entry(at: at, sequence: sequence, slot: slot)
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry.precedes(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = entry
    }

    /// Takes the next item out.
    mutating func next() -> Item? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            var parent = 0
            while true {
                var best = 2 * parent + 1
                guard best < heap.count else { break }
                if best + 1 < heap.count && heap[best + 1].precedes(heap[best]) { best += 1 }
                guard heap[best].precedes(last) else { break }
                heap[parent] = heap[best]
                parent = best
            }
            heap[parent] = last
        }
        free.append(first.slot)
        return items[first.slot].take()
    }
}
