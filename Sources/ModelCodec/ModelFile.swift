import LCCheckpoint
import Tensors

/// A model that stays in its file: it is read in pieces as the codec needs them.
public struct ModelFile: ModelContent {
    public var layout: ModelLayout
    private let source: Source

    public init(_ path: String) throws(TensorFileError) {
        let file = try FileSource(path)
        layout = try ModelLayout(path) { () throws(TensorFileError) in try Safetensors.index(of: file) }
        source = Source(file)
    }

    public func section(_ member: ModelLayout.Member) -> SectionBytes {
        .source(source, offset: member.range.lowerBound, count: member.range.count)
    }

    public func state(_ member: ModelLayout.Member) -> SectionState {
        .passing(from: source, offset: member.range.lowerBound, count: member.range.count, to: nil)
    }

    /// Throws if somebody has changed the file since it was opened: what was read may be of both.
    public func checkUnchanged() throws(TensorFileError) { try source.file.checkUnchanged() }

    /// Writes what a delta makes of this model as a file, piece by piece.
    ///
    /// - Parameter file: the delta's name, for the error's sentence.
    public func write(to path: String, applying frame: Frame, file: String, threads: Int)
        throws(TensorFileError)
    {
        let described = try ModelFrames.layout(of: frame, file: file)
        if let difference = layout.difference(from: described) {
            throw TensorFileError(.malformed, "\(file) doesn't fit its base: \(difference)")
        }
        let base = try digest(threads: threads)
        let header = try Safetensors.header(
            of: tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: described.metadata)
        try Files.writeAtomically(path, durable: false) { (write) throws(TensorFileError) in
            try write(header)
            let sink = Sink(write)
            var states: [TensorName: SectionState] = [:]
            var end = header.count
            for tensor in tensors {
                states[tensor.name] = .passing(
                    from: source, offset: tensor.range.lowerBound, count: tensor.range.count,
                    to: (sink, end))
                end += tensor.range.count
            }
            let none = SectionState.memory(UnsafeMutableRawBufferPointer(start: nil, count: 0))
            do throws(CodecError) {
                try frame.apply(
                    toStates: frame.header.sections.map { states[TensorName($0.name)] ?? none },
                    expectingBase: base, threads: threads)
            } catch {
                throw TensorFileError(TensorFileError(error).kind, "\(file): \(error)")
            }
            try checkUnchanged()
        }
    }
}

/// A file's bytes, as the codec reads them.
private final class Source: ByteSource {
    let file: FileSource

    init(_ file: FileSource) { self.file = file }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(CodecError) {
        do throws(TensorFileError) {
            try file.read(at: offset, into: buffer)
        } catch {
            throw CodecError(.unreadable, error.message)
        }
    }
}

/// A file that is being written, as the codec writes it.
private final class Sink: ByteSink {
    private let writer: PartWriter

    init(_ writer: PartWriter) { self.writer = writer }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CodecError) {
        do throws(TensorFileError) {
            try writer.put(bytes, at: offset)
        } catch {
            throw CodecError(.unwritable, error.message)
        }
    }
}
