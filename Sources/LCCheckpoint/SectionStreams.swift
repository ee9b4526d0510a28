import Synchronization

// Sections that memory needn't hold: they are read, and their reconstructions are handed on, piece by piece.

/// Bytes that lie elsewhere, for example in a file. Several threads read at once.
public protocol ByteSource: AnyObject, Sendable {
    /// Copies the bytes from `offset` on; the same ones every time.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(CodecError)
}

/// Takes bytes, in any order and from several threads at once.
public protocol ByteSink: AnyObject, Sendable {
    /// Called once for each byte.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CodecError)
}

/// A section's bytes, little-endian and of any alignment.
public enum SectionBytes {
    /// Bytes in memory, which must outlive the call.
    case memory(UnsafeRawBufferPointer)
    /// `count` bytes of a source.
    case source(any ByteSource, offset: Int, count: Int)

    /// Bytes.
    public var count: Int {
        switch self {
        case .memory(let bytes): bytes.count
        case .source(_, _, let count): count
        }
    }
}

/// A section's reconstruction: what a restore of the previous checkpoint yields, which becomes what a restore of this one does.
public enum SectionState {
    /// Changed in place.
    case memory(UnsafeMutableRawBufferPointer)
    /// Read from one place and handed on to another, or to none when only its digest is wanted.
    case passing(from: any ByteSource, offset: Int, count: Int, to: (sink: any ByteSink, offset: Int)?)

    /// Bytes.
    public var count: Int { bytes.count }

    /// What is there before it changes.
    var bytes: SectionBytes {
        switch self {
        case .memory(let bytes): .memory(UnsafeRawBufferPointer(bytes))
        case .passing(let source, let offset, let count, _): .source(source, offset: offset, count: count)
        }
    }
}

/// The first thing that went wrong with sources and sinks while several threads were at work.
final class StreamFailure: Sendable {
    private let first = Mutex<CodecError?>(nil)

    func note(_ error: CodecError) { first.withLock { if $0 == nil { $0 = error } } }

    func check() throws(CodecError) {
        if let error = first.withLock({ $0 }) { throw error }
    }
}

extension ByteSource {
    /// Reads bytes, or zeros once anything went wrong, which `failure` then says.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer, _ failure: StreamFailure) {
        do throws(CodecError) {
            try read(at: offset, into: buffer)
        } catch {
            failure.note(error)
            buffer.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }
}
