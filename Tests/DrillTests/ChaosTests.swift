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

    /// No kind is left to luck.
    @Test func everyKindComesBeforeAnyComesAgain() throws {
        let drawn = faults(try drill(seed: 8))
        let turn = Set(drawn.prefix(40).map(\.kind))
        #expect(
            turn.isSuperset(of: [.kill, .term, .pause, .replace, .cut, .delay, .limit, .reset, .halfOpen]))
        #expect(turn.isSuperset(of: [.garbage, .oversize, .stalledHandshakes, .bitFlip, .tornTail, .wipe]))
        #expect(turn.isSuperset(of: [.missingSegment, .misdirectedWrite, .staleDisk]))
    }

    /// What a disk has lost or what was damaged is there again before the next fault.
    @Test func damageIsMendedBeforeTheNextFault() throws {
        var damaged: String?
        for step in try drill(seed: 9).steps {
            switch step.action {
            case .fault(let fault):
                #expect(damaged == nil, "\(step.name) strikes while '\(damaged ?? "")' is not mended")
                if fault.kind.changesDisks { damaged = step.name }
            case .verify(.mended, _): damaged = nil
            case .verify, .wait, .assert, .heal, .pause, .run, .parallel: break
            }
        }
    }

    @Test func timesAreTheOnesMeasured() {
        let hundred = TimeSpread((1...100).map(Double.init).shuffled())
        #expect((hundred.median, hundred.p99) == (50, 99))
        let one = TimeSpread([7])
        #expect((one.median, one.p99) == (7, 7))
        #expect(TimeSpread([]).text == "–")
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
            case .wait, .assert, .pause, .run, .verify, .parallel: break
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
