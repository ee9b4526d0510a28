/// A named tensor and its elements: row-major, little-endian.
public struct Tensor: Hashable, Sendable {
    public var name: TensorName
    public var dtype: DType
    public var shape: Shape
    /// `shape.elementCount × dtype.byteCount` bytes.
    public var bytes: [UInt8]

    /// Nil when the bytes don't fill the shape.
    public init?(name: TensorName, dtype: DType, shape: Shape, bytes: [UInt8]) {
        let (size, overflow) = shape.elementCount.multipliedReportingOverflow(by: dtype.byteCount)
        guard !overflow, size == bytes.count else { return nil }
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.bytes = bytes
    }

    /// A Float32 tensor; nil when the values don't fill the shape.
    public init?(name: TensorName, shape: Shape, floats: [Float]) {
        self.init(
            name: name, dtype: .float32, shape: shape, bytes: floats.withUnsafeBytes { Array($0) })
    }
}

/// The content of a model file: tensors by name, and text about them.
public struct TensorCollection: Hashable, Sendable {
    /// In the order of their names' bytes, no name twice.
    public let tensors: [Tensor]
    /// What safetensors keeps under `__metadata__`.
    public var metadata: [String: String]

    /// - Throws: when a name comes twice.
    public init(tensors: [Tensor], metadata: [String: String] = [:]) throws(TensorFileError) {
        self.tensors = tensors.sorted { $0.name < $1.name }
        for (one, next) in zip(self.tensors, self.tensors.dropFirst()) where one.name == next.name {
            throw TensorFileError(.malformed, "tensor \(one.name) comes twice")
        }
        self.metadata = metadata
    }
}

/// Why a model file can't be read or written.
public struct TensorFileError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// Missing, no ordinary file, or not ours to read.
        case unreadable
        /// The bytes aren't what they should be.
        case malformed
        /// The file couldn't be written; nothing was left behind.
        case unwritable
        /// There isn't as much memory as it takes.
        case noMemory
    }

    public let kind: Kind
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }
}
