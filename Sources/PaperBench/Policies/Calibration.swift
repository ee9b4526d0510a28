import Foundation
import LCCheckpoint
import ParameterState

/// Policies that are set to take as many bytes a step as another one does.
public struct Calibration: Sendable, Codable, Hashable {
    /// Bytes a step of the policy that sets the budget.
    public var budget: Double
    /// The number of each family: steps for `full` and `exact`, a fraction, an error.
    public var knobs: [String: Double]
}

/// A kind of policy with one number that decides its bytes.
enum Family: String, CaseIterable, Sendable {
    case full
    case exact
    case topN = "top-N"
    case scarPriority = "SCAR, priority"
    case scarRoundRobin = "SCAR, round-robin"
    case scarRandom = "SCAR, random"
    case auto

    /// The policy with this number.
    func policy(_ knob: Double, block: Int, seed: UInt64) -> Policy {
        func scar(_ order: PartialSelection.Order) -> Policy.Kind {
            .partial(PartialSelection(rule: .blocks(size: block, order), fraction: knob))
        }
        let kind: Policy.Kind =
            switch self {
            case .full: .full(every: Int(knob))
            case .exact: .exact(every: Int(knob))
            case .topN: .partial(PartialSelection(rule: .topN, fraction: knob))
            case .scarPriority: scar(.priority)
            case .scarRoundRobin: scar(.roundRobin)
            case .scarRandom: scar(.random(seed: seed))
            case .auto: .delta(CodecSettings(kind: .auto(error: knob), entropy: .quick))
            }
        return Policy(name: rawValue, kind: kind)
    }

    /// Where the search starts, given how many times smaller the budget is than the state.
    func start(ratio: Double) -> Double {
        switch self {
        case .full, .exact: max(1, ratio.rounded(.down))
        case .topN, .scarPriority, .scarRoundRobin, .scarRandom: min(1, 1 / ratio)
        case .auto: 1e-3
        }
    }

    /// How the bytes go with the number: as its power, about.
    private var power: Double {
        switch self {
        case .full, .exact: -1
        case .topN, .scarPriority, .scarRoundRobin, .scarRandom: 1
        case .auto: -0.5
        }
    }

    /// A better number after `bytes` were measured, where `wanted` are to be.
    ///
    /// - Parameter before: an earlier number and its bytes, for the slope.
    func next(
        _ knob: Double, bytes: Double, wanted: Double, before: (knob: Double, bytes: Double)?
    ) -> Double {
        guard bytes > 0 else { return knob }
        var slope = power
        if let before, before.bytes > 0, abs(log(knob / before.knob)) > 1e-6 {
            let measured = log(bytes / before.bytes) / log(knob / before.knob)
            // A slope of the wrong sign is noise: bytes go with the number in one direction.
            if measured * power > 0.01 { slope = measured }
        }
        // At most a factor of ten at a time, however flat the slope.
        let change = max(-log(10), min(log(10), log(wanted / bytes) / slope))
        let found = knob * exp(change)
        return switch self {
        // Rounded down: the rival gets at least the budget.
        case .full, .exact: max(1, found.rounded(.down))
        case .topN, .scarPriority, .scarRoundRobin, .scarRandom: min(1, max(1e-6, found))
        case .auto: min(0.5, max(1e-9, found))
        }
    }
}

extension Calibration {
    /// Finds the numbers: each pass trains once, with all families beside the run.
    ///
    /// Rivals are set to at least the budget (0.5 % above it is aimed at), `auto` to at most that.
    static func find(
        workload: Workload, reference: Policy, seed: UInt64, steps: Int, shards: Int, passes: Int = 5
    ) throws -> Calibration {
        let subject = try Subject(workload, seed: seed)
        let budget = try bytes(of: [reference], subject, steps: steps, shards: shards)[0]
        let raw = Double(subject.model.parameterCount * 4 * (1 + workload.optimizer.slotNames.count))
        var knobs = Dictionary(
            uniqueKeysWithValues: Family.allCases.map { ($0, $0.start(ratio: raw / budget)) })
        var before: [Family: (knob: Double, bytes: Double)] = [:]
        var best: [Family: (knob: Double, distance: Double)] = [:]
        for _ in 0..<passes {
            let families = Family.allCases
            let policies = families.map { $0.policy(knobs[$0]!, block: workload.block, seed: seed) }
            let measured = try bytes(of: policies, subject, steps: steps, shards: shards)
            for (family, bytes) in zip(families, measured) {
                let knob = knobs[family]!
                let wanted = budget * (family == .auto ? 0.995 : 1.005)
                // Too few bytes for a rival, or too many for auto, count double.
                let excess = log(bytes / wanted) * (family == .auto ? 1 : -1)
                let distance = excess > 0.005 ? 2 * excess : abs(excess)
                if best[family].map({ distance < $0.distance }) ?? true { best[family] = (knob, distance) }
                knobs[family] = family.next(knob, bytes: bytes, wanted: wanted, before: before[family])
                before[family] = (knob, bytes)
            }
        }
        return Calibration(
            budget: budget,
            knobs: Dictionary(uniqueKeysWithValues: best.map { ($0.key.rawValue, $0.value.knob) }))
    }

    /// The policies to compare, `reference` last but one and `auto` last.
    func policies(_ reference: Policy, block: Int, seed: UInt64) -> [Policy] {
        var policies = Family.allCases.filter { $0 != .auto }.compactMap { family in
            knobs[family.rawValue].map { family.policy($0, block: block, seed: seed) }
        }
        policies.append(reference)
        if let error = knobs[Family.auto.rawValue] {
            policies.append(Family.auto.policy(error, block: block, seed: seed))
        }
        return policies
    }

    /// Bytes a step of each policy.
    private static func bytes(
        of policies: [Policy], _ subject: Subject, steps: Int, shards: Int
    ) throws -> [Double] {
        var run = TrainingRun(subject)
        let followers = try policies.map { try Follower($0, shards: shards, following: run) }
        for _ in 0..<steps {
            let gradient = run.gradient()
            run.apply(gradient)
            for follower in followers { try follower.follow(gradient, step: run.clock) }
        }
        return followers.map { Double($0.bytes) / Double(max($0.steps, 1)) }
    }
}

/// Three digits, without needless zeros; a power of ten where the number is small.
func short(_ value: Double) -> String { String(format: "%.3g", value) }
