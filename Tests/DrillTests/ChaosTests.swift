import Cluster
import Testing

@testable import Drill

@Suite struct ChaosTests {
    private func drill(seed: UInt64, stores: Int = 3) throws -> DrillFile {
        let configuration = try ClusterConfiguration.parse(
            yaml: "cluster: {shards: 2, workers: 2, stores: \(stores)}\n", file: "c.yaml")
        var chaos = Chaos(configuration: configuration, seed: seed)
        return chaos.drill(minutes: 1, seed: seed)
    }

    private func faults(_ drill: DrillFile) -> [Fault] {
        drill.steps.compactMap { step in
            if case .fault(let fault) = step.action { return fault }
            return nil
        }
    }

    private func words(_ drill: DrillFile) -> [String] {
        faults(drill).map { "\($0.kind.rawValue) \($0.targetText) \($0.delayMilliseconds)" }
    }

    @Test func aSeedDrawsTheSameFaults() throws {
        let first = words(try drill(seed: 3))
        #expect(first.count > 30)
        #expect(first == words(try drill(seed: 3)))
        #expect(first != words(try drill(seed: 4)))
    }

    @Test func everyLastingFaultIsHealedBeforeTheNext() throws {
        var open: String?
        for step in try drill(seed: 5).steps {
            switch step.action {
            case .fault(let fault):
                #expect(open == nil, "\(step.name) strikes while '\(open ?? "")' goes on")
                open = fault.kind.lasts ? step.name : nil
            case .heal(let name):
                #expect(name == open)
                open = nil
            case .wait, .assert, .pause, .run, .parallel: break
            }
        }
        #expect(open == nil)
    }

    /// With one store there is none to spare: neither it nor its disk may be hurt.
    @Test func withoutASpareStoreNoneIsHurt() throws {
        for fault in faults(try drill(seed: 6, stores: 1)) {
            #expect(fault.kind.family != .disk)
            if case .nodes(let nodes) = fault.target { #expect(!nodes.text.hasPrefix("store")) }
        }
    }
}
