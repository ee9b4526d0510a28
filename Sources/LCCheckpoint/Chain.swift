/// Writes the states of one vector as a chain of frames: the first exactly, each other as a delta against what a
/// restore of the one before yields.
///
/// Store the frames in order, for example end to end in a file, where `Frame.claimedByteCount` finds their ends. For
/// states of several sections, other formats, or metadata, use `FrameEncoder` itself.
///
///     var writer = ChainWriter(settings: CodecSettings(kind: .lc(bits: 3)))
///     let base = try writer.append(weights.span, step: 0)
///     // … a training step changes `weights` …
///     let delta = try writer.append(weights.span, step: 1)
public struct ChainWriter: Sendable {
    /// How deltas are encoded. May change from frame to frame.
    public var settings: CodecSettings
    /// How many threads may work on a frame.
    public var threads: Int
    /// What a restore of the last frame yields; empty before the first.
    public private(set) var reconstruction: [Float] = []

    private let name: String
    private var digest: Digest?
    private var context: FrameContext?

    /// - Parameter name: what the vector is called in the frames.
    public init(name: String = "values", settings: CodecSettings, threads: Int = 1) {
        self.name = name
        self.settings = settings
        self.threads = threads
    }

    /// Goes on with a chain that was read to its end: the next frame is a delta on what the reader has.
    public init(continuing reader: ChainReader, settings: CodecSettings, threads: Int = 1) throws(CodecError)
    {
        guard let section = reader.section else {
            throw CodecError(.invalidArgument, "there is no chain to continue: the reader has read no frame")
        }
        self.init(name: section.name, settings: settings, threads: threads)
        reconstruction = reader.values
        digest = reader.digest
        context = reader.context
    }

    /// Encodes the vector's next state.
    ///
    /// - Parameters:
    ///   - values: as many as at the first call.
    ///   - step: a number for the caller's use; the frame carries it.
    /// - Throws: when the number of values changes. The chain is as before then.
    /// - Complexity: O(n), at about the speed of memory where few values change much.
    public mutating func append(_ values: Span<Float>, step: UInt64) throws(CodecError) -> EncodedFrame {
        if digest == nil { reconstruction = [Float](repeating: 0, count: values.count) }
        guard values.count == reconstruction.count else {
            throw CodecError(
                .layoutMismatch, "the chain has \(reconstruction.count) values and \(values.count) are given")
        }
        var encoder = FrameEncoder(
            kind: digest == nil ? .base : .delta, step: step, baseDigest: digest, inheriting: context,
            chained: true, threads: threads)
        let failure: CodecError? = values.withUnsafeBufferPointer { values in
            reconstruction.withUnsafeMutableBufferPointer { reconstruction in
                do throws(CodecError) {
                    try encoder.add(
                        section: name, target: values, reconstruction: reconstruction, settings: settings)
                    return nil
                } catch {
                    return error
                }
            }
        }
        if let failure { throw failure }
        let frame = encoder.finish()
        digest = frame.stateDigest
        context = frame.context
        return frame
    }
}

/// Reads what `ChainWriter` wrote: the values of the last frame that was applied.
public struct ChainReader: Sendable {
    /// The state after the last frame; empty before the first.
    public private(set) var values: [Float] = []
    /// The last frame's step.
    public private(set) var step: UInt64?
    /// The state's digest.
    public private(set) var digest: Digest?
    /// How many threads may work on a frame.
    public var threads: Int

    var section: SectionLayout?
    private(set) var context: FrameContext?
    private let limits: FrameLimits

    /// - Parameter limits: checked before anything is allocated.
    public init(threads: Int = 1, limits: FrameLimits = .default) {
        self.threads = threads
        self.limits = limits
    }

    /// Applies the chain's next frame; a base begins the chain anew.
    ///
    /// - Throws: when the frame is damaged, holds anything but one vector of Float32, or doesn't follow the frame before
    ///   it. The reader is then as before.
    public mutating func apply(_ frame: Span<UInt8>) throws(CodecError) {
        let parsed = try frame.withUnsafeBufferPointer { (bytes) throws(CodecError) in
            try Frame(parsing: UnsafeRawBufferPointer(bytes), inheriting: context, limits: limits)
        }
        guard let own = parsed.header.sections.first, parsed.header.sections.count == 1,
            own.format == .float32
        else { throw CodecError(.layoutMismatch, "the frame doesn't hold one vector of Float32") }
        guard parsed.header.kind == .base || digest != nil else {
            throw CodecError(.baseMismatch, "a chain begins with a base, and this is a delta")
        }
        var next = parsed.header.kind == .base ? [Float](repeating: 0, count: own.elementCount) : values
        let outcome: Result<FrameContext, CodecError> = next.withUnsafeMutableBufferPointer { next in
            do throws(CodecError) {
                return .success(
                    try parsed.apply(
                        to: [next], expectingBase: parsed.header.kind == .base ? nil : digest, chained: true,
                        threads: threads))
            } catch {
                return .failure(error)
            }
        }
        context = try outcome.get()
        section = own
        values = next
        step = parsed.header.step
        digest = parsed.header.stateDigest
    }
}
