import CoordinatorLogic
import MachineCore
import ParameterState
import ShardLogic
import StoreLogic
import Wire
import WorkerLogic

/// An action that a role asked for and that its fake engine carries out.
enum Job {
    case coordinator(CoordinatorMachine.Action)
    case shard(ShardMachine.Action)
    case store(StoreMachine.Action)
    case worker(WorkerMachine.Action)
}

/// A connection that this process keeps up.
struct Dial {
    var endpoint: String
    var connection: Int?
}

/// One process of the cluster, from its start to its death: the machine of its role and what is around it. It belongs to one
/// world, and so to one thread: accesses need no checks.
final class Process {
    let id: Int
    let place: NodeID
    let nonce: UInt64
    @exclusivity(unchecked) var clock: NodeClock
    /// How its messages are signed: as a tool until the coordinator has given it its place.
    @exclusivity(unchecked) var name: NodeID { didSet { nameText = name.description } }
    @exclusivity(unchecked) private(set) var nameText: String
    /// By which name its history goes.
    @exclusivity(unchecked) var fact = ProcessFact(node: "", incarnation: 0)
    @exclusivity(unchecked) var isAlive = true
    @exclusivity(unchecked) var isPaused = false
    /// When it ended.
    @exclusivity(unchecked) var diedAt: UInt64 = 0
    @exclusivity(unchecked) var held: [Happening] = []
    @exclusivity(unchecked) var coordinator: CoordinatorMachine?
    @exclusivity(unchecked) var shard: ShardMachine?
    @exclusivity(unchecked) var store: StoreMachine?
    @exclusivity(unchecked) var worker: WorkerMachine?
    @exclusivity(unchecked) var state: ShardState?
    /// What its machine says of itself after each event.
    @exclusivity(unchecked) private(set) var identity: Identity
    @exclusivity(unchecked) private(set) var nextDeadline: Instant?
    @exclusivity(unchecked) private(set) var dialableRevision: UInt64 = 0
    @exclusivity(unchecked) private(set) var isJoined = false
    @exclusivity(unchecked) var jobs: [Job] = []
    @exclusivity(unchecked) var isWorking = false
    @exclusivity(unchecked) var wakeAt: UInt64?
    @exclusivity(unchecked) var spins = 0
    @exclusivity(unchecked) var dials: [NodeID: Dial] = [:]
    /// The revision of `dialable` that `dials` was made from.
    @exclusivity(unchecked) var dialedRevision: UInt64?
    /// It dies after so many more effects.
    @exclusivity(unchecked) var effectsLeft: Int?
    @exclusivity(unchecked) var accepted: [NodeID: Int] = [:]
    /// Line and version of the last step that was applied here.
    @exclusivity(unchecked) var applied: (line: UInt64, version: UInt64)?
    /// Where its reader of samples stands, for a mutant.
    @exclusivity(unchecked) var reader: UInt64?

    init(id: Int, place: NodeID, clock: NodeClock) {
        self.id = id
        self.place = place
        nonce = UInt64(id) &* 0x9E37_79B9 &+ 1
        self.clock = clock
        let name = place == .coordinator ? .coordinator : NodeID(role: .tool, index: id)
        self.name = name
        nameText = name.description
        identity = Identity(node: name, run: "", incarnation: 0, epoch: 0)
    }

    var endpoint: String { "process-\(id)" }
    /// The process that listens at an endpoint.
    static func number(ofEndpoint endpoint: String) -> Int? { Int(endpoint.dropFirst("process-".utf8.count)) }

    /// What its machine says of itself now.
    func stands(_ identity: Identity, _ nextDeadline: Instant?, _ dialableRevision: UInt64) {
        self.identity = identity
        self.nextDeadline = nextDeadline
        self.dialableRevision = dialableRevision
    }

    /// It has its place, and so a machine.
    func join() {
        isJoined = true
        let machines: [(any Machine)?] = [coordinator, shard, store, worker]
        for case let machine? in machines {
            stands(machine.identity, machine.nextDeadline, machine.dialableRevision)
        }
    }

    /// Its machine is gone with it.
    func end() {
        isJoined = false
        coordinator = nil
        shard = nil
        store = nil
        worker = nil
        state = nil
    }

    // Asked of the one machine that there is: even to look for another one moves as much memory.
    var dialable: [NodeID: String] {
        switch place.role {
        case .shard: shard?.dialable ?? [:]
        case .store: store?.dialable ?? [:]
        case .worker: worker?.dialable ?? [:]
        case .coordinator, .tool: [:]
        }
    }
    /// What grows with traffic in it.
    var growing: [Held] {
        switch place.role {
        case .coordinator: coordinator?.held ?? []
        case .shard: shard?.held ?? []
        case .store: store?.held ?? []
        case .worker: worker?.held ?? []
        case .tool: []
        }
    }
    /// The connection over which a message to a node goes, if there is one.
    func route(to node: NodeID) -> Int? { dials[node]?.connection ?? accepted[node] }

    var label: String { "\(nameText)#\(id)" }
}

/// A node's monotonic clock: it starts anywhere, runs a little too fast or too slow, and may jump ahead.
///
/// Clocks of different nodes can't be compared.
struct NodeClock {
    var offset: UInt64
    /// 1024ths by which it runs too fast.
    var skew: Int

    func local(_ time: UInt64) -> UInt64 { time * UInt64(1024 + skew) / 1024 + offset }

    /// The first moment of the world at which this clock shows `local` or more.
    func world(_ local: UInt64) -> UInt64 {
        guard local > offset else { return 0 }
        let rate = UInt64(1024 + skew)
        return ((local - offset) * 1024 + rate - 1) / rate
    }
}

/// Something that the world does at a moment.
enum Happening {
    case deliver(connection: Int, from: NodeID, to: Int, Packet)
    /// A process tries to reach an endpoint.
    case dial(process: Int, target: NodeID, endpoint: String)
    case closed(connection: Int)
    /// A process sees that a connection that it dialled is gone.
    case lost(process: Int, peer: NodeID)
    case jobDone(process: Int)
    case lateSync(store: Int)
    case timer(process: Int)
    case joinAgain(process: Int)
    case start(NodeID)
    // What is large stands apart: items are moved several times until they are due.
    indirect case tellExit(NodeExited, tries: Int)
    case fault
    case resume(process: Int)
    case heal(cut: Int)
    /// A pair of places is cut once more.
    case flap(NodeID, NodeID, times: Int)
    case order
    case roomAgain(store: Int)
    /// An operator has every store read all it holds and mend what is damaged.
    case askRepair(id: UInt64)
    case inspect

    /// The process whose pause holds this back.
    var process: Int? {
        switch self {
        case .deliver(_, _, let to, _): to
        case .dial(let process, _, _), .jobDone(let process), .timer(let process), .joinAgain(let process),
            .lost(let process, _):
            process
        case .closed, .lateSync, .start, .tellExit, .fault, .resume, .heal, .flap, .order,
            .roomAgain, .askRepair, .inspect:
            nil
        }
    }
}
