@testable import Tensors

/// A model file. What is accepted can be written, and is then read as the same.
enum SafetensorsTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        // The header's length in front and the data's length are made right in a second attempt.
        let asIs = read(Array(bytes))
        return read(mended(bytes)) || asIs
    }

    private static func read(_ bytes: [UInt8]) -> Bool {
        guard let model = try? Safetensors.parse(bytes) else { return false }
        guard
            let header = try? Safetensors.header(
                of: model.tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: model.metadata)
        else { fatalError("a header that was read can't be written") }
        let again = try? Safetensors.parse(model.tensors.reduce(header) { $0 + $1.bytes })
        demand(again == model, "what was written is read as something else")
        return true
    }

    /// The bytes as a header, with as much data behind it as its last offset says, within reason.
    private static func mended(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        let header = bytes.dropFirst(8)
        let end = header.lastIndex(of: UInt8(ascii: "}")).map { $0 + 1 } ?? bytes.endIndex
        let text = Array(bytes[min(8, bytes.count)..<max(end, min(8, bytes.count))])
        let numbers = text.split { !(48...57).contains($0) }.compactMap {
            Int(String(decoding: $0, as: UTF8.self))
        }
        var file: [UInt8] = []
        file.put(UInt64(text.count))
        return file + text + [UInt8](repeating: 7, count: min(numbers.last ?? 0, 1 << 16))
    }

    static var seeds: [[UInt8]] {
        let headers: [String] = [
            "{}",
            #"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#,
            #"{"__metadata__":{"k\n":"\u00e9\ud83d\ude00"},"b":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},"#
                + #" "a" : {"shape":[0,5],"dtype":"I64","data_offsets":[2,2]}}"#,
            DType.allCases.enumerated().reduce(into: ("{", 0)) { text, next in
                let end = text.1 + 3 * next.element.byteCount
                text.0 += text.1 == 0 ? "" : ","
                text.0 +=
                    #""t\#(next.offset)":{"dtype":"\#(next.element.rawValue)","shape":[3],"data_offsets":[\#(text.1),\#(end)]}"#
                text.1 = end
            }.0 + "}",
        ]
        return headers.map { header in
            let bytes = [UInt8](repeating: 0, count: 8) + Array(header.utf8)
            return bytes.withUnsafeBytes { mended($0) }
        }
    }
}

/// The little JSON of such files.
enum JSONTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var parser = JSONParser(bytes)
        guard let value = try? parser.parse() else { return false }
        let text = Array(written(value).utf8)
        let again = text.withUnsafeBytes { bytes in
            var parser = JSONParser(bytes)
            return try? parser.parse()
        }
        guard let again else { fatalError("what was written can't be read") }
        demand(written(again).utf8.elementsEqual(text), "what was written is read as something else")
        return true
    }

    private static func written(_ value: JSONValue) -> String {
        switch value {
        case .object(let members):
            "{" + members.map { jsonQuoted($0.key) + ":" + written($0.value) }.joined(separator: ",") + "}"
        case .array(let values): "[" + values.map(written).joined(separator: ",") + "]"
        case .string(let text): jsonQuoted(text)
        case .integer(let number): "\(number)"
        }
    }

    static var seeds: [[UInt8]] {
        [
            #"{"a":[1,2,{"b":"c"}],"d":"\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t","e":9223372036854775807}"#,
            " [ [ [ [ [ [ 0 ] ] ] ] ] ] ", #""text""#, "12", "{}", "[]",
        ].map { Array($0.utf8) }
    }
}
