import MachineCore
import Wire

/// The records that a store has to fetch from its peers.
///
/// A store that lost its disk has thousands of them, while appends come as always: so nothing here that happens at every
/// event looks at all of them.
struct RepairQueue: Sendable {
    typealias Key = StoreMachine.Key

    /// A repair that waits for a peer.
    struct Repair: Sendable {
        var part: Part
        var triedPeers: Set<NodeID> = []
        var deadline: Instant
        /// 0 until a peer is asked.
        var request: UInt64
        /// It is only late, and is likely to come by itself: nothing that was missed.
        var isExpected = false
        /// Peers that said that they can't give it.
        var refusals: Set<NodeID> = []
    }

    private(set) var all: [Key: Repair] = [:]
    /// Those that a peer was asked for.
    private(set) var active: Set<Key> = []
    /// How many were missed, and are not just expected.
    private(set) var missed = 0
    /// Missed ones that nobody was asked for, the first one last. May hold keys that are done with.
    private var ready: [Key] = []
    /// Expected ones, in the order of their deadlines, which are all as far ahead. May hold keys that are done with.
    private var late: [Key] = []

    var count: Int { all.count }
    var isEmpty: Bool { all.isEmpty }

    subscript(key: Key) -> Repair? {
        get { all[key] }
        set {
            let before = all[key]
            all[key] = newValue
            if let before, !before.isExpected { missed -= 1 }
            active.remove(key)
            guard let new = newValue else { return }
            if !new.isExpected { missed += 1 }
            if new.request != 0 {
                active.insert(key)
            } else if !new.isExpected {
                if before.map({ $0.isExpected || $0.request != 0 }) ?? true { makeReady(key) }
            } else if before.map({ !$0.isExpected || $0.request != 0 }) ?? true {
                late.append(key)
            }
        }
    }

    private mutating func makeReady(_ key: Key) {
        var (low, high) = (0, ready.count)
        while low < high {
            let middle = (low + high) / 2
            if ready[middle] > key { low = middle + 1 } else { high = middle }
        }
        if low < ready.count, ready[low] == key { return }
        ready.insert(key, at: low)
    }

    /// Takes those that a peer is to be asked for now, in order: whose answer did not come, and as many new ones as `limit`
    /// leaves room for.
    mutating func takeDue(at now: Instant, limit: Int) -> [Key] {
        var due = active.filter { all[$0].map { $0.deadline <= now } ?? false }
        var room = limit - active.count
        var overdue = 0
        for key in late {
            guard let repair = all[key], repair.request == 0, repair.isExpected else {
                overdue += 1
                continue
            }
            guard repair.deadline <= now else { break }
            overdue += 1
            makeReady(key)
        }
        late.removeFirst(overdue)
        while room > 0, let key = ready.popLast() {
            guard let repair = all[key], repair.request == 0, repair.deadline <= now else { continue }
            due.insert(key)
            room -= 1
        }
        return due.sorted()
    }

    /// When `takeDue` has something to give.
    func nextDeadline(limit: Int) -> Instant? {
        guard !all.isEmpty else { return nil }
        var next = active.compactMap { all[$0]?.deadline }.min()
        guard active.count < limit else { return next }
        let first = [
            ready.last { all[$0]?.request == 0 },
            late.first { all[$0].map { $0.request == 0 && $0.isExpected } ?? false },
        ].compactMap { $0 }.compactMap { all[$0]?.deadline }
        for deadline in first { next = min(next ?? deadline, deadline) }
        return next
    }
}
