import LCCheckpoint
import MachineCore
import Wire

extension WorkerMachine {
    public var beginnings: [Observation] { [] }

    public func observations(of event: Event<Completion>, _ effects: [Effect<Action>]) -> [Observation] {
        var facts: [Observation] = []
        if case .completed(.computed(let line, let clock, _, let gradient)) = event {
            let slices = ranges.map { range in
                gradient.slice(range.lowerBound * 4..<range.upperBound * 4).withBytes {
                    Digest.of($0).description
                }
            }
            facts.append(.computed(line: line, clock: clock, slices: slices))
        }
        for effect in effects { if let alarm = effect.alarm { facts.append(alarm) } }
        return facts
    }

    /// What grows with traffic here.
    public var held: [Held] { [Held("losses", losses.count, limit: 1024)] }
}
