import MachineCore
import Wire

/// From an instruction to a proved state: one replica after another, link by link.
extension ShardMachine {
    mutating func beginRestore(
        _ instruction: Restore, view: View, at now: Instant, into effects: inout Effects<Action>
    ) {
        let first = identity.node.index % max(replicas.count, 1)
        let restoring = Restoring(
            line: view.line, step: instruction.step, stateDigest: instruction.stateDigest,
            resumeVersion: max(view.resumeVersion, UInt64(max(instruction.step, 0))),
            sources: Array(replicas[first...] + replicas[..<first]), deadline: now)
        state = .restoring(restoring)
        gradients = [:]
        waiting = [:]
        inFlight = []
        prepared = []
        preparedResendAt = nil
        stalledSince = nil
        if instruction.step < 0 {
            effects.report(.info, "restore", "nothing is committed yet: the shard begins from the seed")
            state = .restoring(
                with(restoring) {
                    $0.deadline = Instant(nanoseconds: .max)
                    $0.isWorking = true
                })
            effects.perform(.initialize(line: view.line))
            return
        }
        effects.report(.info, "restore", "restoring step \(instruction.step) on timeline \(view.line)")
        askForChain(restoring, at: now, into: &effects)
    }

    private func with(_ value: Restoring, _ change: (inout Restoring) -> Void) -> Restoring {
        var value = value
        change(&value)
        return value
    }

    mutating func askForChain(_ known: Restoring, at now: Instant, into effects: inout Effects<Action>) {
        var restoring = known
        restoring.request = nextRequest
        nextRequest += 1
        restoring.isWorking = false
        let rounds = restoring.unanswered / max(restoring.sources.count, 1)
        restoring.deadline =
            now + Instant.Span(nanoseconds: settings.retry.nanoseconds << UInt64(min(rounds, 7)))
        state = .restoring(restoring)
        var fetch = FetchChain()
        fetch.request = restoring.request
        fetch.shard = shard
        fetch.step = UInt64(restoring.step)
        fetch.stateDigest = restoring.stateDigest
        fetch.afterStep = restoring.afterStep
        effects.send(.fetchChain(fetch), to: restoring.sources[restoring.sourceIndex])
    }

    mutating func receiveChain(
        _ answer: ChainPart, payload: Payload?, from store: NodeID, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        guard case .restoring(var restoring) = state, answer.request == restoring.request,
            !restoring.isWorking, store == restoring.sources[restoring.sourceIndex]
        else { return }
        let stated = answer.parts.reduce(UInt64(0)) { $0 &+ $1.encodedBytes }
        guard let payload, let first = answer.parts.first, stated == UInt64(payload.count) else {
            sourceFailed(
                restoring, reason: "its answer is malformed", definite: true, at: now, into: &effects)
            return
        }
        let isFirst = restoring.afterStep < 0
        if isFirst { restoring.baseStep = first.step }
        // The arithmetic has no deadline of its own: it ends by itself.
        restoring.deadline = Instant(nanoseconds: .max)
        restoring.isWorking = true
        state = .restoring(restoring)
        effects.perform(
            .restore(
                ChainLink(
                    line: restoring.line, parts: answer.parts, frames: payload, isFirst: isFirst,
                    isLast: answer.last,
                    stateDigest: restoring.stateDigest, resumeVersion: restoring.resumeVersion)))
    }

    mutating func linkRestored(
        line: UInt64, step: UInt64, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard case .restoring(var restoring) = state, restoring.line == line else { return }
        restoring.afterStep = Int64(step)
        askForChain(restoring, at: now, into: &effects)
    }

    mutating func fetchFailed(
        _ failure: FetchFailed, from store: NodeID, at now: Instant, into effects: inout Effects<Action>
    ) {
        guard case .restoring(let restoring) = state, failure.request == restoring.request,
            !restoring.isWorking
        else { return }
        sourceFailed(restoring, reason: failure.reason, definite: true, at: now, into: &effects)
    }

    /// The next replica; after the last one the coordinator is told, and the round begins again.
    mutating func sourceFailed(
        _ known: Restoring, reason: String, definite: Bool, at now: Instant,
        into effects: inout Effects<Action>
    ) {
        var restoring = known
        let source = restoring.sources[restoring.sourceIndex]
        effects.report(
            .warning, "restore", "\(source) can't give step \(restoring.step): \(reason)")
        if definite {
            restoring.definiteFailures.insert(source)
        } else {
            restoring.definiteFailures.remove(source)
            restoring.unanswered += 1
        }
        restoring.lastReason = "\(source): \(reason)"
        restoring.afterStep = -1
        restoring.request = 0
        restoring.isWorking = false
        restoring.sourceIndex += 1
        if restoring.sourceIndex == restoring.sources.count {
            restoring.sourceIndex = 0
            var failed = RestoreFailed()
            failed.line = restoring.line
            failed.step = restoring.step
            failed.reason = restoring.lastReason
            failed.definite = restoring.definiteFailures.count == restoring.sources.count
            effects.send(.restoreFailed(failed), to: .coordinator)
            restoring.deadline = now + settings.retry
            state = .restoring(restoring)
        } else {
            state = .restoring(restoring)
            askForChain(restoring, at: now, into: &effects)
        }
    }
}
