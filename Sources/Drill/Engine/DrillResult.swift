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
    public var noticed: [NoticedFault] = []
    public var nodes: [String] = []
    public var summary: [String: String] = [:]
    /// The last lines of the nodes' logs, when something went wrong.
    public var logs: [String: String] = [:]
    /// The command that runs it again.
    public var command = ""
}
