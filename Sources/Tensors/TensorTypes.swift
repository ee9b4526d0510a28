/// A tensor's name, such as `conv1.weight`; ordered by its UTF-8 bytes.
public struct TensorName: Hashable, Sendable, Comparable, CustomStringConvertible, ExpressibleByStringLiteral
{
    public let value: String

    public init(_ value: String) { self.value = value }
    public init(stringLiteral value: String) { self.value = value }

    public var description: String { value }

    // String's own order and equality follow Unicode equivalence; files know only bytes.
    public static func == (left: TensorName, right: TensorName) -> Bool {
        left.value.utf8.elementsEqual(right.value.utf8)
    }

    public static func < (left: TensorName, right: TensorName) -> Bool {
        left.value.utf8.lexicographicallyPrecedes(right.value.utf8)
    }

    public func hash(into hasher: inout Hasher) {
        for byte in value.utf8 { hasher.combine(byte) }
        hasher.combine(0xff as UInt8)
    }
}

/// The extents of a tensor, outermost first; without extents it is a scalar of one element.
public struct Shape: Hashable, Sendable, CustomStringConvertible {
    public let dimensions: [Int]
    /// Product of the extents.
    public let elementCount: Int

    /// Nil when an extent is negative or the number of elements overflows.
    public init?(_ dimensions: [Int]) {
        var count = 1
        for dimension in dimensions {
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow else { return nil }
            count = product
        }
        self.dimensions = dimensions
        elementCount = count
    }

    public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}

/// The type of a tensor's elements, named as in safetensors.
public enum DType: String, Hashable, Sendable, CaseIterable {
    case bool = "BOOL"
    case uint8 = "U8"
    case int8 = "I8"
    case uint16 = "U16"
    case int16 = "I16"
    case uint32 = "U32"
    case int32 = "I32"
    case uint64 = "U64"
    case int64 = "I64"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case float32 = "F32"
    case float64 = "F64"

    /// Bytes per element.
    public var byteCount: Int {
        switch self {
        case .bool, .uint8, .int8: 1
        case .uint16, .int16, .float16, .bfloat16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64: 8
        }
    }
}

/// A contiguous range of a named tensor's elements in row-major order.
public struct TensorSlice: Hashable, Sendable {
    public var tensor: TensorName
    /// Element indices within the flat tensor.
    public var range: Range<Int>

    public init(tensor: TensorName, range: Range<Int>) {
        self.tensor = tensor
        self.range = range
    }

    public var elementCount: Int { range.count }
}

/// How a model is cut into shards.
public enum ShardLayout {
    /// Lays the tensors end to end, in the order of their names' UTF-8 bytes, and cuts that vector into
    /// contiguous runs whose sizes differ by at most one; the longer runs come first.
    ///
    /// A shard's slices are in order and never empty; a shard has none when there are fewer elements than shards.
    ///
    /// - Precondition: `shards` is positive, counts aren't negative.
    public static func balanced(
        tensors: [(name: TensorName, elementCount: Int)], shards: Int
    ) -> [[TensorSlice]] {
        precondition(shards > 0, "a model needs at least one shard")
        let ordered = tensors.sorted { $0.name < $1.name }
        let total = ordered.reduce(0) { $0 + $1.elementCount }
        var layout: [[TensorSlice]] = []
        layout.reserveCapacity(shards)
        var tensor = 0
        var offset = 0
        for shard in 0..<shards {
            var missing = total / shards + (shard < total % shards ? 1 : 0)
            var slices: [TensorSlice] = []
            while missing > 0 {
                let count = min(missing, ordered[tensor].elementCount - offset)
                if count > 0 {
                    slices.append(TensorSlice(tensor: ordered[tensor].name, range: offset..<(offset + count)))
                }
                offset += count
                missing -= count
                if offset == ordered[tensor].elementCount {
                    tensor += 1
                    offset = 0
                }
            }
            layout.append(slices)
        }
        return layout
    }
}
