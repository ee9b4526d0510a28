// The second decoder's streams: bit by bit, without look-up tables.

extension PlainDecoder {
    /// A stream of symbols: what its blocks share, their sizes, and the blocks.
    ///
    /// - Parameter isLast: its last block ends where the bytes do.
    mutating func stream(_ count: Int, _ alphabet: Int, isLast: Bool) throws -> [Int] {
        let first = try take(1)[0]
        let mixesPrevious = first & 15 == 12
        let coder = mixesPrevious ? 4 : first & 15
        coders.insert(coder)
        if coder == 0 { return Array(repeating: try varint(), count: count) }
        let model = coder == 2 ? try Model(&self, alphabet) : nil
        let lengths = coder == 1 ? try codeLengths(alphabet) : []
        let scaled = coder == 8 ? try PlainScaled(&self, alphabet) : nil
        if mixesPrevious || model?.usesPrevious ?? scaled?.usesPrevious ?? false { usesPrevious = true }
        let groupSize = coder == 5 ? Int(try take(1)[0]) : 1
        let groups = coder == 5 ? try groupLengths(alphabet, groupSize) : []
        let gapHead = coder == 6 ? Int(try take(1)[0]) : 0
        let size = 1 << (16 + Int(first >> 4))
        let blockCount = max(1, (count + size - 1) / size)
        var sizes: [Int] = []
        for _ in 0..<(isLast ? blockCount - 1 : blockCount) { sizes.append(try varint()) }
        if isLast { sizes.append(bytes.count - at - sizes.reduce(0, +)) }
        var result: [Int] = []
        for length in sizes {
            let own = min(size, count - result.count)
            let above =
                previous.isEmpty
                ? Array(repeating: 0, count: own) : Array(previous[result.count..<(result.count + own)])
            var body = PlainDecoder(try take(length), previous: above.map { min($0, 255) })
            switch coder {
            case 1: result += try body.huffman(own, lengths)
            case 5: result += try body.groups(own, groups, groupSize, alphabet)
            case 2: result += try body.contexts(own, model!)
            case 3: result += try body.take(own).map { Int($0) }
            case 4:
                result += try PlainLevels.decode(
                    try body.take(length), count: own, previous: mixesPrevious ? body.previous : nil)
            case 6: result += try body.gaps(own, alphabet, gapHead)
            case 8: result += try scaled!.decode(&body, own)
            case 7: result += try PlainCounts.decode(try body.take(length), count: own, alphabet: alphabet)
            default: throw Refused()
            }
            guard body.at == body.bytes.count else { throw Refused() }
        }
        return result
    }

    /// Reads numbers bit by bit from where the reader is; whole bytes are taken at the end.
    struct Bits {
        private let bits: [Int]
        private var position = 0

        init(_ reader: PlainDecoder) { bits = PlainDecoder.bits(Array(reader.bytes[reader.at...])) }

        var byteCount: Int { (position + 7) / 8 }

        mutating func read(_ count: Int) -> Int {
            position += count
            return (0..<count).reduce(0) { $0 + bits[position - count + $1] << $1 }
        }

        mutating func gamma() -> Int {
            var zeros = 0
            while read(1) == 0 { zeros += 1 }
            return 1 << zeros + read(zeros)
        }

        mutating func rice(_ low: Int) -> Int {
            var zeros = 0
            while read(1) == 0 { zeros += 1 }
            return zeros << low + read(low)
        }
    }

    private mutating func gaps(_ count: Int, _ alphabet: Int, _ head: Int) throws -> [Int] {
        var result = [Int](repeating: 0, count: count)
        guard !bytes.isEmpty else { return result }
        var bits = Bits(self)
        var next = 0
        for _ in 0..<bits.gamma() {
            next += bits.rice(head & 31)
            let distance = alphabet > 2 ? bits.rice(head >> 5 & 3) : 0
            result[next] = head & 128 != 0 ? alphabet - 1 - distance : 1 + distance
            next += 1
        }
        _ = try take(bits.byteCount)
        return result
    }

    /// A bit stream's bits.
    private static func bits(_ bytes: [UInt8]) -> [Int] {
        bytes.flatMap { byte in (0..<8).map { Int(byte >> UInt8($0)) & 1 } }
    }

    private mutating func codeLengths(_ alphabet: Int) throws -> [Int] {
        let table = PlainDecoder.bits(try take((5 * alphabet + 7) / 8))
        return (0..<alphabet).map { symbol in (0..<5).reduce(0) { $0 + table[5 * symbol + $1] << $1 } }
    }

