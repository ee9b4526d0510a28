import LCCheckpoint
import Tensors

/// Encodes and decodes whole models, as frames whose sections are the tensors.
public enum ModelFrames {
    /// Encodes a step from `state` to `target`; `state` becomes what a restore yields.
    ///
    /// - Parameter context: what a reader has from the step before; nil for the first.
    public static func encode<State: ModelContent>(
        _ target: some ModelContent, onto state: inout State, base: Digest?,
        inheriting context: FrameContext?,
        step: Int, scope: CodecScope, settings: CodecSettings, chained: Bool, threads: Int
    ) throws(TensorFileError) -> EncodedFrame {
        var encoder = FrameEncoder(
            kind: base == nil ? .base : .delta, step: UInt64(step), baseDigest: base, inheriting: context,
            chained: chained, threads: threads)
        do throws(CodecError) {
            try encoder.add(metadata: target.layout.table)
        } catch {
            throw TensorFileError(
                .malformed, "names, shapes and metadata are too long for a frame: \(error)")
        }
        do throws(CodecError) {
            for members in target.layout.scopes(scope) {
                var own = settings
                var sources: [SectionSource] = []
                for index in members {
                    let member = target.tensors[index]
                    let format = member.dtype.elementFormat
                    if !format.isFloatingPoint { own.kind = .exact }
                    sources.append(
                        SectionSource(
                            name: member.name.value, format: format,
                            target: target.section(member), reconstruction: state.state(state.tensors[index]))
                    )
                }
                try encoder.add(scope: sources, settings: own)
            }
        } catch {
            throw TensorFileError(error)
        }
        state.layout.metadata = target.metadata
        return encoder.finish()
    }

    /// Parses a frame that builds on `context`, or on nothing.
    ///
    /// - Parameter memory: holds the frame's bytes, and nobody changes them; nil to have them copied.
    public static func parse(
        _ bytes: UnsafeRawBufferPointer, inheriting context: FrameContext?, file: String,
        limits: FrameLimits = .default, keptBy memory: FileMemory? = nil
    ) throws(TensorFileError) -> Frame {
        do throws(CodecError) {
            return try Frame(parsing: bytes, inheriting: context, limits: limits, keptBy: memory)
        } catch {
            throw malformed(file, error)
        }
    }

    /// Applies a parsed frame, which must know its sections; returns what to parse the next one with.
    public static func apply(
        _ frame: Frame, to state: inout CodecModel?, digest: Digest?, file: String, chained: Bool,
        threads: Int
    ) throws(TensorFileError) -> FrameContext {
        let described = try description(of: frame, file: file)
        if frame.header.kind == .base {
            state = described
        } else if let difference = state?.difference(from: described) {
            throw TensorFileError(.malformed, "\(file) doesn't fit its base: \(difference)")
        }
        guard let own = state else {
            throw TensorFileError(.malformed, "\(file) doesn't begin with a full state")
        }
        var members: [TensorName: CodecModel.Member] = [:]
        for member in own.tensors { members[member.name] = member }
        let sections = frame.header.sections.map { section in
            members[TensorName(section.name)].map { own.bytes($0) }
                ?? UnsafeMutableRawBufferPointer(start: nil, count: 0)
        }
        do throws(CodecError) {
            let context = try frame.apply(
                toBytes: sections, expectingBase: digest, chained: chained, threads: threads)
            state?.layout.metadata = described.metadata
            return context
        } catch {
            throw malformed(file, error)
        }
    }

    /// The model that a frame's metadata describes: of zeros for a base, without elements for a delta.
    public static func description(of frame: Frame, file: String) throws(TensorFileError) -> CodecModel {
        try CodecModel(layout(of: frame, file: file), isEmpty: frame.header.kind == .delta)
    }

    /// What a frame's metadata, or a later one's, says of the model.
    public static func layout(
        of frame: Frame, metadata: [UInt8]? = nil, file: String
    ) throws(TensorFileError) -> ModelLayout {
        do throws(TensorFileError) {
            let model = try ModelLayout(
                table: metadata ?? frame.header.metadata, sections: frame.header.sections)
            var formats: [TensorName: ElementFormat] = [:]
            for tensor in model.tensors { formats[tensor.name] = tensor.dtype.elementFormat }
            for section in frame.header.sections where formats[TensorName(section.name)] != section.format {
                throw TensorFileError(.malformed, "tensor \(section.name) has two types")
            }
            return model
        } catch {
            throw TensorFileError(error.kind, "\(file) is damaged: \(error.message)")
        }
    }

    private static func malformed(_ file: String, _ error: CodecError) -> TensorFileError {
        TensorFileError(.malformed, "\(file): \(error)")
    }
}
