import Cluster

/// Draws a drill of random faults that stay within what the cluster promises.
///
/// Invariants
/// - At most W − 1 stores are hurt at a time, and a disk only once the damage before it has been mended.
/// - Every fault that lasts is healed, and the cluster is back, before the next one.
/// - The same seed and configuration draw the same drill.
public struct Chaos {
    /// Faults that need more than an ordinary user may do; left out where this machine lacks the means.
    private static let processFaults: [FaultKind] = [.kill, .term, .pause]
    private static let linkFaults: [FaultKind] = [.cut, .delay, .limit, .reset, .halfOpen]
    private static let diskFaults: [FaultKind] = [.bitFlip, .tornTail, .misdirectedWrite, .wipe, .staleDisk]

    private let configuration: ClusterConfiguration
    private var random: DrillRandom

    public init(configuration: ClusterConfiguration, seed: UInt64) {
        self.configuration = configuration
        random = DrillRandom(seed: seed)
    }

    /// How many stores may be hurt at a time.
    private var spareStores: Int { configuration.checkpoint.writeQuorum - 1 }

    /// A drill whose rounds go on for about as long as asked; each is a fault, its healing and a proof of life.
    ///
    /// - Parameter seed: of the engine's own draws.
    public mutating func drill(minutes: Double, seed: UInt64) -> DrillFile {
        var steps: [DrillStep] = [
            step("warm up", .wait(.value(.step, .atLeast, 40, relative: false), withinMilliseconds: 60_000))
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

    /// Again, since a replica may just be behind with what was committed a moment ago.
    private static let mend =
        "for again in 1 2 3 4 5; do \"$VARVE\" checkpoints verify --repair --run-dir \"$RUN_DIR\" && exit 0; sleep 1; done; exit 1"

    private mutating func round(_ number: Int) -> [DrillStep] {
        var families = [0, 0, 1, 1]
        if spareStores > 0, configuration.cluster.stores >= 2 { families.append(2) }
        let fault: Fault?
        switch families[random.below(families.count)] {
        case 0: fault = processFault()
        case 1: fault = linkFault()
        default: fault = diskFault()
        }
        guard let fault else { return [] }
        let name = "\(number). \(fault.kind.rawValue) \(fault.targetText)"
        var steps = [step(name, .fault(fault))]
        if fault.kind.lasts {
            steps.append(step("\(number). it goes on", .pause(milliseconds: 200 + random.below(1800))))
            steps.append(step("\(number). healed", .heal(name)))
        }
        switch fault.kind {
        case .kill, .term, .tornTail, .wipe, .staleDisk:
            steps.append(step("\(number). back", .wait(.recovered, withinMilliseconds: 60_000)))
        default: break
        }
        steps.append(
            step(
                "\(number). all is well",
                .wait(.state(of: nil, "running", equal: true), withinMilliseconds: 60_000)))
        if fault.kind.family == .disk {
            // What is damaged is mended before anything else is hurt: two damages could meet in the same record.
            steps.append(
                step(
                    "\(number). damage is mended",
                    .run(
                        command: Self.mend,
                        withinMilliseconds: 120_000)))
        }
        steps.append(
            step(
                "\(number). training goes on",
                .wait(.value(.committed, .atLeast, 10, relative: true), withinMilliseconds: 60_000)))
        return steps
    }

    private mutating func node() -> NodeSelector? {
        let nodes = NodeRole.allCases.flatMap { $0.nodes(in: configuration) }.filter {
            NodeRole.of($0) != .store || spareStores > 0
        }
        return select(nodes[random.below(nodes.count)])
    }

    private func select(_ word: String) -> NodeSelector? { NodeSelector.parse([word], in: configuration).0 }

    private mutating func processFault() -> Fault? {
        let kind = Self.processFaults[random.below(Self.processFaults.count)]
        return node().map { Fault(kind: kind, target: .nodes($0)) }
    }

    private mutating func diskFault() -> Fault? {
        let kind = Self.diskFaults[random.below(Self.diskFaults.count)]
        let store = "store-\(random.below(configuration.cluster.stores))"
        guard let selector = select(store) else { return nil }
        var fault = Fault(kind: kind, target: .nodes(selector))
        fault.ageMilliseconds = 200 + random.below(1500)
        fault.count = 1 + random.below(3)
        return fault
    }

    private mutating func linkFault() -> Fault? {
        let kind = Self.linkFaults[random.below(Self.linkFaults.count)]
        let nodes = NodeRole.allCases.flatMap { $0.nodes(in: configuration) }
        // Every drawn pair is a link that is in use all the time.
        let pairs = nodes.flatMap { a in nodes.map { (a, $0) } }.filter {
            DrillChecks.talk($0.0, $0.1) && Self.isBusy($0.0, $0.1)
        }
        let (from, to) = pairs[random.below(pairs.count)]
        guard let first = select(from), let second = select(to) else { return nil }
        var fault = Fault(kind: kind, target: .links(first, second, oneWay: random.below(2) == 0))
        fault.delayMilliseconds = 1 + random.below(80)
        fault.jitterMilliseconds = random.below(40)
        fault.bytesPerSecond = (50 + random.below(500)) << 10
        return fault
    }

    private static func isBusy(_ a: String, _ b: String) -> Bool {
        // Stores speak to each other only when one has something to catch up.
        !(NodeRole.of(a) == .store && NodeRole.of(b) == .store)
    }
}
