import LCCheckpoint
import Tensors

/// What a step came to, under the contract's keys.
struct CodecSummary {
    var elements: Int
    var rawBytes: Int
    var encodedBytes: Int
    /// Order-0 entropy in bits, over all elements.
    var entropyBits: Double
    var relativeError: Double
    var digest: Digest

    var members: [(key: String, value: String)] {
        [
            ("elements", "\(elements)"), ("raw_bytes", "\(rawBytes)"), ("encoded_bytes", "\(encodedBytes)"),
            ("ratio", jsonNumber(encodedBytes == 0 ? 0 : Double(rawBytes) / Double(encodedBytes))),
            ("entropy_bits", jsonNumber(elements == 0 ? 0 : entropyBits / Double(elements))),
            ("relative_error", jsonNumber(relativeError)), ("digest", jsonQuoted("\(digest)")),
        ]
    }

    var line: String {
        members.map { "\($0.key) \($0.value.filter { $0 != "\"" })" }.joined(separator: ", ")
    }
}

/// A number as JSON has it; null where JSON has none.
func jsonNumber(_ value: Double) -> String { value.isFinite ? "\(value)" : "null" }

/// An object of members that are JSON already.
func jsonObject(_ members: [(key: String, value: String)]) -> String {
    "{" + members.map { "\(jsonQuoted($0.key)): \($0.value)" }.joined(separator: ", ") + "}"
}

/// Encodes and decodes whole models, turning the libraries' errors into the program's.
enum CodecSession {
    /// Encodes a step from `state` to `target`; `state` becomes what a restore yields.
    static func encode(
        _ target: CodecModel, onto state: inout CodecModel, kind: FrameKind, step: Int, scope: CodecScope,
        settings: CodecSettings
    ) throws -> (frame: EncodedFrame, summary: CodecSummary) {
        let base = kind == .delta ? state.digest : nil
        let context = kind == .delta ? state.context(scope) : nil
        var encoder = FrameEncoder(kind: kind, step: UInt64(step), baseDigest: base, inheriting: context)
        do throws(CodecError) {
            try encoder.add(metadata: target.table)
        } catch {
            throw CommandFailure(
                "names, shapes and metadata are too long for a frame: \(error)",
                exitCode: CommandFailure.malformed)
        }
        let failure: CodecError? = target.bytes.withUnsafeBytes { live in
            state.bytes.withUnsafeMutableBytes { previous in
                do throws(CodecError) {
                    for members in target.scopes(scope) {
                        var own = settings
                        var sources: [SectionSource] = []
                        for member in members.map({ target.tensors[$0] }) {
                            let format = member.dtype.elementFormat
                            if !format.isFloatingPoint { own.kind = .exact }
                            sources.append(
                                SectionSource(
                                    name: member.name.value, format: format,
                                    target: UnsafeRawBufferPointer(rebasing: live[member.range]),
                                    reconstruction: UnsafeMutableRawBufferPointer(
                                        rebasing: previous[member.range])))
                        }
                        try encoder.add(scope: sources, settings: own)
                    }
                    return nil
                } catch {
                    return error
                }
            }
        }
        if let failure { throw CommandFailure("\(failure)", exitCode: CommandFailure.malformed) }
        state.metadata = target.metadata
        let frame = encoder.finish()
        let statistics = frame.statistics
        let summary = CodecSummary(
            elements: statistics.elements, rawBytes: statistics.rawBytes, encodedBytes: frame.bytes.count,
            entropyBits: statistics.entropyBits * Double(statistics.elements),
            relativeError: statistics.relativeError, digest: frame.stateDigest)
        return (frame, summary)
    }

    /// Applies a delta frame's bytes to `state`, whose digest is `digest`.
    static func apply(
        _ bytes: UnsafeRawBufferPointer, to state: inout CodecModel, digest: Digest, file: String
    ) throws -> Digest {
        let frame = try parse(bytes, onto: state, file: file)
        return try apply(frame, to: &state, digest: digest, file: file)
    }

    /// Parses a frame that builds on `state`, or on nothing.
    ///
    /// How a frame groups tensors is left to its base, which knows both ways: the frame's checksum tells which.
    static func parse(
        _ bytes: UnsafeRawBufferPointer, onto state: CodecModel?, file: String
    ) throws -> Frame {
        var mismatch: CodecError?
        for scope in CodecScope.allCases {
            do throws(CodecError) {
                return try Frame(parsing: bytes, inheriting: state?.context(scope))
            } catch {
                guard error.kind == .layoutMismatch else { throw malformed(file, error) }
                mismatch = error
            }
        }
        throw malformed(file, mismatch ?? CodecError(.layoutMismatch, "the layout fits no scope"))
    }

    /// Applies a parsed frame, which must know its sections.
    static func apply(
        _ frame: Frame, to state: inout CodecModel, digest: Digest?, file: String
    ) throws -> Digest {
        let described = try description(of: frame, file: file)
        if frame.header.kind == .base {
            state = described
        } else if let difference = state.difference(from: described) {
            throw CommandFailure(
                "\(file) doesn't fit its base: \(difference)", exitCode: CommandFailure.malformed)
        }
        var ranges: [TensorName: Range<Int>] = [:]
        for member in state.tensors { ranges[member.name] = member.range }
        let failure: CodecError? = state.bytes.withUnsafeMutableBytes { bytes in
            let sections = frame.header.sections.map { section in
                UnsafeMutableRawBufferPointer(rebasing: bytes[ranges[TensorName(section.name)] ?? 0..<0])
            }
            do throws(CodecError) {
                try frame.apply(toBytes: sections, expectingBase: digest)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw malformed(file, failure) }
        state.metadata = described.metadata
        return frame.header.stateDigest
    }

    /// The model that a frame's metadata describes.
    private static func description(of frame: Frame, file: String) throws -> CodecModel {
        do throws(CommandFailure) {
            let model = try CodecModel(table: frame.header.metadata, sections: frame.header.sections)
            for section in frame.header.sections {
                let member = model.tensors.first { $0.name == TensorName(section.name) }
                guard member?.dtype.elementFormat == section.format else {
                    throw CommandFailure(
                        "tensor \(section.name) has two types", exitCode: CommandFailure.malformed)
                }
            }
            return model
        } catch {
            throw CommandFailure("\(file) is damaged: \(error.message)", exitCode: error.exitCode)
        }
    }

    static func malformed(_ file: String, _ error: CodecError) -> CommandFailure {
        CommandFailure("\(file): \(error)", exitCode: CommandFailure.malformed)
    }

    /// Runs file operations, giving their errors the contract's exit codes.
    static func files<T>(_ body: () throws(TensorFileError) -> T) throws -> T {
        do throws(TensorFileError) {
            return try body()
        } catch {
            switch error.kind {
            case .unreadable: throw CommandFailure(error.message, exitCode: CommandFailure.missingInput)
            case .malformed: throw CommandFailure(error.message, exitCode: CommandFailure.malformed)
            case .unwritable: throw CommandFailure(error.message, exitCode: CommandFailure.failed)
            }
        }
    }

    static func model(_ path: String) throws -> CodecModel {
        CodecModel(try files { () throws(TensorFileError) in try Safetensors.read(path) })
    }

    static func bytes(_ path: String) throws -> [UInt8] {
        try files { () throws(TensorFileError) in try Files.read(path) }
    }

    static func write(_ model: CodecModel, to path: String) throws {
        try files { () throws(TensorFileError) in try Safetensors.write(try model.collection(), to: path) }
    }
}
