import Foundation
import Simulation
import Synchronization

/// Many seeds on several threads; which thread runs a seed changes nothing about it.
final class SimulationSweep: Sendable {
    struct Totals: Sendable {
        var seeds: UInt64 = 0
        var events = 0
        var virtualMilliseconds: UInt64 = 0
        var commits = 0
        var recoveries: UInt64 = 0
        var faults: [FaultKind: Int] = [:]
        var failures: [Outcome] = []
        /// Of all traces, in whatever order the seeds ended.
        var digest: UInt64 = 0
    }

    private struct State {
        var next: UInt64
        var isStopped = false
        var totals = Totals()
    }

    private let seeds: Range<UInt64>
    private let steps: UInt64?
    private let size: ClusterSize
    private let mutant: Mutant?
    private let digests: Bool
    private let maxFailures: Int
    private let state: Mutex<State>

    init(
        seeds: Range<UInt64>, steps: UInt64?, size: ClusterSize, mutant: Mutant?, digests: Bool,
        maxFailures: Int
    ) {
        self.seeds = seeds
        self.mutant = mutant
        self.steps = steps
        self.size = size
        self.digests = digests
        self.maxFailures = maxFailures
        state = Mutex(State(next: seeds.lowerBound))
    }

    var totals: Totals { state.withLock { $0.totals } }

    /// Begins no further seed.
    func stop() { state.withLock { $0.isStopped = true } }

    var isStopped: Bool { state.withLock { $0.isStopped } }

    /// Runs all seeds and returns when the last one has ended. `progress` is called with the number of seeds done, now
    /// and then and at the end, by this thread.
    func run(threads: Int, trace: Bool, progress: (UInt64) -> Void) {
        guard threads > 1 else {
            while runOne(trace: trace) { progress(totals.seeds) }
            return
        }
        let ended = DispatchSemaphore(value: 0)
        for index in 0..<threads {
            let thread = Thread { [self] in
                while runOne(trace: false) {}
                ended.signal()
            }
            thread.name = "seeds \(index)"
            thread.stackSize = 8 << 20
            thread.start()
        }
        var running = threads
        while running > 0 {
            if ended.wait(timeout: .now() + .milliseconds(100)) == .success { running -= 1 }
            progress(totals.seeds)
        }
    }

    private func runOne(trace: Bool) -> Bool {
        let seed = state.withLock { state -> UInt64? in
            guard !state.isStopped, state.next < seeds.upperBound, state.totals.failures.count < maxFailures
            else { return nil }
            defer { state.next += 1 }
            return state.next
        }
        guard let seed else { return false }
        var digest: UInt64 = 0
        let outcome: Outcome
        if digests {
            (outcome, digest) = Simulation.digest(seed: seed, steps: steps, mutant: mutant, size: size)
        } else if trace {
            outcome = Simulation.run(seed: seed, steps: steps, mutant: mutant, size: size) {
                print($0)
            }
        } else {
            outcome = Simulation.run(seed: seed, steps: steps, mutant: mutant, size: size)
        }
        state.withLock { state in
            state.totals.seeds += 1
            state.totals.events += outcome.events
            state.totals.virtualMilliseconds += outcome.virtualMilliseconds
            state.totals.commits += outcome.commits
            state.totals.recoveries += outcome.recoveries
            for (kind, count) in outcome.faults { state.totals.faults[kind, default: 0] += count }
            state.totals.digest &+= digest &* (2 &* seed &+ 1)
            if outcome.failure != nil { state.totals.failures.append(outcome) }
        }
        return true
    }
}
