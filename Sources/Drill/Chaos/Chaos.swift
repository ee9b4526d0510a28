import Cluster

/// Draws a drill of random faults that stay within what the cluster promises.
///
/// Invariants
/// - At most W − 1 stores are hurt at a time, and a disk only once the damage before it has been mended.
/// - Every fault that lasts is healed, and the cluster is back, before the next one.
/// - Every kind of fault comes once before any comes again; those that the machine or the engine lacks the means for
///   don't come.
/// - The same seed, configuration and means draw the same drill.
public struct Chaos {
    private let configuration: ClusterConfiguration
    private let engine: EngineKind
    private var random: DrillRandom
    /// Kinds that are still to come in this turn.
    private var deck: [Card] = []

    /// A kind of fault, with what makes it another one in the catalogue.
    struct Card: Hashable {
        var kind: FaultKind
        var during: KillMoment?
        var isWide = false
    }

    public init(configuration: ClusterConfiguration, seed: UInt64, engine: EngineKind = .processes) {
        self.configuration = configuration
        self.engine = engine
        random = DrillRandom(seed: seed)
    }

    /// How many stores may be hurt at a time.
    private var spareStores: Int { configuration.checkpoint.writeQuorum - 1 }

    /// A drill whose rounds go on for about as long as asked; each is a fault, its healing and a proof of life.
    ///
    /// - Parameter seed: of the engine's own draws.
    public mutating func drill(minutes: Double, seed: UInt64) -> DrillFile {
        // A second segment is there by then, so that one can disappear.
        var steps: [DrillStep] = [
            step("warm up", .wait(.value(.step, .atLeast, 400, relative: false), withinMilliseconds: 120_000))
        ]
        // A round takes some seconds; the clock of the engine, not this number, ends the drill.
        let rounds = max(1, Int(minutes * 60))
        for round in 1...rounds { steps += self.round(round) }
        var expectations = Expectations()
        let training = configuration.training
        let isExact =
            training.consistency == .bsp && configuration.checkpoint.codec.kind == .exact
            && configuration.checkpoint.slotsCodec.kind == .exact && configuration.recovery.mode == .rollback
        expectations.sameBits = isExact ? true : nil
        return DrillFile(
            path: "chaos", name: "chaos",
            about: "Random faults within the cluster's promise, for \(plain(minutes)) minutes.",
            seed: seed, timeoutMilliseconds: Int(minutes * 60_000) + 300_000, configuration: configuration,
            steps: steps, ending: .stopped, expectations: expectations,
            noNewFaultAfterMilliseconds: Int(minutes * 60_000))
    }

    private func step(_ name: String, _ action: DrillStep.Action) -> DrillStep {
        DrillStep(name: name, line: 0, action: action)
    }

    // MARK: Rounds

    private mutating func round(_ number: Int) -> [DrillStep] {
        let fault = draw()
        let name = "\(number). \(fault.kind.rawValue) \(fault.targetText)"
        func wait(_ what: String, _ condition: Condition) -> DrillStep {
            step("\(number). \(what)", .wait(condition, withinMilliseconds: 60_000))
        }
        var steps = [step(name, .fault(fault))]
        switch fault.kind {
        case .fsyncError: steps.append(wait("it stops", .event("fault", nodes: nil, count: 1)))
        default:
            if fault.kind.lasts {
                steps.append(step("\(number). it goes on", .pause(milliseconds: 200 + random.below(1600))))
            }
        }
        if fault.kind.lasts { steps.append(step("\(number). healed", .heal(name))) }
        // A coordinator that died with all others knows of none what became of it; in the simulator a disk fills up under
        // a store that lives.
        let isTold =
            fault.targetText != "every node" && (fault.kind != .diskFull || engine == .processes)
        if fault.kind.endsProcesses, isTold { steps.append(wait("back", .recovered)) }
        steps.append(wait("all is well", .state(of: nil, "running", equal: true)))
        if fault.kind.changesDisks || fault.kind == .diskFull {
            // What is damaged is mended before anything else is hurt: two damages could meet in the same record.
            steps.append(
                step("\(number). damage is mended", .verify(.mended, withinMilliseconds: 60_000)))
        }
        steps.append(wait("training goes on", .value(.committed, .atLeast, 10, relative: true)))
        return steps
    }

