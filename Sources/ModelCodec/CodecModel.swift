import LCCheckpoint
import Tensors

/// A model as a codec takes it: its tensors are sections of a frame, whose metadata gives back types and shapes.
public protocol ModelContent {
    var layout: ModelLayout { get set }

    /// The bytes of a tensor.
    func section(_ member: ModelLayout.Member) -> SectionBytes
    /// The same as what is to become a later state.
    func state(_ member: ModelLayout.Member) -> SectionState
}

extension ModelContent {
    /// In the order of their names.
    public var tensors: [ModelLayout.Member] { layout.tensors }
    /// What the file keeps under `__metadata__`.
    public var metadata: [String: String] { layout.metadata }
    /// What a reader knows who has this model as a base.
    public var context: FrameContext { layout.context }

    /// The digest of the model: of names, types, shapes, texts and bytes.
    public func digest(threads: Int) throws(TensorFileError) -> Digest {
        do throws(CodecError) {
            return try StateDigest.of(
                sections: tensors.map { ($0.name.value, $0.dtype.elementFormat, section($0)) },
                metadata: layout.table, threads: threads)
        } catch {
            throw TensorFileError(error)
        }
    }

    /// Why `other` can't be a target of deltas on this model; nil if it can.
    public func difference(from other: some ModelContent) -> String? {
        layout.difference(from: other.layout)
    }
}

/// A model in memory. Copies share it.
public struct CodecModel: ModelContent {
    public typealias Member = ModelLayout.Member

    public var layout: ModelLayout
    private let memory: FileMemory

    /// Reads a file; what is changed in memory isn't changed in the file, nor the other way round.
    public init(_ path: String) throws(TensorFileError) {
        try self.init(FileMemory(reading: path), path: path)
    }

    /// - Parameter path: the file's name, for the error's sentence.
    init(_ memory: FileMemory, path: String) throws(TensorFileError) {
        self.memory = memory
        layout = try ModelLayout(path) { () throws(TensorFileError) in
            try Safetensors.index(of: UnsafeRawBufferPointer(memory.bytes))
        }
    }

    /// A model of zeros.
    ///
    /// - Parameter isEmpty: without memory for the elements, to be compared with another: what a small delta claims is as large
    ///   as it likes.
    init(_ layout: ModelLayout, isEmpty: Bool) throws(TensorFileError) {
        // The frame's parser has checked the sections' sum against its limits.
        guard let memory = FileMemory(zeros: isEmpty ? 0 : layout.byteCount) else {
            throw TensorFileError(.noMemory, "there is no memory for \(layout.byteCount) bytes")
        }
        self.layout = layout
        self.memory = memory
    }

    /// The bytes of a tensor.
    public func bytes(_ member: Member) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory.bytes[member.range])
    }

    public func section(_ member: Member) -> SectionBytes { .memory(UnsafeRawBufferPointer(bytes(member))) }
    public func state(_ member: Member) -> SectionState { .memory(bytes(member)) }

    /// Writes the model as a file.
    public func write(to path: String) throws(TensorFileError) {
        try layout.write(tensors, to: path) { UnsafeRawBufferPointer(bytes($0)) }
    }
}

extension ModelLayout {
    /// Writes some tensors, and the texts, as a file. It can be made again, so nobody waits for the disk.
    ///
    /// - Parameter bytes: those of a tensor.
    public func write(
        _ members: [Member], to path: String, _ bytes: (Member) -> UnsafeRawBufferPointer
    ) throws(TensorFileError) {
        let header = try Safetensors.header(
            of: members.map { ($0.name, $0.dtype, $0.shape) }, metadata: metadata)
        try Files.writeAtomically(path, durable: false) { (write) throws(TensorFileError) in
            try write(header)
            for member in members { try write(bytes(member)) }
        }
    }

    /// - Parameter path: the file's name, for the error's sentence.
    init(_ path: String, _ index: () throws(TensorFileError) -> SafetensorsIndex) throws(TensorFileError) {
        do throws(TensorFileError) {
            self.init(try index())
        } catch {
            guard error.kind == .malformed else { throw error }
            throw TensorFileError(error.kind, "\(path) isn't a valid safetensors file: \(error.message)")
        }
    }
}

extension TensorFileError {
    init(_ error: CodecError) {
        switch error.kind {
        case .unreadable: self.init(.unreadable, error.message)
        case .unwritable: self.init(.unwritable, error.message)
        default: self.init(.malformed, error.message)
        }
    }
}
