/// A phase in words, as traces and histories have it: reflection finds the same, but takes its time.
extension Phase: CustomStringConvertible {
    public var description: String {
        switch self {
        case .forming: "forming"
        case .fencing: "fencing"
        case .freezing: "freezing"
        case .restoring: "restoring"
        case .running: "running"
        case .finished: "finished"
        case .UNRECOGNIZED(let number): "UNRECOGNIZED(\(number))"
        }
    }
}
