import MachineCore

/// Holds a history against the promises; knows nothing of how the roles keep them.
///
/// Facts of one process must come in their order, processes of one node in the order of their incarnations. In `causal`
/// order, causes also come before what they lead to, whichever process they belong to: then a fact whose cause is
/// missing is found at once, and every disk that is taken away is told of. In `perProcess` order it is found when `settle` is called after
/// the last fact, and a disk with nothing on it counts as another one.
public struct InvariantSuite: Sendable {
    public enum Order: Sendable { case causal, perProcess }

    public private(set) var findings = Findings()
    private let order: Order
    private var stores: StoreChecker
    private var commits: CommitChecker
    private var appends: AppendChecker
    private var gradients: GradientChecker
    private var restores: RestoreChecker

    public init(_ run: RunFacts, order: Order) {
        self.order = order
        stores = StoreChecker(hearsOfFaults: order == .causal)
        commits = CommitChecker(run: run)
        appends = AppendChecker(run: run)
        gradients = GradientChecker(run: run)
        restores = RestoreChecker(run: run)
    }

    public mutating func observe(_ record: HistoryRecord) {
        let process = record.process
        switch record.what {
        case .opened, .writing, .synced, .acknowledged, .promised, .compacting:
            stores.observe(record.what, of: process, &findings)
        case .led, .persisting, .persisted, .announced: commits.observe(record.what, of: process, &findings)
        case .appended, .heard: appends.observe(record.what, of: process, &findings)
        case .computed: gradients.observe(record.what, of: process, &findings)
        case .progress, .fencing, .restoring: break
        case .began, .applied:
            appends.observe(record.what, of: process, &findings)
            gradients.observe(record.what, of: process, &findings)
        case .alarm(let kind, let sentence):
            findings.fail(
                Invariant(rawValue: kind) ?? .durable, "\(process.node) reports \(kind): \(sentence)")
        case .fault: stores.observe(record.what, of: process, &findings)
        }
        restores.observe(record.what, of: process, &findings)
        if order == .causal { settle() }
    }

    /// What lacks its cause in all that was observed.
    public mutating func settle() {
        stores.settle(committed: commits.committed, &findings)
        commits.settle(holders: stores.holders, &findings)
        gradients.settle(&findings)
        restores.settle(diskWasHurt: stores.diskWasHurt, &findings)
    }
}
