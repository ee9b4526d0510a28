extension WorkerMachine {
    /// Where this machine stands and what it waits for, for people.
    public var stateSentence: String {
        let place: String
        switch state {
        case .waiting: place = "waiting"
        case .positioning(let clocks, _): place = "positioning, heard of \(clocks.keys.sorted())"
        case .pulling(let clock, let parameters):
            place = "pulling clock \(clock), has \(parameters.keys.sorted())"
        case .computing(let clock): place = "computing clock \(clock)"
        case .pushing(let clock, _, let parameters):
            place = "pushing clock \(clock), has \(parameters.keys.sorted())"
        case .done(let clock): place = "done at clock \(clock)"
        }
        return
            "\(place) line \(line) view \(membership.view.number) \(membership.view.phase) line \(membership.view.line)"
    }
}
