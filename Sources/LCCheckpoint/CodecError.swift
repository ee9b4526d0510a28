/// Why a frame can't be written or read: one kind to decide by, one sentence to show.
public struct CodecError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What went wrong, to decide by.
    public enum Kind: Hashable, Sendable {
        /// The bytes are no frame, are cut short, or contradict themselves.
        case malformed
        /// A version, flag, codec or coder that this reader doesn't know.
        case unsupported
        /// The checksum over the frame's bytes doesn't hold.
        case checksumMismatch
        /// The frame builds on another state than the one at hand.
        case baseMismatch
        /// Names, formats or element counts differ from those of the state at hand.
        case layoutMismatch
        /// What was reconstructed isn't what the frame promises. The state must be dropped.
        case stateMismatch
        /// A size is beyond the limits that were set.
        case limitExceeded
        /// The caller asked for something that the codec doesn't do.
        case invalidArgument
        /// A source of bytes failed.
        case unreadable
        /// A sink of bytes failed.
        case unwritable
    }

    /// What went wrong, to decide by.
    public let kind: Kind
    /// One sentence that says it, without a full stop.
    public let message: String

    /// An error of a kind, with its sentence.
    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The sentence.
    public var description: String { message }
}

extension CodecError {
    static func malformed(_ message: String) -> CodecError { CodecError(.malformed, message) }
}
