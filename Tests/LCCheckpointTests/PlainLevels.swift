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
        var (fast, slow) = (0, 0)
        // Where the last stretch of 8, 64 and 512 ends that isn't all zero, and what stands behind the last symbol that isn't zero.
        var ends = [8: 0, 64: 0, 512: 0]
        var behind = 0
        var (recent, since) = ([64: 0, 512: 0], [64: 0, 512: 0])
        func mustHold(_ i: Int, _ length: Int) -> Bool {
            guard let end = ends[8 * length] else { return false }
            return i + length == end && behind <= end - 8 * length
        }
        func met(_ i: Int, _ length: Int) -> Int { (i..<(i + length)).filter { before($0) != 0 }.count }
        elements: while result.count < count {
            let i = result.count
            let (f, g) = (min(h(fast), 15), min(h(slow), 17))
            var last = 16 * min(level(a[0]), 3) + 4 * min(level(a[1]), 3) + min(level(a[2]), 3)
            if i >= ends[8]!, slow < 16, i + 8 <= count {
                for length in [512, 64] where i >= ends[length]! && i + length <= count {
                    let s = min(h(since[length]!), 15)
                    let m = min(h(met(i, length)), 17)
                    let r = recent[length]!
                    let base = length == 64 ? 0 : 1000
                    let contexts = [r, 9 * s + g, 18 * (r % 2) + m, 16 * min(m, 3) + s].map { base + $0 }
                    let isBusy = mustHold(i, length) || ask(16, 16, contexts) == 1
                    recent[length] = (2 * r + (isBusy ? 1 : 0)) % 4
                    since[length] = isBusy ? 0 : min(since[length]! + 1, 255)
                    if isBusy {
                        ends[length] = i + length
                        continue
                    }
                    if length == 512 { (recent[64], since[64]) = (0, min(since[64]! + 8, 255)) }
                    result += Array(repeating: 0, count: length)
                    (a, fast, slow) = ([0, 0, 0], 0, 0)
                    continue elements
                }
                let m = met(i, 8)
                let isKnown = mustHold(i, 8)
                ends[8] = i + 8
                if !isKnown, ask(15, 31, [last, 18 * f + g, 9 * min(m, 4), 18 * min(m, 3) + g]) == 0 {
                    result += Array(repeating: 0, count: 8)
                    (a, fast, slow) = ([0, 0, 0], fast / 8, slow - 3 * slow / 8)
                    continue
                }
            }
            let isAwaited = i < ends[8]! && behind <= ends[8]! - 8
            if isAwaited { last = 64 + i - (ends[8]! - 8) }
            let p = before(i)
            let around = h(min(level(before(i - 1)), 7) + min(level(before(i + 1)), 7))
            let contexts = [
                last, 18 * f + g, 9 * min(level(p), 4) + around, 18 * min(level(p), 3) + g,
            ]
            var symbol = 0
            if isAwaited && i + 1 == ends[8]! || ask(0, min(g, 15), contexts) == 1 {
                behind = i + 1
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
