import CoordinatorLogic
import Invariants
import MachineCore
import StoreLogic
import Wire

/// A whole cluster on a virtual clock: processes, network, disks, the coordinator's database and the trouble.
final class World {
    struct Connection {
        var dialer: Int
        var acceptor: Int
        var isOpen = true
        /// The latest arrival in each direction: what is sent later arrives later.
        var lastToDialer: UInt64 = 0
        var lastToAcceptor: UInt64 = 0
        private var toDialer = 0
        private var toAcceptor = 0

        init(dialer: Int, acceptor: Int) {
            self.dialer = dialer
            self.acceptor = acceptor
        }

        /// Messages that were sent and not taken yet.
        func underWay(_ towardsAcceptor: Bool) -> Int { towardsAcceptor ? toAcceptor : toDialer }

        mutating func countUnderWay(_ towardsAcceptor: Bool, _ change: Int) {
            if towardsAcceptor { toAcceptor += change } else { toDialer += change }
        }

        /// When a message that could arrive at `earliest` does.
        mutating func book(_ towardsAcceptor: Bool, at earliest: UInt64) -> UInt64 {
            countUnderWay(towardsAcceptor, 1)
            let at = max(earliest, (towardsAcceptor ? lastToAcceptor : lastToDialer) + 1)
            if towardsAcceptor { lastToAcceptor = at } else { lastToDialer = at }
            return at
        }
    }

    struct Cut {
        var a: NodeID
        var b: NodeID
        var isOneWay: Bool
        /// Nothing passes when there is none.
        var delay: UInt64?

        func covers(_ from: NodeID, _ to: NodeID) -> Bool {
            (a == from && b == to) || (!isOneWay && a == to && b == from)
        }
    }

    // A world belongs to one thread, and those whom it tells of answers and decisions don't change it. What every event looks
    // at is therefore accessed without the checks for overlapping accesses, a twentieth of the time.
    @exclusivity(unchecked) var plan: Plan
    let trace: ((String) -> Void)?
    @exclusivity(unchecked) var random: SimulationRandom
    @exclusivity(unchecked) var now: UInt64 = 0
    @exclusivity(unchecked) var queue = EventQueue<Happening>()
    @exclusivity(unchecked) var processes: [Process] = []
    @exclusivity(unchecked) var connections: [Connection] = []
    @exclusivity(unchecked) var cuts: [Int: Cut] = [:]
    var nextCut = 0
    @exclusivity(unchecked) var disks: [FakeDisk]
    /// Copies of disks that may come back.
    var oldCopies: [Int: FakeDisk] = [:]
    /// What hurt disks held and have to hold again before another one may be hurt.
    var debts: [Int: [StoreMachine.Key: Part]] = [:]
    /// Steps that an operator was told are pinned.
    var pinned: Set<UInt64> = []
    var orderSteps: [UInt64: (kind: OrderKind, step: UInt64)] = [:]
    var nextOrder: UInt64 = 1_000_000
    var wasStopped = false
    var database = FakeDatabase()
    var checkers: DiskCheckers
    @exclusivity(unchecked) var invariants: InvariantSuite
    /// When the coordinator last heard each node's heartbeat.
    @exclusivity(unchecked) var heard: [NodeID: (coordinator: Int, incarnation: UInt64, at: UInt64)] = [:]
    /// Since when the coordinator has been running without a pause.
    var coordinatorSince: UInt64 = 0
    @exclusivity(unchecked) var failure: String?
    @exclusivity(unchecked) var isDone = false
    /// What the operator is told, by which process; and what every process decides.
    var onAnswer: ((Envelope.OneOf_Body, Process) -> Void)?
    var onDecision: ((Decision, Process) -> Void)?
    @exclusivity(unchecked) var events = 0
    var firedFaults: [FaultKind: Int] = [:]
    @exclusivity(unchecked) var currentCoordinator = -1
    var isCalm: Bool { now >= plan.faultsEnd }

