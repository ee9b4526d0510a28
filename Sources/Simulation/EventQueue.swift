/// A binary heap of things to happen; what is due at the same time happens in the order of its entry.
struct EventQueue<Item> {
    private var heap: [(at: UInt64, sequence: UInt64, item: Item)] = []
    private var sequence: UInt64 = 0

    var count: Int { heap.count }

    mutating func add(_ item: Item, at: UInt64) {
        sequence += 1
        heap.append((at, sequence, item))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard precedes(child, parent) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func next() -> (at: UInt64, item: Item)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var best = parent
                for child in [2 * parent + 1, 2 * parent + 2]
                where child < heap.count && precedes(child, best) {
                    best = child
                }
                guard best != parent else { break }
                heap.swapAt(best, parent)
                parent = best
            }
        }
        return (first.at, first.item)
    }

    private func precedes(_ a: Int, _ b: Int) -> Bool {
        (heap[a].at, heap[a].sequence) < (heap[b].at, heap[b].sequence)
    }
}
