import LCCheckpoint
import Tensors

/// Which tensors share a bucket table.
public enum CodecScope: Hashable, Sendable, CaseIterable {
    /// All floating tensors, in the order of their names.
    case model
    /// Each floating tensor.
    case tensor
}

/// What a model's tensors are called, of what type and shape they are, and where they lie; and the texts beside them.
public struct ModelLayout: Equatable {
    /// A tensor and where its bytes lie.
    public struct Member: Equatable {
        public var name: TensorName
        public var dtype: DType
        public var shape: Shape
        var range: Range<Int>
    }

    /// In the order of their names.
    public private(set) var tensors: [Member] = []
    /// What the file keeps under `__metadata__`.
    public internal(set) var metadata: [String: String] = [:]

    init(_ index: SafetensorsIndex) {
        metadata = index.metadata
        tensors = index.entries.map {
            Member(name: $0.name, dtype: $0.dtype, shape: $0.shape, range: $0.range)
        }
    }

    /// Where the last tensor ends.
    var byteCount: Int { tensors.map(\.range.upperBound).max() ?? 0 }

    /// Reads a frame's metadata; tensors lie end to end.
    ///
    /// - Parameter sections: what the frame says of the same tensors.
    init(table: [UInt8], sections: [SectionLayout]) throws(TensorFileError) {
        var reader = TableReader(table)
        var counts: [TensorName: Int] = [:]
        for section in sections { counts[TensorName(section.name)] = section.byteCount }
        var size = 0
        let tensorCount = try reader.count()
        guard tensorCount == sections.count else { throw TableReader.damaged }
        for _ in 0..<tensorCount {
            let name = TensorName(try reader.text())
            guard let dtype = DType(rawValue: try reader.text()) else { throw TableReader.damaged }
            let rank = try reader.count()
            guard rank <= 64 else { throw TableReader.damaged }
            var extents: [Int] = []
            for _ in 0..<rank { extents.append(try reader.integer()) }
            guard let shape = Shape(extents), let byteCount = counts.removeValue(forKey: name),
                !shape.elementCount.multipliedReportingOverflow(by: dtype.byteCount).overflow,
                shape.elementCount * dtype.byteCount == byteCount
            else { throw TableReader.damaged }
            tensors.append(Member(name: name, dtype: dtype, shape: shape, range: size..<(size + byteCount)))
            size += byteCount
        }
        var before: String?
        for _ in 0..<(try reader.count()) {
            let key = try reader.text()
            guard before.map({ $0.utf8.lexicographicallyPrecedes(key.utf8) }) ?? true,
                metadata.updateValue(try reader.text(), forKey: key) == nil
            else { throw TableReader.damaged }
            before = key
        }
        guard reader.isAtEnd, zip(tensors, tensors.dropFirst()).allSatisfy({ $0.name < $1.name }) else {
            throw TableReader.damaged
        }
    }

    /// Types, shapes and texts, as docs/formats/run.md lays them down.
    var table: [UInt8] {
        var bytes: [UInt8] = []
        func put(_ value: Int) {
            var rest = UInt64(value)
            while rest >= 0x80 {
                bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(rest))
        }
        func put(_ text: String) {
            put(text.utf8.count)
            bytes += Array(text.utf8)
        }
        put(tensors.count)
        for tensor in tensors {
            put(tensor.name.value)
            put(tensor.dtype.rawValue)
            put(tensor.shape.dimensions.count)
            for extent in tensor.shape.dimensions { put(extent) }
        }
        put(metadata.count)
        for (key, text) in metadata.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            put(key)
            put(text)
        }
        return bytes
    }

    /// Indices of the tensors of each scope: floating ones first, then the others, which are carried exactly.
    func scopes(_ scope: CodecScope) -> [[Int]] {
        let floating = tensors.indices.filter { tensors[$0].dtype.elementFormat.isFloatingPoint }
        let others = tensors.indices.filter { !tensors[$0].dtype.elementFormat.isFloatingPoint }
        return ((scope == .model ? [floating] : floating.map { [$0] }) + [others]).filter { !$0.isEmpty }
    }

    /// What a reader knows who has this model as a base.
    public var context: FrameContext {
        FrameContext(
            sections: tensors.map {
                SectionLayout(
                    name: $0.name.value, format: $0.dtype.elementFormat, elementCount: $0.shape.elementCount,
                    scope: 0)
            }, metadata: table)
    }

    /// Why `other` can't be a target of deltas on this model; nil if it can.
    public func difference(from other: ModelLayout) -> String? {
        func same(_ one: Member, _ two: Member) -> Bool {
            one.name == two.name && one.dtype == two.dtype && one.shape == two.shape
        }
        if tensors.count == other.tensors.count, zip(tensors, other.tensors).allSatisfy(same) { return nil }
        let own = Set(tensors.map(\.name))
        if let extra = other.tensors.first(where: { !own.contains($0.name) }) {
            return "tensor \(extra.name) is missing from the base"
        }
        for (one, two) in zip(tensors, other.tensors) where one.name != two.name {
            return "tensor \(one.name) is missing from the target"
        }
        for (one, two) in zip(tensors, other.tensors) where one.dtype != two.dtype || one.shape != two.shape {
            return "tensor \(one.name) is \(one.dtype.rawValue) \(one.shape) in the base and "
                + "\(two.dtype.rawValue) \(two.shape) in the target"
        }
        return "the base has \(tensors.count) tensors and the target \(other.tensors.count)"
    }
}

extension DType {
    /// How the codec takes such elements.
    var elementFormat: ElementFormat {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .bfloat16: .bfloat16
        case .float64: .float64
        case .bool, .uint8, .int8: .bits8
        case .uint16, .int16: .bits16
        case .uint32, .int32: .bits32
        case .uint64, .int64: .bits64
        }
    }
}

/// Reads a model's table; nothing in it is believed.
private struct TableReader {
    static let damaged = TensorFileError(.malformed, "the frame's table of tensors is damaged")
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func integer() throws(TensorFileError) -> Int {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 63, by: 7) {
            guard position < bytes.count else { throw TableReader.damaged }
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7f) << shift
            // Nothing is written longer than it must be: equal tables are equal bytes, which digests cover.
            guard byte != 0 || shift == 0 else { throw TableReader.damaged }
            if byte & 0x80 == 0 { return Int(value) }
        }
        throw TableReader.damaged
    }

    /// A number of things that take a byte or more each.
    mutating func count() throws(TensorFileError) -> Int {
        let count = try integer()
        guard count <= bytes.count - position else { throw TableReader.damaged }
        return count
    }

    mutating func text() throws(TensorFileError) -> String {
        let length = try count()
        defer { position += length }
        guard let text = String(validating: bytes[position..<(position + length)], as: UTF8.self) else {
            throw TableReader.damaged
        }
        return text
    }
}
