/// The arithmetic decoder of docs/formats/auto.md, with nothing shared with the library.
struct PlainArithmetic {
    private let bytes: [UInt8]
    private var at = 4
    private var low = 0
    private var high = 1 << 32 - 1
    private var value: Int

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        value = (0..<4).reduce(0) { $0 << 8 + ($1 < bytes.count ? Int(bytes[$1]) : 0) }
    }

    var isAtEnd: Bool { at >= bytes.count }

    mutating func bit(_ probability: Int) -> Int {
        let middle = low + (high - low) * probability / 65536
        let isOne = value <= middle
        if isOne { high = middle } else { low = middle + 1 }
        while low >> 24 == high >> 24 {
            low = low << 8 & 0xffff_ffff
            high = (high << 8 & 0xffff_ffff) + 255
            value = (value << 8 & 0xffff_ffff) + (at < bytes.count ? Int(bytes[at]) : 0)
            at += 1
        }
        return isOne ? 1 : 0
    }

    /// An Elias gamma number whose bits are as likely as not.
    mutating func gamma() throws -> Int {
        var zeros = 0
        while bit(32768) == 0 {
            zeros += 1
            guard zeros <= 16 else { throw PlainDecoder.Refused() }
        }
        return (0..<zeros).reduce(1) { value, _ in 2 * value + bit(32768) }
    }
}

/// A second decoder of counted symbols, written from docs/formats/frame.md.
enum PlainCounts {
    static func decode(_ bytes: [UInt8], count: Int, alphabet: Int) throws -> [Int] {
        var bits = PlainArithmetic(bytes)
        var left = [0]
        for _ in 1..<alphabet { left.append(try bits.gamma() - 1) }
        left[0] = count - left.reduce(0, +)
        guard left[0] >= 0 else { throw PlainDecoder.Refused() }
        let whole = left
        let order = (1..<alphabet).sorted { (whole[$1], $0) < (whole[$0], $1) }
        func chance(_ part: Int, _ all: Int) -> Int { 65536 * part / all }
        var result: [Int] = []
        while result.count < count {
            let all = left.reduce(0, +)
            let sent = all - left[0]
            var symbol = 0
            if sent > 0, left[0] == 0 || bits.bit(chance(sent, all)) == 1 {
                var rest = sent
                for own in order where left[own] > 0 {
                    if left[own] == rest || bits.bit(chance(left[own], rest)) == 1 {
                        symbol = own
                        break
                    }
                    rest -= left[own]
                }
            }
            left[symbol] -= 1
            result.append(symbol)
        }
        guard bits.isAtEnd else { throw PlainDecoder.Refused() }
        return result
    }
}
