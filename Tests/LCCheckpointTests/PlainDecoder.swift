/// A second decoder of delta and base frames of one Float32 section, written from docs/formats/frame.md: bit by bit,
/// without look-up tables, and with nothing shared with the library. Checks little: it is for good frames.
struct PlainDecoder {
    struct Refused: Error {}
    private var bytes: [UInt8]
    private var at = 0

    static func decode(_ frame: [UInt8], onto previous: [Float]) throws -> [Float] {
        var reader = PlainDecoder(bytes: Array(frame.dropLast(8)), at: 0)
        guard try reader.take(4) == [0x56, 0x4c, 0x43, 0x46], try reader.take(1) == [1] else {
            throw Refused()
        }
        let isBase = try reader.take(1) == [0]
        guard try reader.number(2) == 0, try reader.number(8) == frame.count else { throw Refused() }
        _ = try reader.take(8 + 16 + 16)
        guard try reader.varint() == 1, try reader.take(1) == [0], try reader.varint() == 0 else {
            throw Refused()
        }
        guard try reader.varint() == previous.count else { throw Refused() }
        _ = try reader.take(try reader.varint())
        _ = try reader.take(try reader.varint())
        guard try reader.varint() == 1 else { throw Refused() }
        _ = try reader.varint()
        let codec = try reader.take(1)[0]
        guard try reader.varint() == previous.count else { throw Refused() }
        return codec == 0
            ? try reader.exact(isBase ? previous.map { _ in 0 } : previous) : try reader.lc(previous)
    }

    private mutating func take(_ count: Int) throws -> [UInt8] {
        guard count >= 0, at + count <= bytes.count else { throw Refused() }
        defer { at += count }
        return Array(bytes[at..<(at + count)])
    }

    private mutating func number(_ count: Int) throws -> Int {
        try take(count).reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    private mutating func varint() throws -> Int {
        let byte = Int(try take(1)[0])
        return byte < 128 ? byte : (byte - 128) + 128 * (try varint())
    }

    private mutating func exact(_ previous: [Float]) throws -> [Float] {
        var words = previous.map(\.bitPattern)
        for plane in 0..<4 {
            for (index, symbol) in try block(previous.count, 256).enumerated() {
                words[index] ^= UInt32(symbol) << UInt32(8 * plane)
            }
        }
        return words.map { Float(bitPattern: $0) }
    }

    private mutating func lc(_ previous: [Float]) throws -> [Float] {
        _ = try take(1)
        var values: [Float] = [0]
        for _ in 0..<(try varint()) { values.append(Float(bitPattern: UInt32(try number(4)))) }
        var state = zip(previous, try block(previous.count, values.count)).map { $0 + values[$1] }
        var index = -1
        for _ in 0..<(try varint()) {
            index += try varint() + 1
            state[index] = Float(bitPattern: UInt32(try number(4)))
        }
        return state
    }

    private mutating func block(_ count: Int, _ alphabet: Int) throws -> [Int] {
        let coder = try take(1)[0]
        var body = PlainDecoder(bytes: try take(try varint()), at: 0)
        switch coder {
        case 0: return Array(repeating: try body.varint(), count: count)
        case 1: return try body.huffman(count, alphabet)
        case 2: return try body.rans(count)
        case 3: return try body.runs(count, alphabet)
        case 4: return try body.take(count).map { Int($0) }
        default: throw Refused()
        }
    }

    /// A bit stream's bits.
    private static func bits(_ bytes: [UInt8]) -> [Int] {
        bytes.flatMap { byte in (0..<8).map { Int(byte >> UInt8($0)) & 1 } }
    }

    private mutating func huffman(_ count: Int, _ alphabet: Int) throws -> [Int] {
        let table = PlainDecoder.bits(try take((5 * alphabet + 7) / 8))
        let lengths = (0..<alphabet).map { symbol in (0..<5).reduce(0) { $0 + table[5 * symbol + $1] << $1 } }
        var symbols: [[Int]: Int] = [:]
        var code = 0
        for length in 1...24 {
            for symbol in lengths.indices where lengths[symbol] == length {
                symbols[(0..<length).map { code >> (length - 1 - $0) & 1 }] = symbol
                code += 1
            }
            code <<= 1
        }
        let sizes = [try varint(), try varint(), try varint()]
        let quarter = (count + 3) / 4
        var result: [Int] = []
        for stream in 0..<4 {
            let bits = PlainDecoder.bits(try take(stream < 3 ? sizes[stream] : bytes.count - at))
            var prefix: [Int] = []
            var position = 0
            while result.count < min(quarter * (stream + 1), count) {
                prefix.append(bits[position])
                position += 1
                guard let symbol = symbols[prefix] else { continue }
                result.append(symbol)
                prefix = []
            }
        }
        return result
    }

    private mutating func rans(_ count: Int) throws -> [Int] {
        let head = Int(try take(1)[0])
        let scale = head & 0x7f
        let used = try varint()
        let bits = PlainDecoder.bits(Array(bytes[at...]))
        var position = 0
        var owners: [(symbol: Int, start: Int, frequency: Int)] = []
        for symbol in 0..<used {
            var zeros = 0
            while bits[position] == 0 {
                zeros += 1
                position += 1
            }
            position += 1
            let frequency = (0..<zeros).reduce(1 << zeros) { $0 + bits[position + $1] << $1 } - 1
            position += zeros
            owners += Array(repeating: (symbol, owners.count, frequency), count: frequency)
        }
        _ = try take((position + 7) / 8)
        var states: [Int] = []
        for _ in 0..<(head & 0x80 == 0 ? 1 : 4) { states.append(try number(4)) }
        var result: [Int] = []
        for index in 0..<count {
            let state = states[index % states.count]
            let slot = state % (1 << scale)
            let owner = owners[slot]
            result.append(owner.symbol)
            var next = owner.frequency * (state >> scale) + slot - owner.start
            if next < 1 << 15 { next = next << 16 + (try number(2)) }
            states[index % states.count] = next
        }
        guard at == bytes.count, states.allSatisfy({ $0 == 1 << 15 }) else { throw Refused() }
        return result
    }

    private mutating func runs(_ count: Int, _ alphabet: Int) throws -> [Int] {
        let items = try varint()
        let tokens = try block(items, 104)
        let values = try block(items, alphabet - 1)
        let extra = PlainDecoder.bits(Array(bytes[at...]))
        var position = 0
        var result: [Int] = []
        for (token, value) in zip(tokens, values) {
            var run = token
            if token >= 16 {
                let exponent = (token - 16) / 2 + 4
                run = (2 + (token - 16) % 2) << (exponent - 1)
                for bit in 0..<(exponent - 1) { run += extra[position + bit] << bit }
                position += exponent - 1
            }
            result += Array(repeating: 0, count: run)
            result.append(value + 1)
        }
        return result + Array(repeating: 0, count: count - result.count)
    }
}
