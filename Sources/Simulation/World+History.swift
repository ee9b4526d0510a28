import CoordinatorLogic
import Invariants
import MachineCore
import Wire

/// What happens, told to the checkers of the promises.
extension World {
    /// A process has its machine.
    func begin(_ process: Process, _ facts: [Observation]) {
        process.join()
        process.fact = ProcessFact(node: process.name.description, incarnation: process.identity.incarnation)
        for case .led(let epoch, _) in facts { process.fact.incarnation = epoch }
        took(facts, of: process)
    }

    func took(_ facts: [Observation], of process: Process) {
        for fact in facts {
            invariants.observe(HistoryRecord(process: process.fact, at: now, what: fact))
        }
        if !facts.isEmpty, let violation = invariants.findings.violations.first { fail("\(violation)") }
    }

    /// Something was done to a disk that no process did.
    func diskFault(_ kind: String, _ store: Int) {
        let node = NodeID.store(store).description
        invariants.observe(
            HistoryRecord(
                process: ProcessFact(node: node, incarnation: 0), at: now,
                what: .fault(kind: kind, node: node)))
    }

    /// `live`: the coordinator counts nobody as alive whose lease has ended.
    func overdueSilence() -> String? {
        guard currentCoordinator >= 0 else { return nil }
        let process = processes[currentCoordinator]
        guard process.isAlive, !process.isPaused, let machine = process.coordinator else { return nil }
        for (node, incarnation) in machine.countedAlive {
            guard let last = heard[node], last.coordinator == process.id, last.incarnation == incarnation
            else { continue }
            let silentSince = max(last.at, coordinatorSince)
            if now > silentSince + plan.settings.lease.nanoseconds + 250_000_000 {
                return
                    "live: \(node) was last heard \((now - last.at) / 1_000_000) ms ago, and counts as alive"
            }
        }
        return nil
    }

    /// `bounded-memory`: nothing that grows with traffic grows beyond its limit.
    func brokenLimit() -> String? {
        for process in processes where process.isAlive {
            if let over = process.growing.first(where: { $0.count > $0.limit }) {
                return
                    "bounded-memory: \(process.label) holds \(over.count) \(over.what), limit \(over.limit)"
            }
        }
        return nil
    }
}
