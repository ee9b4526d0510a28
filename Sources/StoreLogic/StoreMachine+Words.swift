extension StoreMachine {
    /// Where this machine stands and what it waits for, for people.
    public var stateSentence: String {
        "records \(index.count) newest \(newestStep) promised \(promisedEpoch) writing \(writing.count) queued \(queue.count)"
            + "; repairs \(repairs.all.keys.sorted().map { "\($0.shard)@\($0.step)" })"
            + "; inventories missing \(inventoriesMissing.sorted()); caught up \(caughtUp)"
    }
}
