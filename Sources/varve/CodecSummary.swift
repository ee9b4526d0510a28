import LCCheckpoint
import ModelCodec
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
