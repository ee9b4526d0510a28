import LCCheckpoint
import MachineCore
import ParameterState
import Training
import Wire

/// What one seed means: the cluster's shape, its settings, its trouble and what an operator orders meanwhile.
struct Plan: Sendable {
    var seed: UInt64
    var settings: RunSettings
    var elements: Int
    var codec: CodecSettings
    var slotCodec: CodecSettings
    /// What a delta brings up to date; nil: everything.
    var selection: PartialSelection?
    var optimizer: OptimizerKind
    var faults: [FaultKind]
    /// From here on nothing breaks any more, and the cluster must come home.
    var faultsEnd: UInt64
    var faultInterval: (low: Double, high: Double)
    var lossProbability: Double
    var duplicateProbability: Double
    var slowProbability: Double
    /// Messages that may be under way in one direction of a connection; more are dropped, as by a full queue.
    var linkCapacity: Int
    /// Milliseconds that a gradient takes, at most: so that training lasts as long as the trouble.
    var pace: Double
    var orders: [OrderKind]
    /// Clocks run this many 1024ths too fast or too slow, at most.
    var clockSkew: Int
    var mutant: Mutant?
    /// Stores fetch few records at a time, and tell of few in one answer.
    var storesAreNarrow: Bool { seed % 5 == 3 }

    /// - Parameters:
    ///   - onlyFaults: these and no others instead of those that the seed draws.
    ///   - size: small clusters only, or whatever the seed draws.
    init(
        seed: UInt64, steps: UInt64?, onlyFaults: [FaultKind]?, mutant: Mutant?, size: ClusterSize = .any
    ) {
        self.seed = seed
        self.mutant = mutant
        var random = SimulationRandom(seed: seed &* 0xD134_2543_DE82_EF95 &+ 1)
        settings = Self.settings(size, &random)
        settings.mutation = mutant?.mutation
        let places = settings.shards * settings.workers
        let most = random.chance(0.1) ? 120 : 24
        settings.steps = steps ?? UInt64(random.from(4...max(8, most / (1 + places / 8))))
        elements = random.from(settings.shards...max(settings.shards, 64))
        let kind: CodecSettings.Kind = random.pick([
            .exact, .exact, .lc(bits: random.pick([2, 3, 8])), .lc(bits: nil),
            .auto(error: random.pick([1e-3, 1e-2, 0.2])),
        ])
        // The cheap coder mostly: the simulator is after decisions, and the codec has its own tests.
        codec = CodecSettings(
            kind: kind, entropy: random.chance(0.95) ? .huffman : random.pick([.quick, .best]))
        slotCodec = codec
        if codec.entropy != .huffman && steps == nil { settings.steps = min(settings.steps, 8) }
        optimizer = random.pick([
            .sgd(learningRate: 0.05), .sgd(learningRate: 0.05, momentum: 0.9), .adagrad(learningRate: 0.1),
            .adam(learningRate: 0.01),
        ])
        let calm = random.chance(0.06)
        let often = random.pick([0.1, 0.25, 0.5])
        let drawn = FaultKind.allCases.filter { _ in random.chance(often) }
        faults = onlyFaults ?? (calm ? [] : drawn)
        faultsEnd = faults.isEmpty ? 0 : random.span(200, random.pick([700, 1400, 2800]))
        faultInterval = random.pick([(10, 80), (40, 300), (150, 900)])
        lossProbability = faults.contains(.loss) ? random.pick([0.005, 0.03, 0.1]) : 0
        duplicateProbability = faults.contains(.duplicate) ? random.pick([0.01, 0.1]) : 0
        slowProbability = faults.contains(.slow) ? random.pick([0.01, 0.05]) : 0
        linkCapacity = faults.contains(.fullLink) ? random.pick([3, 8, 32]) : .max
        pace = faults.isEmpty ? 1.5 : max(1.5, Double(faultsEnd) / 1e6 / Double(settings.steps))
        if random.chance(0.3) { pace = 1.5 }
        orders =
            faults.isEmpty || random.chance(0.6) ? [] : OrderKind.allCases.filter { _ in random.chance(0.5) }
        clockSkew = faults.contains(.clockSkew) ? random.pick([1, 10, 51]) : 0
        drawPolicy()
    }

