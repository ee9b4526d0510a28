import LCCheckpoint
import Training
import Wire

/// What a shard keeps, and the arithmetic on it: parameters and optimizer slots of its slice, and the reconstruction,
/// which is what a restore of the last checkpoint would yield.
///
/// Used by one thread at a time. Parameters of each version are fresh memory, so that they can be on their way to the
/// workers while the next version is made.
public final class ShardState {
    /// Elements of the model's flat vector that this shard holds.
    public let range: Range<Int>
    public private(set) var version: UInt64 = 0
    public private(set) var parameters = Payload.empty
    /// Digest of the reconstruction; nil before the first checkpoint.
    public private(set) var reconstructionDigest: Digest?

    private let optimizer: OptimizerKind
    private let codec: CodecSettings
    private let slotCodec: CodecSettings
    private let selection: PartialSelection?
    private let checkpointEvery: UInt64
    private var slots: [FloatVector]
    private var reconstruction: [FloatVector]
    private var reconstructionStep: UInt64 = 0
    private var context: FrameContext?
    private let sum: FloatVector

    /// - Parameters:
    ///   - codec: of the parameters.
    ///   - slotCodec: of each optimizer slot.
    ///   - selection: what a delta brings up to date, parameters and slots alike; nil for everything.
    ///   - checkpointEvery: steps from one checkpoint to the next, for selections that take turns.
    public init(
        range: Range<Int>, optimizer: OptimizerKind, codec: CodecSettings, slotCodec: CodecSettings,
        selection: PartialSelection? = nil, checkpointEvery: UInt64 = 1
    ) {
        self.range = range
        self.optimizer = optimizer
        self.codec = codec
        self.slotCodec = slotCodec
        self.selection = selection
        self.checkpointEvery = max(1, checkpointEvery)
        slots = optimizer.slotNames.map { _ in FloatVector(count: range.count) }
        reconstruction = (0...optimizer.slotNames.count).map { _ in FloatVector(count: range.count) }
        sum = FloatVector(count: range.count)
    }

    /// Names of the sections of every frame: the parameters first, then the optimizer's slots.
    public var sectionNames: [String] { ["parameters"] + optimizer.slotNames }

    /// Begins at version 0 with these parameters and empty slots.
    public func initialize(_ values: UnsafeBufferPointer<Float>) {
        precondition(values.count == range.count, "initial parameters of another size")
        parameters = Payload(count: values.count * 4) { $0.copyMemory(from: UnsafeRawBufferPointer(values)) }
        for slot in slots { slot.zero() }
        for vector in reconstruction { vector.zero() }
        version = 0
        reconstructionDigest = nil
        context = nil
    }

    /// One optimizer step with the mean of the gradients, which are given in order of the worker slots.
    public func apply(version next: UInt64, gradients: [Payload]) -> Payload {
        precondition(next == version + 1, "versions are applied one after another")
        withAll(gradients) { inputs in
            sumGradients(inputs, scale: 1 / Float(inputs.count), into: sum.mutable)
        }
        let before = parameters
        parameters = Payload(count: range.count * 4) { raw in
            before.withBytes { raw.copyMemory(from: $0) }
            optimizer.apply(
                parameters: raw.bindMemory(to: Float.self).prefixed(range.count),
                slots: slots.map(\.mutable), gradient: sum.constant, step: next)
        }
        version = next
        return parameters
    }

    private func withAll(_ payloads: [Payload], _ body: ([UnsafeBufferPointer<Float>]) -> Void) {
        func gather(_ index: Int, _ inputs: [UnsafeBufferPointer<Float>]) {
            guard index < payloads.count else { return body(inputs) }
            payloads[index].withFloats { gather(index + 1, inputs + [$0]) }
        }
        gather(0, [])
    }

    /// Encodes the present state as a frame and moves the reconstruction on to what a restore of it yields.
    ///
    /// A base holds the reconstruction exactly: of the live state when nothing was encoded before, else of the state
    /// that the chain would give, so that a chain can be cut at any base without a change of a single bit.
    public func encode(step: UInt64, asBase: Bool) throws(CodecError) -> (frame: EncodedFrame, part: Part) {
        let kind: FrameKind = asBase || reconstructionDigest == nil ? .base : .delta
        if kind == .base && reconstructionDigest != nil {
            // The lossy step happens as always; the base then stores its result.
            _ = try encodeFrame(kind: .delta, step: step, fromReconstruction: false)
        }
        let baseDigest = reconstructionDigest
        let baseStep = reconstructionStep
        let frame = try encodeFrame(
            kind: kind, step: step, fromReconstruction: kind == .base && baseDigest != nil)
        var part = Part()
        part.step = step
        part.kind = kind == .base ? .base : .delta
        if kind == .delta {
            part.baseStep = baseStep
            part.baseDigest = baseDigest?.description ?? ""
        }
        part.stateDigest = frame.stateDigest.description
        part.payloadDigest = frame.payloadDigest.description
        part.rawBytes = UInt64(range.count * 4 * sectionNames.count)
        part.encodedBytes = UInt64(frame.bytes.count)
        // Of the parameters alone: slots have settings, and errors, of their own.
        part.relativeError = relativeError()
        return (frame, part)
    }

