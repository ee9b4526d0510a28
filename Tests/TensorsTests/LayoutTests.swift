import Testing

@testable import Tensors

@Suite struct LayoutTests {
    @Test func runsCoverEverythingAndDifferByAtMostOne() {
        for shards in 1...9 {
            for counts in [[0], [1], [3, 0, 7], [10, 20, 30], [1, 1, 1], []] {
                let tensors = counts.enumerated().map { (name: TensorName("t\($0)"), elementCount: $1) }
                let layout = ShardLayout.balanced(tensors: tensors.reversed(), shards: shards)
                let sizes = layout.map { $0.reduce(0) { $0 + $1.elementCount } }
                #expect(layout.count == shards)
                #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
                var next: [TensorName: Int] = [:]
                for slice in layout.joined() {
                    #expect(slice.range.lowerBound == next[slice.tensor, default: 0])
                    #expect(!slice.range.isEmpty)
                    next[slice.tensor] = slice.range.upperBound
                }
                for tensor in tensors { #expect(next[tensor.name, default: 0] == tensor.elementCount) }
            }
        }
    }

    @Test func namesAreOrderedByTheirBytes() {
        #expect(TensorName("a") < TensorName("b"))
        #expect(TensorName("e\u{301}") != TensorName("\u{e9}"))
        #expect(TensorName("Z") < TensorName("a"))
    }
}

@Suite struct SafetensorsTests {
    private func file(_ header: String, data: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8)
            + [UInt8](repeating: 0, count: data)
    }

    @Test func whatIsWrittenIsRead() throws {
        let shape = try #require(Shape([2, 3]))
        let scalar = try #require(Shape([]))
        let matrix = try #require(Tensor(name: "b\"\n", shape: shape, floats: [1, 2, 3, 4, 5, 6]))
        let flag = try #require(Tensor(name: "a", dtype: .bool, shape: scalar, bytes: [1]))
        let collection = try TensorCollection(tensors: [matrix, flag], metadata: ["k\u{1}": "v\u{1F600}"])
        let header = try Safetensors.header(
            of: collection.tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: collection.metadata)
        let bytes = header + collection.tensors.flatMap(\.bytes)
        #expect(try Safetensors.parse(bytes) == collection)
        for count in bytes.indices {
            #expect(throws: TensorFileError.self) { try Safetensors.parse(Array(bytes[..<count])) }
        }
    }

    @Test(arguments: [
        #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
        #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"X9","shape":[2],"data_offsets":[0,8]}}"#,
        #"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", "{",
        "",
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, #"{"__metadata__":{"k":1}}"#,
    ])
    func badHeadersAreRefused(_ header: String) {
        #expect(throws: TensorFileError.self) { try Safetensors.parse(file(header, data: 8)) }
    }

    @Test func crcIsTheStandardOne() {
        #expect(CRC32.of(Array("123456789".utf8)) == 0xcbf4_3926)
        #expect(CRC32.of(Array("6789".utf8), after: CRC32.of(Array("12345".utf8))) == 0xcbf4_3926)
    }
}