    // MARK: Faults

    private static let every: [Card] =
        [
            FaultKind.kill, .kill, .kill, .kill, .term, .pause, .pause, .replace, .cut, .cut, .delay, .limit,
            .reset,
            .halfOpen, .garbage, .oversize, .stalledHandshakes, .bitFlip, .tornTail, .missingSegment,
            .misdirectedWrite, .wipe, .staleDisk, .diskFull, .fsyncError, .slowFsync,
        ].map { Card(kind: $0) }
        + KillMoment.allCases.map { Card(kind: .kill, during: $0) }
        + [Card(kind: .kill, isWide: true)]

    private mutating func draw() -> Fault {
        while true {
            if deck.isEmpty { deck = Self.every.filter(isPossible) }
            let card = deck.remove(at: random.below(deck.count))
            if let fault = fault(card) { return fault }
        }
    }

    private func isPossible(_ card: Card) -> Bool {
        var fault = Fault(kind: card.kind, target: .nodes(select("coordinator")))
        fault.during = card.during
        let hurtsStores = card.kind.family == .disk || card.during == .fsync
        if hurtsStores, spareStores == 0 || configuration.cluster.stores < 2 { return false }
        return switch engine {
        case .processes: Means.lack(for: fault) == nil
        case .simulation: SimulationEngine.knows(fault)
        }
    }

    private func select(_ word: String) -> NodeSelector {
        guard let selector = NodeSelector.parse([word], in: configuration).0 else {
            preconditionFailure("'\(word)' is drawn from the nodes of this configuration")
        }
        return selector
    }

    private mutating func pick(_ roles: [NodeRole]) -> String {
        let nodes = roles.filter { $0 != .store || spareStores > 0 }.flatMap { $0.nodes(in: configuration) }
        return nodes[random.below(nodes.count)]
    }

    private mutating func fault(_ card: Card) -> Fault? {
        var fault: Fault
        switch card.kind.family {
        case .process: fault = Fault(kind: card.kind, target: .nodes(select(victim(of: card))))
        case .peer:
            fault = Fault(kind: card.kind, target: .nodes(select(pick([.coordinator, .shard, .store]))))
        case .disk: fault = Fault(kind: card.kind, target: .nodes(select(pick([.store]))))
        case .link: fault = Fault(kind: card.kind, target: link())
        }
        fault.during = card.during
        fault.record = random.below(4) == 0 ? .base : .delta
        fault.ageMilliseconds = 200 + random.below(1500)
        fault.count = 1 + random.below(3)
        fault.delayMilliseconds = 1 + random.below(80)
        fault.jitterMilliseconds = random.below(40)
        fault.bytesPerSecond = (50 + random.below(500)) << 10
        return fault
    }

    private mutating func victim(of card: Card) -> String {
        if card.isWide {
            // Every process at once, as without power; or all shards.
            return random.below(2) == 0 ? "every node" : "every shard"
        }
        switch card.during {
        case .fsync: return pick([.store])
        case .sending, .receiving: return pick([.shard])
        case nil: return card.kind == .replace ? "coordinator" : pick(NodeRole.allCases)
        }
    }

    private mutating func link() -> Fault.Target {
        let nodes = NodeRole.allCases.flatMap { $0.nodes(in: configuration) }
        // Every drawn pair is a link that is in use all the time.
        let pairs = nodes.flatMap { a in nodes.map { (a, $0) } }.filter {
            DrillChecks.talk($0.0, $0.1) && Self.isBusy($0.0, $0.1)
        }
        let (from, to) = pairs[random.below(pairs.count)]
        return .links(select(from), select(to), oneWay: random.below(2) == 0)
    }

    private static func isBusy(_ a: String, _ b: String) -> Bool {
        // Stores speak to each other only when one has something to catch up.
        !(NodeRole.of(a) == .store && NodeRole.of(b) == .store)
    }
}
