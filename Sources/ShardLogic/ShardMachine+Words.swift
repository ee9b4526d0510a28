extension ShardMachine {
    /// Where this machine stands and what it waits for, for people.
    public var stateSentence: String {
        let place: String
        switch state {
        case .waiting: place = "waiting"
        case .restoring(let restoring):
            place =
                "restoring \(restoring.step) from \(restoring.sources[restoring.sourceIndex]): \(restoring.lastReason)"
        case .ready: place = "ready"
        }
        let held = gradients.keys.sorted().map { "\($0):\(gradients[$0]!.keys.sorted())" }
        return "\(place) line \(line) version \(version) view \(view.number) \(view.phase) line \(view.line)"
            + "; gradients \(held); in flight \(inFlight.map(\.part.step)) acks \(inFlight.map { $0.acks.sorted() })"
            + "; prepared \(prepared.map(\.step)); applying \(isApplying) encoding \(isEncoding)"
            + "; waiting \(waiting.sorted { $0.key < $1.key })"
    }
}
