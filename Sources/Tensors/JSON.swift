// A strict reader (RFC 8259) of the little JSON that a safetensors header needs: objects, arrays, strings and
// whole numbers. Names that come twice, numbers with fractions, deep nesting and bad UTF-8 are errors.

/// A JSON value of a safetensors header.
indirect enum JSONValue {
    case object([JSONMember])
    case array([JSONValue])
    case string(String)
    case integer(Int)
}

/// A name and its value.
struct JSONMember {
    var key: String
    var value: JSONValue
}

struct JSONParser {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Reads one value that fills the bytes, but for white space.
    mutating func parse() throws(TensorFileError) -> JSONValue {
        let content = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("something follows the header's end") }
        return content
    }

    private func failure(_ what: String) -> TensorFileError {
        TensorFileError(.malformed, "header is no valid JSON at byte \(position): \(what)")
    }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(TensorFileError) -> JSONValue {
        guard depth < 8 else { throw failure("it is nested too deeply") }
        if take(UInt8(ascii: "{")) { return .object(try object(depth: depth)) }
        if take(UInt8(ascii: "[")) { return .array(try array(depth: depth)) }
        if take(UInt8(ascii: "\"")) { return .string(try string()) }
        return .integer(try integer())
    }

    private mutating func object(depth: Int) throws(TensorFileError) -> [JSONMember] {
        var members: [JSONMember] = []
        var keys: Set<[UInt8]> = []
        if take(UInt8(ascii: "}")) { return [] }
        repeat {
            guard take(UInt8(ascii: "\"")) else { throw failure("a name should stand here") }
            let key = try string()
            guard keys.insert(Array(key.utf8)).inserted else { throw failure("the name \(key) comes twice") }
            guard take(UInt8(ascii: ":")) else { throw failure("a colon should stand here") }
            members.append(JSONMember(key: key, value: try value(depth: depth + 1)))
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw failure("a comma or brace should stand here") }
        return members
    }

    private mutating func array(depth: Int) throws(TensorFileError) -> [JSONValue] {
        var values: [JSONValue] = []
        if take(UInt8(ascii: "]")) { return [] }
        repeat { values.append(try value(depth: depth + 1)) } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw failure("a comma or bracket should stand here") }
        return values
    }

    private mutating func integer() throws(TensorFileError) -> Int {
        skipSpace()
        let start = position
        var value = 0
        while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = shifted.addingReportingOverflow(Int(bytes[position]) - 0x30)
            guard !overflow, !carry else { throw failure("the number is too large") }
            value = sum
            position += 1
        }
        guard position > start, bytes[start] != 0x30 || position == start + 1 else {
            throw failure("a value should stand here")
        }
        return value
    }

    /// The rest of a string whose quote was taken.
    private mutating func string() throws(TensorFileError) -> String {
        var text: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else { throw failure("bad UTF-8") }
                return string
            case UInt8(ascii: "\\"):
                try text.append(contentsOf: escaped())
            case 0..<0x20:
                throw failure("a control character stands in a string")
            default:
                text.append(byte)
            }
        }
        throw failure("a string has no end")
    }

    /// What follows a backslash.
    private mutating func escaped() throws(TensorFileError) -> [UInt8] {
        guard position < bytes.count else { throw failure("a string has no end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if (0xd800..<0xdc00).contains(code) {
                guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                    bytes[position + 1] == UInt8(ascii: "u")
                else { throw failure("half a surrogate pair") }
                position += 2
                let low = try hexadecimal()
                guard (0xdc00..<0xe000).contains(low) else { throw failure("half a surrogate pair") }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair") }
            return Array(String(Character(scalar)).utf8)
        default: throw failure("an unknown escape")
        }
    }

    private mutating func hexadecimal() throws(TensorFileError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard position < bytes.count,
                let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue
            else { throw failure("an escape without four digits") }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }
}

/// A string as JSON has it, quotes included.
public func jsonQuoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": quoted += "\\\""
        case "\\": quoted += "\\\\"
        case "\n": quoted += "\\n"
        case "\r": quoted += "\\r"
        case "\t": quoted += "\\t"
        case "\0"..<" ", "\u{7f}":
            let digits = String(scalar.value, radix: 16)
            quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: quoted.unicodeScalars.append(scalar)
        }
    }
    return quoted + "\""
}
