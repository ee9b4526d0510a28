/// Why a data set can't be used; each case maps to its own exit code.
public enum DataError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file or folder isn't there or can't be read (exit 66).
    case missing(String)
    /// A file is there and its content isn't what it should be (exit 65).
    case malformed(String)
    /// The data is sound but doesn't go with the model or the training settings (exit 78).
    case unsuitable(String)

    /// One sentence that says what is wrong, where, and what to do.
    public var description: String {
        switch self {
        case .missing(let text), .malformed(let text), .unsuitable(let text): text
        }
    }
}
