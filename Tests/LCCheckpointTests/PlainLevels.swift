/// A second decoder of blocks of levels, written from docs/formats/auto.md: slow, and with nothing shared with the library.
struct PlainLevels {
    private var bits: PlainArithmetic
    private let previous: [Int]?
    private var counters: [[Int]: (q: Int, c: Int)] = [:]
    private var weights: [Int: [Int]] = [:]
    private static let stretched = (0..<4096).map { p in
        (-2047...2047).first { PlainLevels.squash($0) / 16 >= p } ?? 2047
    }

    /// - Parameter previous: nil if the stream doesn't use it.
    static func decode(_ bytes: [UInt8], count: Int, previous: [Int]?) throws -> [Int] {
        var decoder = PlainLevels(bytes, previous)
        let symbols = decoder.symbols(count)
        guard decoder.bits.isAtEnd else { throw PlainDecoder.Refused() }
        return symbols
    }

    private init(_ bytes: [UInt8], _ previous: [Int]?) {
        bits = PlainArithmetic(bytes)
        self.previous = previous
    }

    private static func squash(_ d: Int) -> Int {
        let knots = [
            22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768,
            40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476,
            65500, 65514,
        ]
        let (i, w) = ((d + 2048) / 128, (d + 2048) % 128)
        return (knots[i] * (128 - w) + knots[i + 1] * w + 64) / 128
    }

    private mutating func ask(_ node: Int, _ set: Int, _ contexts: [Int]) -> Int {
        let keys = contexts.prefix(previous == nil ? 2 : 4).enumerated().map { [$0, $1, node] }
        let own = keys.map { counters[$0] ?? (1 << 21, 0) }
        let x = own.map { PlainLevels.stretched[$0.q >> 10] }
        var w = weights[set] ?? Array(repeating: keys.count == 4 ? 19660 : 32768, count: keys.count)
        let dot = zip(w, x).reduce(0) { $0 + $1.0 * $1.1 }
        let probability = PlainLevels.squash(min(2047, max(-2047, dot >> 16)))
        let b = bits.bit(probability)
        for i in keys.indices {
            w[i] += (x[i] * (65536 * b - probability) + 8192) >> 14
            let (q, c) = own[i]
            counters[keys[i]] = (
                q + (((1 << 22 - 1) * b - q) * (131072 / (2 * c + 3))) >> 16, min(c + 1, 255)
            )
        }
        weights[set] = w
        return b
    }

    private mutating func symbols(_ count: Int) -> [Int] {
        func level(_ symbol: Int) -> Int { (symbol + 1) / 2 }
        func side(_ symbol: Int) -> Int { symbol == 0 ? 1 : symbol % 2 == 1 ? 2 : 0 }
        func h(_ v: Int) -> Int {
            guard v > 1 else { return max(v, 0) }
            var exponent = 0
            while v >> (exponent + 1) > 0 { exponent += 1 }
            return 1 + 2 * exponent + v >> (exponent - 1) & 1
        }
        func before(_ index: Int) -> Int {
            guard let previous, previous.indices.contains(index) else { return 0 }
            return previous[index]
        }
        var result: [Int] = []
        var a = [0, 0, 0]
        var (fast, slow, groupEnd) = (0, 0, 0)
        while result.count < count {
            let i = result.count
            let (f, g) = (min(h(fast), 15), min(h(slow), 17))
            let recent = 16 * min(level(a[0]), 3) + 4 * min(level(a[1]), 3) + min(level(a[2]), 3)
            if i >= groupEnd, slow < 16, i + 8 <= count {
                groupEnd = i + 8
                let m = (i..<groupEnd).filter { before($0) != 0 }.count
                if ask(15, 31, [recent, 18 * f + g, 9 * min(m, 4), 18 * min(m, 3) + g]) == 0 {
                    result += Array(repeating: 0, count: 8)
                    a = [0, 0, 0]
                    (fast, slow) = (fast / 8, slow - 3 * slow / 8)
                    continue
                }
            }
            let p = before(i)
            let around = h(min(level(before(i - 1)), 7) + min(level(before(i + 1)), 7))
            let contexts = [
                recent, 18 * f + g, 9 * min(level(p), 4) + around, 18 * min(level(p), 3) + g,
            ]
            var symbol = 0
            if ask(0, min(g, 15), contexts) == 1 {
                var size = 1
                while size < 13, ask(size + 1, 17 + size, contexts) == 1 { size += 1 }
                if size == 13 {
                    var (z, width) = (0, 0)
                    while level(a[0]) >> width > 0 { width += 1 }
                    while z < 13, ask(14, 30, [z, 18 * z + width, z, z]) == 1 { z += 1 }
                    var x = 1
                    if z > 0 { x = 2 + ask(14, 30, [16 + z, 270 + width, 16 + z, 16 + z]) }
                    while x >> z == 0 { x = 2 * x + bits.bit(32768) }
                    size = 12 + x
                }
                let signs = [
                    3 * side(a[0]) + side(a[1]), 4 * side(a[0]) + min(level(a[0]), 3),
                    2 * side(p) + (level(p) > 1 ? 1 : 0), 3 * side(p) + side(a[0]),
                ]
                symbol = 2 * size - 1 + ask(1, 17, signs)
            }
            result.append(symbol)
            a = [symbol, a[0], a[1]]
            let weight = 16 * min(level(symbol), 15)
            (fast, slow) = (3 * fast / 4 + weight, slow - slow / 16 + weight)
        }
        return result
    }
}
