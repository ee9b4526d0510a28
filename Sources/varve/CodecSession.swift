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

    init(_ frame: EncodedFrame) {
        let statistics = frame.statistics
        elements = statistics.elements
        rawBytes = statistics.rawBytes
        encodedBytes = frame.bytes.count
        entropyBits = statistics.entropyBits * Double(statistics.elements)
        relativeError = statistics.relativeError
        digest = frame.stateDigest
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
    ///
    /// - Parameter context: what a reader has from the step before; nil for the first.
    static func encode(
        _ target: CodecModel, onto state: inout CodecModel, base: Digest?, inheriting context: FrameContext?,
        step: Int, scope: CodecScope, settings: CodecSettings, chained: Bool, threads: Int
    ) throws -> EncodedFrame {
        var encoder = FrameEncoder(
            kind: base == nil ? .base : .delta, step: UInt64(step), baseDigest: base, inheriting: context,
            chained: chained, threads: threads)
        do throws(CodecError) {
            try encoder.add(metadata: target.table)
        } catch {
            throw CommandFailure(
                "names, shapes and metadata are too long for a frame: \(error)",
                exitCode: CommandFailure.malformed)
        }
        do throws(CodecError) {
            for members in target.scopes(scope) {
                var own = settings
                var sources: [SectionSource] = []
                for index in members {
                    let member = target.tensors[index]
                    let format = member.dtype.elementFormat
                    if !format.isFloatingPoint { own.kind = .exact }
                    sources.append(
                        SectionSource(
                            name: member.name.value, format: format,
                            target: UnsafeRawBufferPointer(target.bytes(member)),
                            reconstruction: state.bytes(state.tensors[index])))
                }
                try encoder.add(scope: sources, settings: own)
            }
        } catch {
            throw CommandFailure("\(error)", exitCode: CommandFailure.malformed)
        }
        state.metadata = target.metadata
        return encoder.finish()
    }

    /// Parses a frame that builds on `context`, or on nothing.
    static func parse(
        _ bytes: UnsafeRawBufferPointer, inheriting context: FrameContext?, file: String
    ) throws -> Frame {
        do throws(CodecError) {
            return try Frame(parsing: bytes, inheriting: context)
        } catch {
            throw malformed(file, error)
        }
    }

    /// Applies a parsed frame, which must know its sections; returns what to parse the next one with.
    static func apply(
        _ frame: Frame, to state: inout CodecModel?, digest: Digest?, file: String, chained: Bool,
        threads: Int
    ) throws -> FrameContext {
        let described = try description(of: frame, file: file)
        if frame.header.kind == .base {
            state = described
        } else if let difference = state?.difference(from: described) {
            throw CommandFailure(
                "\(file) doesn't fit its base: \(difference)", exitCode: CommandFailure.malformed)
        }
        guard let own = state else {
            throw CommandFailure(
                "\(file) doesn't begin with a full state", exitCode: CommandFailure.malformed)
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
            state?.metadata = described.metadata
            return context
        } catch {
            throw malformed(file, error)
        }
    }

    /// The model that a frame's metadata describes.
    static func description(of frame: Frame, file: String) throws -> CodecModel {
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

    /// A file's content, mapped.
    static func memory(_ path: String) throws -> FileMemory {
        try files { () throws(TensorFileError) in try FileMemory(mapping: path) }
    }
}