    init(plan: Plan, trace: ((String) -> Void)?) {
        self.plan = plan
        self.trace = trace
        random = SimulationRandom(seed: plan.seed &+ 77)
        disks = Array(repeating: FakeDisk(), count: plan.settings.stores)
        checkers = DiskCheckers(plan: plan)
        invariants = InvariantSuite(
            RunFacts(plan.settings, isExact: plan.isExact), order: .causal)
        for place in places { queue.add(.start(place), at: random.span(0, 30)) }
        if !plan.faults.isEmpty { queue.add(.fault, at: random.span(100, 600)) }
        if !plan.orders.isEmpty { queue.add(.order, at: random.span(50, 400)) }
        queue.add(.inspect, at: 50_000_000)
    }

    var places: [NodeID] {
        [NodeID.coordinator] + (0..<plan.settings.stores).map { .store($0) }
            + (0..<plan.settings.shards).map { .shard($0) } + (0..<plan.settings.workers).map { .worker($0) }
    }

    /// After this the cluster has to be done.
    var liveBound: UInt64 { plan.faultsEnd + 30_000_000_000 + plan.settings.steps * 100_000_000 }

    func fail(_ sentence: String) {
        if failure == nil {
            failure = "\(milliseconds): \(sentence)"
            say("FAILURE \(sentence)")
        }
    }

    var milliseconds: String {
        let thousandths = now / 1000 % 1000
        return "\(now / 1_000_000)." + String(repeating: "0", count: 3 - String(thousandths).count)
            + "\(thousandths) ms"
    }

    func say(_ text: @autoclosure () -> String) {
        if let trace { trace("\(milliseconds)  \(text())") }
    }

    func run() {
        while failure == nil, !isDone, let at = queue.nextTime, let item = queue.next() {
            now = at
            events += 1
            if events > 5_000_000 { return fail("live: 5 million events without an end") }
            happen(item)
        }
    }

    func happen(_ item: Happening) {
        if let id = item.process {
            let process = processes[id]
            guard process.isAlive else { return }
            if process.isPaused {
                process.held.append(item)
                return
            }
        }
        switch item {
        case .deliver(let connection, let sender, let to, let packet):
            connections[connection].countUnderWay(connections[connection].acceptor == to, -1)
            guard connections[connection].isOpen else { return }
            deliver(packet, over: connection, from: sender, to: processes[to])
        case .dial(let id, let target, let endpoint): dial(processes[id], target, endpoint)
        case .closed(let connection): close(connection)
        case .lost(let id, let peer): tell(processes[id], .disconnected(peer))
        case .jobDone(let id): finishJob(processes[id])
        case .lateSync(let store): disks[store].sync()
        case .timer(let id):
            let process = processes[id]
            guard process.wakeAt == now else { return }
            process.wakeAt = nil
            tell(process, .tick)
        case .joinAgain(let id): sendJoin(processes[id])
        case .start(let place): start(place)
        case .tellExit(let exit, let tries): tellExit(exit, tries: tries)
        case .fault: makeTrouble()
        case .resume(let id): resume(processes[id])
        case .heal(let cut): cuts[cut] = nil
        case .flap(let a, let b, let times): flap(a, b, times: times)
        case .order: giveOrder()
        case .roomAgain(let store): disks[store].isFull = false
        case .askRepair(let id): askRepair(id)
        case .inspect: inspect()
        }
    }

    // MARK: Processes

    func live(_ place: NodeID) -> [Process] { processes.filter { $0.isAlive && $0.place == place } }

    func start(_ place: NodeID) {
        guard live(place).allSatisfy(\.isPaused) else { return }
        let skew = plan.clockSkew == 0 ? 0 : random.from(-plan.clockSkew...plan.clockSkew)
        let process = Process(
            id: processes.count, place: place,
            clock: NodeClock(offset: random.span(0, 1_000_000), skew: skew))
        if skew != 0 { count(.clockSkew) }
        processes.append(process)
        say("\(place)#\(process.id) starts")
        if place == .coordinator {
            database.leader = process.id
            let old = currentCoordinator
            currentCoordinator = process.id
            coordinatorSince = now
            process.coordinator = CoordinatorMachine(
                run: "sim", settings: plan.settings, configuration: "", state: database.state,
                manifests: database.manifests.keys.sorted().map { database.manifests[$0]! },
                now: instant(of: process))
            begin(process, process.coordinator!.beginnings)
            leave(old)
            tell(process, .tick)
        } else {
            process.dials[.coordinator] = Dial(endpoint: "coordinator", connection: nil)
            queue.add(
                .dial(process: process.id, target: .coordinator, endpoint: "coordinator"),
                at: now + random.span(0.2, 2))
        }
    }