    private mutating func groupLengths(_ alphabet: Int, _ size: Int) throws -> [Int] {
        let count = (0..<size).reduce(1) { product, _ in product * alphabet }
        let table = PlainDecoder.bits(try take((count + 1) / 2))
        return (0..<count).map { group in (0..<4).reduce(0) { $0 + table[4 * group + $1] << $1 } }
    }

    /// A canonical code's symbols by their codes.
    private static func codes(_ lengths: [Int]) -> [[Int]: Int] {
        var symbols: [[Int]: Int] = [:]
        var code = 0
        for length in 1...24 {
            for symbol in lengths.indices where lengths[symbol] == length {
                symbols[(0..<length).map { code >> (length - 1 - $0) & 1 }] = symbol
                code += 1
            }
            code <<= 1
        }
        return symbols
    }

    private mutating func groups(
        _ count: Int, _ lengths: [Int], _ size: Int, _ alphabet: Int
    ) throws -> [Int] {
        let groups = PlainDecoder.codes(lengths)
        let sizes = [try varint(), try varint(), try varint()]
        let quarter = (count + 4 * size - 1) / (4 * size) * size
        var result: [Int] = []
        for stream in 0..<4 {
            let bits = PlainDecoder.bits(try take(stream < 3 ? sizes[stream] : bytes.count - at))
            var prefix: [Int] = []
            var position = 0
            while result.count < min(quarter * (stream + 1), count) {
                prefix.append(bits[position])
                position += 1
                guard var group = groups[prefix] else { continue }
                for _ in 0..<size {
                    if result.count < count { result.append(group % alphabet) }
                    group /= alphabet
                }
                prefix = []
            }
        }
        return result
    }

    /// Groups of one.
    private mutating func huffman(_ count: Int, _ lengths: [Int]) throws -> [Int] {
        try groups(count, lengths, 1, lengths.count)
    }

    /// Which table each context has, and the tables.
    static func tables(
        _ bits: inout Bits, count: Int, contexts: Int, _ alphabet: Int, stride: Int
    ) -> (map: [Int], tables: [[Int]]) {
        var recent = Array(0..<count)
        let map = (0..<contexts).map { _ in
            let table = recent.remove(at: count == 1 ? 0 : bits.gamma() - 1)
            recent.insert(table, at: 0)
            return table
        }
        var codes: [Int]?
        return (map, (0..<count).map { _ in table(&bits, alphabet, stride, &codes) })
    }

    private static func frequency(_ step: Int) -> Int {
        // 2^(step/8) by repeated square roots of two.
        var value = 1.0
        let root = 2.0.squareRoot()
        let factors = [2.0, root, root.squareRoot(), root.squareRoot().squareRoot()]
        for _ in 0..<(step / 8) { value *= factors[0] }
        if step & 4 != 0 { value *= factors[1] }
        if step & 2 != 0 { value *= factors[2] }
        if step & 1 != 0 { value *= factors[3] }
        return Int((value + 0.5).rounded(.down))
    }

    fileprivate static func table(
        _ bits: inout Bits, _ alphabet: Int, _ stride: Int, _ before: inout [Int]?
    ) -> [Int] {
        var width = 0
        while 1 << width < alphabet { width += 1 }
        let main = bits.read(width)
        let isFromTable = before != nil && bits.read(1) == 1
        var codes = [Int](repeating: 0, count: alphabet)
        var last = 0
        for symbol in codes.indices where symbol != main {
            let value = bits.gamma() - 1
            codes[symbol] =
                (isFromTable ? before![symbol] : last) + (value % 2 == 0 ? value / 2 : -(value + 1) / 2)
            last = codes[symbol]
        }
        var frequencies = codes.map { $0 == 0 ? 0 : frequency(($0 - 1) * stride) }
        frequencies[main] = 4096 - frequencies.reduce(0, +)
        var code = 0
        while (code + 1) * stride <= 96, frequency((code + 1) * stride) <= frequencies[main] {
            code += 1
        }
        codes[main] = code + 1
        before = codes
        return frequencies
    }

    /// Contexts and frequencies.
    private struct Model {
        var left: [Int] = []
        var above: [Int] = []
        var isWide: Bool
        var usesPrevious: Bool
        var isSparse: Bool
        var map: [Int] = []
        var tables: [[Int]] = []
        var runs: [Int] = []
        var near: Int { isWide ? (usesPrevious ? 4 : 2) : 1 }

