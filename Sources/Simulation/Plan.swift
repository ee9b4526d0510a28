import LCCheckpoint
import MachineCore
import Training
import Wire

/// The kinds of trouble; which of them a run meets is drawn from its seed.
public enum FaultKind: String, Sendable, CaseIterable {
    case killCoordinator, killStore, killShard, killWorker, killAll
    case pause, replaceWhilePaused, loss, duplicate, slow, cut, oneWayCut, wipe, flip, diskFull, syncError
}

/// What one seed means: the cluster's shape, its settings and its trouble.
struct Plan: Sendable {
    var seed: UInt64
    var settings: RunSettings
    var elements: Int
    var codec: CodecSettings
    var optimizer: OptimizerKind
    var faults: [FaultKind]
    /// From here on nothing breaks any more, and the cluster must come home.
    var faultsEnd: UInt64
    var faultInterval: (low: Double, high: Double)
    var lossProbability: Double
    var duplicateProbability: Double
    var slowProbability: Double
    var mutant: Mutant?

    /// - Parameter onlyFaults: these and no others instead of those that the seed draws.
    init(seed: UInt64, steps: UInt64?, onlyFaults: [FaultKind]?, mutant: Mutant?) {
        self.seed = seed
        self.mutant = mutant
        var random = SimulationRandom(seed: seed &* 0xD134_2543_DE82_EF95 &+ 1)
        let stores = random.from(1...5)
        var settings = RunSettings(shards: random.from(1...4), workers: random.from(1...3), stores: stores)
        settings.replicas = random.from(1...min(stores, 3))
        settings.writeQuorum = settings.replicas / 2 + 1
        if settings.replicas > 1 && random.chance(0.15) { settings.writeQuorum = settings.replicas }
        settings.staleness = random.pick([0, 0, 0, 1, 3, nil])
        settings.steps = steps ?? UInt64(random.from(20...120))
        settings.checkpointEvery = UInt64(random.pick([1, 1, 1, 2, 4]))
        settings.baseEvery = UInt64(random.pick([4, 10, 100]))
        settings.maxLag = random.pick([1, 1, 2, 3])
        settings.partialRecovery = random.chance(0.3)
        settings.keepLast = random.pick([3, 10, 50])
        settings.keepEvery = UInt64(random.pick([0, 10, 100]))
        settings.heartbeat = .milliseconds(40)
        settings.lease = .milliseconds(400)
        settings.retry = .milliseconds(100)
        settings.mutation = mutant?.mutation
        self.settings = settings
        elements = random.from(24...200)
        codec = CodecSettings(kind: random.chance(0.5) ? .exact : .lc(bits: random.pick([2, 3, 8])))
        // The cheap coder mostly: the simulator is after decisions, and the codec has its own tests.
        codec.entropy = seed % 8 == 0 ? .best : .huffman
        optimizer = random.pick([
            .sgd(learningRate: 0.05), .sgd(learningRate: 0.05, momentum: 0.9), .adagrad(learningRate: 0.1),
            .adam(learningRate: 0.01),
        ])
        let calm = random.chance(0.06)
        let drawn = FaultKind.allCases.filter { _ in random.chance(0.35) }
        faults = onlyFaults ?? (calm ? [] : drawn)
        faultsEnd = faults.isEmpty ? 0 : random.span(800, 4000)
        faultInterval = random.pick([(20, 120), (60, 400), (200, 1200)])
        lossProbability = faults.contains(.loss) ? random.pick([0.005, 0.03, 0.1]) : 0
        duplicateProbability = faults.contains(.duplicate) ? random.pick([0.01, 0.1]) : 0
        slowProbability = faults.contains(.slow) ? random.pick([0.01, 0.05]) : 0
    }

    func range(ofShard shard: Int) -> Range<Int> {
        Placement.range(ofShard: shard, shards: settings.shards, elements: elements)
    }

    /// The parameters at version 0.
    func initialParameters(_ range: Range<Int>) -> [Float] {
        range.map { index in
            var random = SimulationRandom(seed: seed &+ 0xABCD &+ UInt64(index) &* 7919)
            return Float(random.unit() * 2 - 1)
        }
    }

    /// Where the gradient of one worker at one clock pulls one parameter.
    func target(slot: Int, clock: UInt64, element: Int) -> Float {
        let mixed = seed ^ (UInt64(slot) << 48) ^ (clock << 20) ^ UInt64(element)
        var random = SimulationRandom(seed: mixed)
        return Float(random.unit() * 4 - 2)
    }

    func gradient(slot: Int, clock: UInt64, parameters: [Float], from first: Int = 0) -> [Float] {
        parameters.indices.map { parameters[$0] - target(slot: slot, clock: clock, element: first + $0) }
    }

    var sentence: String {
        let s = settings
        let mode = s.staleness.map { $0 == 0 ? "bsp" : "ssp \($0)" } ?? "asp"
        let names = faults.map(\.rawValue).joined(separator: " ")
        return
            "\(s.shards) shards, \(s.workers) workers, \(s.stores) stores, R \(s.replicas), W \(s.writeQuorum), \(mode), "
            + "\(s.steps) steps, every \(s.checkpointEvery), base \(s.baseEvery), lag \(s.maxLag), "
            + "\(s.partialRecovery ? "partial" : "rollback"), \(codec.kind), \(optimizer), \(elements) elements; "
            + "faults until \(faultsEnd / 1_000_000) ms: \(names.isEmpty ? "none" : names)"
    }
}
