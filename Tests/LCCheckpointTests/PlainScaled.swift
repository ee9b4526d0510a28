/// A second decoder of scaled levels, written from docs/formats/auto.md: slow, and with nothing shared with the library.
struct PlainScaled {
    private let alphabet: Int
    let usesPrevious: Bool
    private var map: [Int] = []
    private var tables: [[Int]] = []

    init(_ reader: inout PlainDecoder, _ alphabet: Int) throws {
        self.alphabet = alphabet
        let flags = try reader.take(1)[0]
        guard flags < 2, alphabet > 1 else { throw PlainDecoder.Refused() }
        usesPrevious = flags == 1
        let contexts = 22 * (usesPrevious ? 21 : 9)
        var bits = PlainDecoder.Bits(reader)
        let count = bits.gamma()
        (map, tables) = PlainDecoder.tables(
            &bits, count: count, contexts: contexts, PlainScaled.classOf(alphabet / 2 * 2) + 1, stride: 1)
        _ = try reader.take(bits.byteCount)
    }

    private static func log2(_ value: Int) -> Int {
        var exponent = 0
        while value >> (exponent + 1) > 0 { exponent += 1 }
        return exponent
    }

    private static func classOf(_ x: Int) -> Int {
        guard x >= 15 else { return x }
        let size = (x + 1) / 2
        let e = log2(size)
        return 2 * (4 * (e - 1) + size / (1 << (e - 2)) % 4) - x % 2
    }

    private static func kind(_ z: Int, _ u: Int, _ v: Int, _ m: Int) -> Int {
        z < u ? z : min(m, u + (z - u) / v)
    }

    private func context(_ a: Int, _ y: Int, _ p: Int) -> Int {
        let w = a / 8 + 1
        let e = PlainScaled.log2(w)
        let s = 2 * e + (e > 0 ? w >> (e - 1) & 1 : 0)
        guard usesPrevious else { return s * 9 + PlainScaled.kind((y + 1) / 2, 4, 6, 8) }
        let c = PlainScaled.classOf(p)
        return s * 21 + (p == 0 ? 0 : 2 * PlainScaled.kind((c + 1) / 2, 6, 4, 10) - p % 2)
    }

    /// The symbol of the lowest absolute value in a class, and how many bits the class leaves open, by trying every symbol.
    private static let classes: [Int: (first: Int, bits: Int)] = {
        var members: [Int: [Int]] = [:]
        for x in 0...32_766 { members[classOf(x), default: []].append(x) }
        return members.mapValues { (first: $0[0], bits: log2($0.count)) }
    }()

    func decode(_ body: inout PlainDecoder, _ count: Int) throws -> [Int] {
        guard count > 0 else { return [] }
        let hasOpenBits = tables[0].count > 15
        let end = hasOpenBits ? try body.varint() + body.at : body.bytes.count
        let lanes = count < 4096 ? 1 : 4
        let length = (count + lanes - 1) / lanes
        var states: [Int] = []
        for _ in 0..<lanes { states.append(try body.number(4)) }
        var averages = [Int](repeating: 0, count: lanes)
        var last = [Int](repeating: 0, count: lanes)
        var result = [Int](repeating: 0, count: count)
        for step in 0..<length {
            for lane in 0..<lanes where lane * length + step < count {
                let index = lane * length + step
                let p = usesPrevious ? body.previous[index] : 0
                let table = tables[map[context(averages[lane], last[lane], p)]]
                let y = try body.symbol(table, &states[lane])
                result[index] = y
                // The quotient is rounded down.
                averages[lane] += (256 * ((y + 1) / 2) - averages[lane]) >> 4
                last[lane] = y
            }
        }
        guard states.allSatisfy({ $0 == 1 << 15 }), body.at == end else { throw PlainDecoder.Refused() }
        var open = PlainDecoder.Bits(body)
        for index in 0..<count {
            guard let (first, bits) = PlainScaled.classes[result[index]] else { throw PlainDecoder.Refused() }
            result[index] = first + 2 * open.read(bits)
            guard result[index] < alphabet else { throw PlainDecoder.Refused() }
        }
        _ = try body.take(open.byteCount)
        return result
    }
}