    /// Policies of checkpoints that seeds did not know at first. They come from numbers of their own, so that every other
    /// seed means what it always did.
    private mutating func drawPolicy() {
        var random = SimulationRandom(seed: seed &* 0x9FB2_1C65_1E98_DF25 &+ 386)
        switch random.unit() {
        case ..<0.06: selection = PartialSelection(rule: .topN, fraction: random.pick([0.05, 0.3, 1]))
        case ..<0.12:
            let order: PartialSelection.Order =
                random.pick([.priority, .roundRobin, .random(seed: seed)])
            selection = PartialSelection(
                rule: .blocks(size: random.pick([1, 4, 16]), order), fraction: random.pick([0.05, 0.3, 1]))
        case ..<0.18:
            slotCodec.kind = random.pick([.exact, .lc(bits: 3), .auto(error: random.pick([1e-2, 0.2]))])
        default: return
        }
        if selection != nil {
            codec.kind = .exact
            slotCodec.kind = .exact
        }
    }

    /// Whether a restore yields the very bits that were there.
    var isExact: Bool { codec.kind == .exact && slotCodec.kind == .exact && selection == nil }

    func state(ofShard shard: Int) -> ShardState {
        ShardState(
            range: range(ofShard: shard), optimizer: optimizer, codec: codec, slotCodec: slotCodec,
            selection: selection, checkpointEvery: settings.checkpointEvery)
    }

    private static func settings(_ size: ClusterSize, _ random: inout SimulationRandom) -> RunSettings {
        // Small clusters most often: they are fast, and few mistakes need more.
        let shape = random.unit()
        let (shards, workers, stores): (ClosedRange<Int>, ClosedRange<Int>, ClosedRange<Int>)
        switch size {
        case .small: (shards, workers, stores) = (1...2, 1...2, 1...3)
        case .any:
            if shape < 0.6 {
                (shards, workers, stores) = (1...2, 1...2, 1...3)
            } else if shape < 0.9 {
                (shards, workers, stores) = (1...4, 1...3, 1...5)
            } else {
                (shards, workers, stores) = (1...16, 1...8, 1...7)
            }
        }
        var settings = RunSettings(
            shards: random.from(shards), workers: random.from(workers), stores: random.from(stores))
        let stored = settings.stores
        settings.replicas = random.chance(0.8) ? min(stored, random.from(1...3)) : random.from(1...stored)
        settings.writeQuorum = settings.replicas / 2 + 1
        if random.chance(0.15) { settings.writeQuorum = settings.replicas }
        if random.chance(0.05) { settings.writeQuorum = random.from(1...settings.replicas) }
        settings.staleness = random.pick([0, 0, 0, 1, 3, nil])
        settings.checkpointEvery = UInt64(random.pick([1, 1, 1, 1, 2, 2, 4, 7, 0]))
        settings.baseEvery = UInt64(random.pick([1, 4, 10, 100]))
        settings.maxLag = random.pick([1, 1, 2, 3])
        settings.partialRecovery = random.chance(0.3)
        settings.keepLast = random.pick([1, 3, 10, 50])
        settings.keepEvery = UInt64(random.pick([0, 10, 100]))
        settings.heartbeat = .milliseconds(40)
        settings.lease = .milliseconds(400)
        settings.retry = .milliseconds(100)
        return settings
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

    private var policy: String {
        (selection.map { " \($0.rule) of \($0.fraction)" } ?? "")
            + (slotCodec == codec ? "" : ", slots \(slotCodec.kind)")
    }

    var sentence: String {
        let s = settings
        let mode = s.staleness.map { $0 == 0 ? "bsp" : "ssp \($0)" } ?? "asp"
        let names = faults.map(\.rawValue).joined(separator: " ")
        let ordered = orders.map(\.rawValue).joined(separator: " ")
        return
            "\(s.shards) shards, \(s.workers) workers, \(s.stores) \(storesAreNarrow ? "narrow " : "")stores, R \(s.replicas), W \(s.writeQuorum), \(mode), "
            + "\(s.steps) steps, every \(s.checkpointEvery), base \(s.baseEvery), lag \(s.maxLag), "
            + "keep \(s.keepLast)/\(s.keepEvery), \(s.partialRecovery ? "partial" : "rollback"), "
            + "\(codec.kind) \(codec.entropy)\(policy), \(optimizer), \(elements) elements; "
            + "faults until \(faultsEnd / 1_000_000) ms: \(names.isEmpty ? "none" : names)"
            + (ordered.isEmpty ? "" : "; orders: \(ordered)")
    }
}
