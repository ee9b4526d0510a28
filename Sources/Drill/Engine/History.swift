import Foundation
import Synchronization

/// One line of a drill's history. Times are milliseconds since the drill began.
public struct HistoryEntry: Sendable, Codable, Hashable {
    public enum Kind: String, Sendable, Codable {
        /// A step of the drill began, or ended.
        case step
        case fault
        case healed
        case notInjected = "not-injected"
        /// A step or an expectation that did not hold.
        case failure
        case note
    }
    public var atMilliseconds: Double
    public var kind: Kind
    public var step: String
    public var nodes: [String]
    public var sentence: String

    enum CodingKeys: String, CodingKey {
        case atMilliseconds = "at_ms"
        case kind, step, nodes, sentence
    }
}

/// One JSON line of `varve up`, with the time at which the drill read it.
struct ClusterEvent: Sendable {
    var atMilliseconds: Double
    var kind: String
    var node: String?
    var numbers: [String: Double]
    var texts: [String: String]

    init(kind: String, atMilliseconds: Double) {
        self.kind = kind
        self.atMilliseconds = atMilliseconds
        numbers = [:]
        texts = [:]
    }

    init?(line: Substring, atMilliseconds: Double) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
            let kind = object["event"] as? String
        else { return nil }
        self.atMilliseconds = atMilliseconds
        self.kind = kind
        node = object["node"] as? String
        numbers = object.compactMapValues { ($0 as? NSNumber)?.doubleValue }
        texts = object.compactMapValues { $0 as? String }
    }
}

/// What the drill did, in order; written to by every thread of it.
final class History: Sendable {
    private let entries = Mutex<[HistoryEntry]>([])
    private let clock: any DrillClock
    private let onEntry: @Sendable (HistoryEntry) -> Void

    init(clock: any DrillClock, onEntry: @escaping @Sendable (HistoryEntry) -> Void) {
        self.clock = clock
        self.onEntry = onEntry
    }

    var all: [HistoryEntry] { entries.withLock { $0 } }

    func add(_ kind: HistoryEntry.Kind, step: String, nodes: [String] = [], _ sentence: String) {
        let entry = HistoryEntry(
            atMilliseconds: clock.milliseconds, kind: kind, step: step, nodes: nodes, sentence: sentence)
        entries.withLock { $0.append(entry) }
        onEntry(entry)
    }
}

/// Milliseconds since the drill began.
protocol DrillClock: Sendable {
    var milliseconds: Double { get }
}

struct WallClock: DrillClock {
    private let began = ContinuousClock.now
    var milliseconds: Double { (ContinuousClock.now - began) / .milliseconds(1) }
}

/// Shows what a simulation sets.
final class VirtualClock: DrillClock {
    private let now = Mutex(0.0)
    var milliseconds: Double { now.withLock { $0 } }
    func set(_ milliseconds: Double) { now.withLock { $0 = milliseconds } }
}