        init(_ reader: inout PlainDecoder, _ alphabet: Int) throws {
            let code = Int(try reader.take(1)[0])
            func bounds(_ layout: Int) throws -> [Int] {
                switch layout {
                case 0: return []
                case 1: return [1]
                case 2: return Array(1..<alphabet)
                default:
                    var last = 0
                    return try (0..<(try reader.varint())).map { _ in
                        last += try reader.varint()
                        return last
                    }
                }
            }
            left = try bounds(code & 3)
            above = try bounds(code >> 2 & 3)
            isWide = code & 16 != 0
            usesPrevious = code & 32 != 0
            isSparse = code & 64 != 0
            var bits = Bits(reader)
            let count = bits.gamma()
            (map, tables) = PlainDecoder.tables(
                &bits, count: count, contexts: (left.count + 1) * (above.count + 1) * near, alphabet,
                stride: code & 128 != 0 ? 2 : 1)
            var codes: [Int]?
            if isSparse {
                let tokens = bits.read(6) + 1
                runs = PlainDecoder.table(&bits, tokens, 2, &codes)
            }
            _ = try reader.take(bits.byteCount)
        }

        /// The context of an element.
        func context(_ symbols: [Int], _ previous: [Int], _ index: Int, from start: Int) -> Int {
            let first = index > start ? symbols[index - 1] : 0
            let second = index > start + 1 ? symbols[index - 2] : 0
            var near = isWide && second != 0 ? 1 : 0
            if isWide, usesPrevious {
                near += index > 0 && previous[index - 1] != 0 ? 1 : 0
                near += index + 1 < previous.count && previous[index + 1] != 0 ? 1 : 0
            }
            let above = self.above.filter { $0 <= (usesPrevious ? previous[index] : 0) }.count
            return (left.filter { $0 <= first }.count * (self.above.count + 1) + above) * self.near + near
        }
    }

    /// Takes a value of these frequencies from a state.
    mutating func symbol(_ frequencies: [Int], _ state: inout Int) throws -> Int {
        var start = 0
        var symbol = 0
        let slot = state % 4096
        while slot >= start + frequencies[symbol] {
            start += frequencies[symbol]
            symbol += 1
        }
        state = frequencies[symbol] * (state / 4096) + slot - start
        if state < 1 << 15 { state = state << 16 + (try number(2)) }
        return symbol
    }

    private mutating func contexts(_ count: Int, _ model: Model) throws -> [Int] {
        if model.isSparse {
            return bytes.isEmpty ? Array(repeating: 0, count: count) : try sparse(count, model)
        }
        let lanes = count < 4096 ? 1 : 4
        let length = (count + lanes - 1) / lanes
        var states: [Int] = []
        for _ in 0..<lanes { states.append(try number(4)) }
        var result = [Int](repeating: 0, count: count)
        for step in 0..<length {
            for lane in 0..<lanes where lane * length + step < count {
                let index = lane * length + step
                let context = model.context(result, previous, index, from: lane * length)
                result[index] = try symbol(model.tables[model.map[context]], &states[lane])
            }
        }
        guard states.allSatisfy({ $0 == 1 << 15 }) else { throw Refused() }
        return result
    }

    private mutating func sparse(_ count: Int, _ model: Model) throws -> [Int] {
        var states: [Int] = [try number(4), try number(4)]
        var turn = 0
        func next(_ frequencies: [Int]) throws -> Int {
            defer { turn ^= 1 }
            return try symbol(frequencies, &states[turn])
        }
        func rawBits(_ count: Int) throws -> Int {
            guard count > 0 else { return 0 }
            // As many equal frequencies as there are values.
            return try next(Array(repeating: 4096 >> count, count: 1 << count))
        }
        func run() throws -> Int {
            let token = try next(model.runs)
            if token == 0 { return Int.max }
            if token <= 16 { return token - 1 }
            let exponent = (token - 17) / 2 + 4
            let low = try rawBits(min(exponent - 1, 12))
            let high = try rawBits(max(exponent - 13, 0))
            return (2 + (token - 17) % 2) << (exponent - 1) + low + high << 12
        }
        var result = [Int](repeating: 0, count: count)
        var left = try run()
        for index in 0..<count {
            let context = model.context(result, previous, index, from: 0)
            if context > 0 {
                result[index] = try next(model.tables[model.map[context]])
            } else if left > 0 {
                left -= left == Int.max ? 0 : 1
            } else {
                result[index] = try next(model.tables[model.map[0]])
                left = try run()
            }
        }
        guard left == Int.max, states == [1 << 15, 1 << 15] else { throw Refused() }
        return result
    }
}