    private func encodeFrame(
        kind: FrameKind, step: UInt64, fromReconstruction: Bool
    ) throws(CodecError) -> EncodedFrame {
        var encoder = FrameEncoder(
            kind: kind, step: step, baseDigest: kind == .base ? nil : reconstructionDigest,
            inheriting: context, chained: true)
        let chosen = kind == .delta ? chosenRanges(step: step) : nil
        for (index, name) in sectionNames.enumerated() {
            var settings = index == 0 ? codec : slotCodec
            if OptimizerKind.isSumOfSquares(slot: name) { settings.domain = .squareRoots }
            if kind == .base || chosen != nil { settings.kind = .exact }
            let live = live(index)
            let target = fromReconstruction || chosen != nil ? reconstruction[index].copy() : live
            for range in chosen ?? [] {
                for element in range { target.mutable[element] = live.constant[element] }
            }
            try encoder.add(
                section: name, target: target.constant, reconstruction: reconstruction[index].mutable,
                settings: settings)
        }
        let metadata = Self.metadata(step: step)
        try encoder.add(metadata: metadata)
        let frame = encoder.finish()
        reconstructionDigest = frame.stateDigest
        reconstructionStep = step
        context = frame.context
        return frame
    }

    /// The elements that a partial checkpoint takes in; nil if it takes in all.
    private func chosenRanges(step: UInt64) -> [Range<Int>]? {
        selection?.chosen(
            target: live(0).constant, saved: reconstruction[0].constant, turn: step / checkpointEvery)
    }

    private func live(_ index: Int) -> FloatVector {
        index == 0 ? FloatVector(viewing: parameters) : slots[index - 1]
    }

    /// `‖u − ũ‖ / ‖u‖` over the parameters.
    private func relativeError() -> Double {
        let (u, r) = (FloatVector(viewing: parameters).constant, reconstruction[0].constant)
        var difference = 0.0
        var norm = 0.0
        for i in 0..<u.count where u[i].isFinite && r[i].isFinite {
            let d = Double(u[i]) - Double(r[i])
            difference += d * d
            norm += Double(u[i]) * Double(u[i])
        }
        return norm > 0 ? (difference / norm).squareRoot() : 0
    }

    // MARK: Restoring

    /// Applies one frame of a chain to the reconstruction.
    ///
    /// - Throws: when the frame is damaged, does not build on what is there, or leads elsewhere than it states; the
    ///   state must then be restored from the start.
    public func restoreFrame(_ bytes: UnsafeRawBufferPointer, isFirst: Bool) throws(CodecError) {
        let frame = try Frame(parsing: bytes, inheriting: isFirst ? nil : context)
        // The symbols are kept also for the last frame: the next delta that is encoded here may use them.
        context = try frame.apply(
            to: reconstruction.map(\.mutable), expectingBase: isFirst ? nil : reconstructionDigest,
            chained: true)
        reconstructionDigest = frame.header.stateDigest
        reconstructionStep = frame.header.step
    }

    /// Makes the reconstruction the live state, at `version`.
    public func adoptReconstruction(version: UInt64) -> Payload {
        let source = reconstruction[0]
        parameters = Payload(count: range.count * 4) {
            $0.copyMemory(from: UnsafeRawBufferPointer(source.constant))
        }
        for (slot, vector) in zip(slots, reconstruction.dropFirst()) { slot.copy(from: vector) }
        for (name, slot) in zip(optimizer.slotNames, slots)
        where OptimizerKind.isSumOfSquares(slot: name) {
            // A lossy delta may have gone below zero, where the next step would take a root.
            for index in 0..<range.count where slot.mutable[index] < 0 { slot.mutable[index] = 0 }
        }
        self.version = version
        return parameters
    }

    /// The live sections: parameters, then the optimizer's slots.
    public func withLive<Result>(_ body: ([UnsafeBufferPointer<Float>]) -> Result) -> Result {
        let sections = (0...slots.count).map(live)
        return withExtendedLifetime(sections) { body(sections.map(\.constant)) }
    }

    /// The reconstruction's sections, for tools that export a model.
    public func withReconstruction<Result>(_ body: ([UnsafeBufferPointer<Float>]) -> Result) -> Result {
        body(reconstruction.map(\.constant))
    }

    /// Layout of a frame's metadata: version u8 = 1, then the step as u64, little endian. The step is the optimizer's
    /// step count, the clock of every worker slot, and so the position of every reader.
    static func metadata(step: UInt64) -> [UInt8] {
        [1] + (0..<8).map { UInt8(truncatingIfNeeded: step >> (8 * UInt64($0))) }
    }
}

/// Float32 memory of a fixed size.
final class FloatVector {
    let mutable: UnsafeMutableBufferPointer<Float>
    private let owner: Payload?
    var constant: UnsafeBufferPointer<Float> { UnsafeBufferPointer(mutable) }

    init(count: Int) {
        let raw = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        raw.initializeMemory(as: Float.self, repeating: 0)
        mutable = UnsafeMutableBufferPointer(
            start: raw.baseAddress!.assumingMemoryBound(to: Float.self), count: count)
        owner = nil
    }

    /// The values of a payload, which stays alive with this; they must not be written.
    init(viewing payload: Payload) {
        owner = payload
        mutable =
            payload.withFloats { UnsafeMutableBufferPointer(mutating: $0) }
            ?? UnsafeMutableBufferPointer(start: nil, count: 0)
    }

    deinit { if owner == nil { UnsafeMutableRawPointer(mutable.baseAddress!).deallocate() } }

    func zero() { mutable.update(repeating: 0) }
    func copy(from other: FloatVector) {
        _ = mutable.update(fromContentsOf: other.constant)
    }
    func copy() -> FloatVector {
        let result = FloatVector(count: mutable.count)
        result.copy(from: self)
        return result
    }
}

extension UnsafeMutableBufferPointer<Float> {
    func prefixed(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(start: baseAddress, count: count)
    }
}
