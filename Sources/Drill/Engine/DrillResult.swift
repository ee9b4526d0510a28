import Foundation

/// How a drill ended.
public enum DrillVerdict: String, Sendable, Codable {
    /// Every fault struck and everything held.
    case passed
    /// A wait, an assertion, an expectation or an invariant did not hold.
    case failed
    /// A fault could not be injected, so nothing was shown.
    case notRun = "not run"
    /// The drill itself could not go on: the cluster did not start, or it was interrupted.
    case broken

    /// The exit code that the contract gives it.
    public var exitCode: Int32 {
        switch self {
        case .passed: 0
        case .failed, .notRun: 2
        case .broken: 1
        }
    }
}

/// One expectation or invariant: what was looked at, and what was found.
public struct CheckResult: Sendable, Codable, Hashable {
    public enum Outcome: String, Sendable, Codable {
        case held
        case broken
        /// Nothing could be said, for the reason that the evidence gives. This is no pass.
        case unknown
    }
    public var name: String
    public var outcome: Outcome
    public var evidence: String
    /// How it was looked at.
    public var method: String

    public init(_ name: String, _ outcome: Outcome, method: String, _ evidence: String) {
        self.name = name
        self.outcome = outcome
        self.evidence = evidence
        self.method = method
    }
}

/// One point of a curve: time since the drill began, step, value.
public struct CurvePoint: Sendable, Codable, Hashable {
    public var atMilliseconds: Double
    public var step: Double
    public var value: Double
}

/// A recovery as the cluster reported it; all times in milliseconds.
public struct RecoveryRecord: Sendable, Codable, Hashable {
    public var node: String
    public var mode: String
    public var atMilliseconds: Double
    public var detectedMilliseconds: Double
    public var recoveredMilliseconds: Double
    /// From the recovery to the first step after it; nil when there was none.
    public var resumedMilliseconds: Double?
    public var lostSteps: Double
}

/// Of some times in milliseconds: the middle one, and one that 99 of 100 don't exceed.
public struct TimeSpread: Sendable, Codable, Hashable {
    public var median: Double?
    public var p99: Double?

    init(_ times: [Double]) {
        let sorted = times.filter(\.isFinite).sorted()
        // The nearest rank: a time that was really measured.
        func rank(_ share: Double) -> Double? {
            sorted.isEmpty ? nil : sorted[max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1)]
        }
        median = rank(0.5)
        p99 = rank(0.99)
    }

    /// `12 / 40`, or a dash when there were none.
    public var text: String {
        guard let median, let p99 else { return "–" }
        return "\(Int(median.rounded())) / \(Int(p99.rounded()))"
    }
}

/// How long the recoveries of one role took.
public struct RecoveryTimes: Sendable, Codable, Hashable {
    public var role: String
    public var count: Int
    /// From the fault until the cluster noticed it.
    public var detected: TimeSpread
    /// From then until the node was back.
    public var restored: TimeSpread
    /// From then until the next step.
    public var resumed: TimeSpread
    /// From the fault to the next step, or where there was none until the node was back.
    public var total: TimeSpread

    /// One row for each role that had to recover.
    static func rows(_ recoveries: [RecoveryRecord]) -> [RecoveryTimes] {
        NodeRole.allCases.compactMap { role in
            let own = recoveries.filter { NodeRole.of($0.node) == role }
            guard !own.isEmpty else { return nil }
            return RecoveryTimes(
                role: role.rawValue, count: own.count, detected: TimeSpread(own.map(\.detectedMilliseconds)),
                restored: TimeSpread(own.map { $0.recoveredMilliseconds - $0.detectedMilliseconds }),
                resumed: TimeSpread(own.compactMap(\.resumedMilliseconds)),
                total: TimeSpread(own.map { $0.recoveredMilliseconds + ($0.resumedMilliseconds ?? 0) }))
        }
    }
}

/// A fault that the cluster noticed.
public struct NoticedFault: Sendable, Codable, Hashable {
    public var node: String
    public var cause: String
    public var atMilliseconds: Double
}

/// Everything that a report shows.
public struct DrillResult: Sendable, Codable {
    public var name: String
    public var about: String
    public var path: String
    public var seed: UInt64
    public var engine = EngineKind.processes
    public var verdict: DrillVerdict
    /// One sentence: why the verdict is what it is.
    public var reason: String
    public var wallMilliseconds: Double
    public var history: [HistoryEntry] = []
    public var checks: [CheckResult] = []
    public var steps: [CurvePoint] = []
    public var commits: [CurvePoint] = []
    public var referenceLoss: [CurvePoint] = []
    public var recoveries: [RecoveryRecord] = []
    public var recoveryTimes: [RecoveryTimes] = []
    public var noticed: [NoticedFault] = []
    public var nodes: [String] = []
    public var summary: [String: String] = [:]
    /// The last lines of the nodes' logs, when something went wrong.
    public var logs: [String: String] = [:]
    /// The command that runs it again.
    public var command = ""
}
