import Foundation
import Synchronization

/// On what a drill is carried out.
public enum EngineKind: String, Sendable, CaseIterable, Codable {
    /// A real cluster: processes, links and disks of this machine.
    case processes
    /// The same decisions on a virtual clock, with a network and disks that are fake.
    case simulation
}

/// A cluster that a drill hurts: how time goes by there, what it tells, and what can be done to it.
///
/// A drill calls it from one thread. What takes its time is handed back as a ``Pending`` and done while time goes by, so
/// that steps which go on at once are looked at in turn.
protocol Engine: AnyObject {
    /// Starts the cluster; returns at once.
    func start() throws
    /// Lets a few milliseconds go by.
    func pass()
    /// What the cluster has told so far, in the words of `varve up --json`.
    var events: [ClusterEvent] { get }
    /// How the run ended; nil as long as it goes on.
    var ended: RunEnd? { get }
    /// What `varve status` says; nil when nobody answers.
    func askStatus() -> Pending<ClusterStatus?>
    /// Has every store read all that it holds, and with `repair` mend it.
    func verify(repair: Bool) -> Pending<VerifyAnswer>
    func inject(_ fault: Fault, nodes: [String], pairs: [LinkPair]) -> Pending<Result<Injection, NotInjected>>
    /// Runs a command of the drill's author.
    func execute(_ command: String, withinMilliseconds: Int) -> Pending<CommandEnd>

    /// Has the run end as the drill says.
    func end(_ ending: DrillFile.Ending)
    /// Whether the last words of the run contain a text.
    func hasSaid(_ text: String) -> Bool
    /// Ends what still runs after something went wrong.
    func abandon()
    /// What can be looked at however the run ended.
    func checks() -> [CheckResult]
    /// What can be looked at only after a run that ended as it should.
    func checksOfState(_ result: inout DrillResult) -> [CheckResult]
    /// The last lines of what each node wrote down.
    var logs: [String: String] { get }
    /// Leaves nothing behind.
    func close()
}

/// How a run ended.
struct RunEnd: Sendable {
    /// As `varve up` leaves.
    var code: Int32
    var words: String
}

/// Bytes of `from` on their way to `to`.
struct LinkPair: Hashable, Sendable {
    var from: String
    var to: String
}

/// What became of a command; a nil code when it did not end in time.
struct CommandEnd: Sendable {
    var code: Int32?
    var words: String
    /// It could not even begin.
    var problem: String?
}

/// Something that is being done.
final class Pending<Value: Sendable> {
    private var look: () -> Value?
    private var value: Value?

    /// - Parameter look: what came of it, or nil as long as it goes on.
    init(_ look: @escaping () -> Value?) { self.look = look }

    convenience init(done: Value) { self.init { done } }

    /// Does it on a thread of its own.
    static func onThread(_ work: @escaping @Sendable () -> Value) -> Pending {
        let box = Box<Value>()
        let thread = Thread { box.put(work()) }
        thread.stackSize = 4 << 20
        thread.start()
        return Pending { box.value }
    }

    var done: Value? {
        if value == nil { value = look() }
        return value
    }
}

private final class Box<Value: Sendable>: Sendable {
    private let content = Mutex<Value?>(nil)
    var value: Value? { content.withLock { $0 } }
    func put(_ value: Value) { content.withLock { $0 = value } }
}

/// What `varve status --json` says.
struct ClusterStatus: Sendable {
    var state: String?
    var epoch: Double?
    var nodes: [String: Node] = [:]

    struct Node: Sendable {
        var state: String?
        var endpoint: String?
    }

    init?(json: String) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any] else {
            return nil
        }
        state = object["state"] as? String
        epoch = (object["epoch"] as? NSNumber)?.doubleValue
        for node in object["nodes"] as? [[String: Any]] ?? [] {
            guard let id = node["id"] as? String else { continue }
            nodes[id] = Node(state: node["state"] as? String, endpoint: node["endpoint"] as? String)
        }
    }
}

/// What a verification found, in the words of `varve checkpoints verify --json` or of the coordinator.
struct VerifyAnswer: Sendable {
    var corrupt = 0
    var repaired = 0
    var absent = 0
    /// Nobody answered, for this reason.
    var problem: String?

    init(problem: String) { self.problem = problem }

    init(json: String) {
        guard let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any] else {
            problem = "it said '\(json.prefix(100))'"
            return
        }
        absent = (object["absent"] as? [Any])?.count ?? 0
        let stores = (object["stores"] as? [[String: Any]] ?? []).compactMap {
            $0["report"] as? [String: Any]
        }
        for report in stores + [object] {
            corrupt += (report["corrupt"] as? [Any])?.count ?? 0
            repaired += (report["repaired"] as? NSNumber)?.intValue ?? 0
        }
    }

    var isWhole: Bool { problem == nil && absent == 0 && corrupt <= repaired }

    var sentence: String {
        if let problem { return problem }
        return "\(corrupt) damaged or missing, \(repaired) mended"
            + (absent > 0 ? ", \(counted(absent, "store")) did not answer" : "")
    }
}
