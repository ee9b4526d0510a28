import LCCheckpoint
import Tensors

/// Restores the states of a run file step by step: the first from a base, each other from a delta on the one before.
public struct RunReader {
    /// The state after the last step that was read; nil before the first.
    public private(set) var state: CodecModel?
    /// Its digest.
    public private(set) var digest: Digest?
    private var order = RunOrder()
    private var context: FrameContext?
    private let file: String
    private let limits: FrameLimits
    private let threads: Int

    /// - Parameters:
    ///   - file: its name, for the errors' sentences.
    ///   - limits: checked before anything is allocated.
    ///   - threads: how many may work on a step.
    public init(file: String, limits: FrameLimits = .default, threads: Int = 1) {
        self.file = file
        self.limits = limits
        self.threads = threads
    }

    /// Reads the frame of the next step.
    ///
    /// - Parameters:
    ///   - isLast: no other step will be read after it.
    ///   - memory: holds the frame's bytes, and nobody changes them; nil to have them copied.
    /// - Returns: the frame.
    /// - Throws: when the frame is damaged or isn't what follows. The state must be dropped then.
    @discardableResult
    public mutating func read(
        _ bytes: UnsafeRawBufferPointer, isLast: Bool = false, keptBy memory: FileMemory? = nil
    ) throws(TensorFileError) -> Frame {
        let frame = try ModelFrames.parse(
            bytes, inheriting: context, file: file, limits: limits, keptBy: memory)
        try order.take(frame.header, file: file)
        context = try ModelFrames.apply(
            frame, to: &state, digest: digest, file: file, chained: !isLast, threads: threads)
        digest = frame.header.stateDigest
        return frame
    }
}