    /// Nodes go over to a new coordinator; what the old one still has to say can reach them.
    private func leave(_ old: Int) {
        guard old >= 0, processes[old].isAlive else { return }
        for process in processes where process.isAlive {
            guard let dial = process.dials[.coordinator], let connection = dial.connection,
                connections[connection].acceptor == old
            else { continue }
            process.dials[.coordinator]?.connection = nil
            queue.add(.lost(process: process.id, peer: .coordinator), at: now + random.span(0.1, 2))
            redial(process, .coordinator)
        }
    }

    func kill(_ process: Process, cause: String) {
        guard process.isAlive else { return }
        say("\(process.label) dies: \(cause)")
        process.isAlive = false
        process.diedAt = now
        process.isPaused = false
        if let job = process.jobs.first, case .coordinator(let action) = job, random.chance(0.5) {
            // The transaction reached the disk before its process died.
            _ = persist(action, by: process)
        }
        if process.place.role == .store { crashDisk(of: process) }
        let isHalfOpen = plan.faults.contains(.halfOpen) && !isCalm && random.chance(0.5)
        for connection in connections.indices
        where connections[connection].isOpen
            && (connections[connection].dialer == process.id
                || connections[connection].acceptor == process.id)
        {
            if isHalfOpen { count(.halfOpen) }
            queue.add(
                .closed(connection: connection),
                at: now + (isHalfOpen ? random.span(100, 2500) : random.span(0.1, 5)))
        }
        process.end()
        queue.add(.start(process.place), at: now + random.span(10, 200))
        var exit = NodeExited()
        exit.node = process.isJoined ? process.name.description : process.place.description
        exit.pid = UInt32(process.id)
        exit.cause = cause
        if process.place == .coordinator || random.chance(0.8) {
            queue.add(.tellExit(exit, tries: 4), at: now + random.span(1, 30))
        }
    }

    private func tellExit(_ exit: NodeExited, tries: Int) {
        guard tries > 0, currentCoordinator >= 0 else { return }
        let coordinator = processes[currentCoordinator]
        guard coordinator.isAlive, !coordinator.isPaused else {
            queue.add(.tellExit(exit, tries: tries - 1), at: now + random.span(50, 250))
            return
        }
        var told = exit
        told.ageMilliseconds = Double(now - processes[Int(exit.pid)].diedAt) / 1e6
        let tool = NodeID(role: .tool, index: 0)
        tell(coordinator, .message(Packet(.nodeExited(told), from: tool.description), from: tool))
    }

    private func askRepair(_ id: UInt64) {
        queue.add(.askRepair(id: id + 1), at: now + 4_000_000_000)
        ask("repair", id: id)
    }

    func pause(_ process: Process, milliseconds: (Double, Double)) {
        guard process.isAlive, !process.isPaused else { return }
        say("\(process.label) is paused")
        process.isPaused = true
        queue.add(.resume(process: process.id), at: now + random.span(milliseconds.0, milliseconds.1))
    }

    func resume(_ process: Process) {
        guard process.isAlive, process.isPaused else { return }
        say("\(process.label) wakes")
        process.isPaused = false
        if process.id == currentCoordinator { coordinatorSince = now }
        let held = process.held
        process.held = []
        // Its timers are seen first, or last: both orders happen.
        if random.chance(0.5) { tell(process, .tick) }
        for item in held where failure == nil {
            if case .timer = item { process.wakeAt = nil } else { happen(item) }
        }
        if process.isAlive { tell(process, .tick) }
    }

    func instant(of process: Process) -> Instant { Instant(nanoseconds: process.clock.local(now)) }
}
