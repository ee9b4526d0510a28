extension CoordinatorMachine {
    /// Where this machine stands and what it waits for, for people.
    public var stateSentence: String {
        var text =
            "\(durable.phase) epoch \(durable.epoch) line \(durable.line) committed \(durable.committedStep)"
        if let recovery {
            text +=
                "; lost \(recovery.lost.sorted()), promised \(recovery.promised.sorted()), restored \(recovery.restored.sorted())"
        }
        text += "; live \(liveness.keys.sorted().filter { liveness[$0]!.live }.map(\.description))"
        text += "; parts \(parts.keys.sorted().map { "\($0):\(parts[$0]!.keys.sorted())" })"
        if let unrecoverable { text += "; \(unrecoverable)" }
        return text
    }
}
