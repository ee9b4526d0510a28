import LCCheckpoint
import Tensors

/// In what order a run's frames stand: a base of step 0, then a delta for each step, on the state of the step before it.
public struct RunOrder: Sendable {
    /// Frames that were met.
    public private(set) var count = 0
    private var digest: Digest?

    public init() {}

    /// Takes the next frame.
    ///
    /// - Parameter file: its name, for the error's sentence.
    /// - Throws: when it isn't what follows.
    public mutating func take(_ header: FrameHeader, file: String) throws(TensorFileError) {
        guard header.step == UInt64(count), (header.kind == .base) == (count == 0) else {
            throw TensorFileError(
                .malformed,
                "\(file) is damaged: its frame \(count) is a \(header.kind) of step \(header.step)")
        }
        guard header.baseDigest == digest else {
            throw TensorFileError(
                .malformed, "\(file) is damaged: its frame \(count) doesn't build on the one before it")
        }
        digest = header.stateDigest
        count += 1
    }
}
