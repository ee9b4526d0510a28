/// XXH3 with seed 0, of 64 and of 128 bits, written from its public specification: word by word, and with nothing shared
/// with the library, whose digests and checksums would else be vouched for by themselves alone.
struct PlainDigest {
    struct Wide: Equatable {
        var high: UInt64
        var low: UInt64
        /// As frames write it.
        var bytes: [UInt8] {
            [high, low].flatMap { word in
                (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
            }
        }
    }

    private let input: [UInt8]
    private var count: Int { input.count }
    private var length: UInt64 { UInt64(input.count) }

    static func of64(_ input: [UInt8]) -> UInt64 { PlainDigest(input: input).digest64() }
    static func of128(_ input: [UInt8]) -> Wide { PlainDigest(input: input).digest128() }

    private static let prime32: [UInt64] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d]
    private static let prime64: [UInt64] = [
        0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63,
        0x27d4_eb2f_1656_67c5,
    ]
    private static let odd: UInt64 = 0x9fb2_1c65_1e98_df25
    private static let secret: [UInt8] = [
        0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
        0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
        0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
        0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
        0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
        0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
        0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
        0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
        0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
        0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
        0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
        0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
    ]

    private static func word(_ bytes: [UInt8], _ at: Int, _ size: Int = 8) -> UInt64 {
        (0..<size).reversed().reduce(0) { $0 << 8 | UInt64(bytes[at + $1]) }
    }
    private func word(_ at: Int, _ size: Int = 8) -> UInt64 { PlainDigest.word(input, at, size) }
    private func key(_ at: Int, _ size: Int = 8) -> UInt64 { PlainDigest.word(PlainDigest.secret, at, size) }
    private func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 { word << bits | word >> (64 - bits) }
    private func folded(_ one: UInt64, _ two: UInt64) -> UInt64 {
        let product = one.multipliedFullWidth(by: two)
        return product.high ^ product.low
    }

    /// The end of long inputs, and that of short ones.
    private func avalanche(_ hash: UInt64) -> UInt64 {
        let mixed = (hash ^ hash >> 37) &* 0x1656_6791_9e37_79f9
        return mixed ^ mixed >> 32
    }
    private func shortAvalanche(_ hash: UInt64) -> UInt64 {
        var mixed = (hash ^ hash >> 33) &* PlainDigest.prime64[1]
        mixed = (mixed ^ mixed >> 29) &* PlainDigest.prime64[2]
        return mixed ^ mixed >> 32
    }

    private func mix(_ at: Int, _ place: Int) -> UInt64 {
        folded(word(at) ^ key(place), word(at + 8) ^ key(place + 8))
    }
    private func mix(_ sums: inout Wide, _ one: Int, _ two: Int, _ place: Int) {
        sums.low = (sums.low &+ mix(one, place)) ^ (word(two) &+ word(two + 8))
        sums.high = (sums.high &+ mix(two, place + 16)) ^ (word(one) &+ word(one + 8))
    }

    private func digest64() -> UInt64 {
        let prime = PlainDigest.prime64
        switch count {
        case 0: return shortAvalanche(key(56) ^ key(64))
        case 1...3: return shortAvalanche(tiny ^ key(0, 4) ^ key(4, 4))
        case 4...8:
            var hash = (word(count - 4, 4) + word(0, 4) << 32) ^ key(8) ^ key(16)
            hash = (hash ^ rotated(hash, 49) ^ rotated(hash, 24)) &* PlainDigest.odd
            hash = (hash ^ (hash >> 35 &+ length)) &* PlainDigest.odd
            return hash ^ hash >> 28
        case 9...16:
            let (low, high) = (word(0) ^ key(24) ^ key(32), word(count - 8) ^ key(40) ^ key(48))
            return avalanche(length &+ low.byteSwapped &+ high &+ folded(low, high))
        case 17...128:
            var sum = length &* prime[0]
            for pair in (0..<((count + 31) / 32)).reversed() {
                sum &+= mix(16 * pair, 32 * pair) &+ mix(count - 16 * (pair + 1), 32 * pair + 16)
            }
            return avalanche(sum)
        case 129...240:
            var sum = length &* prime[0]
            for block in 0..<(count / 16) {
                sum &+= mix(16 * block, block < 8 ? 16 * block : 16 * (block - 8) + 3)
                if block == 7 { sum = avalanche(sum) }
            }
            return avalanche(sum &+ mix(count - 16, 119))
        default: return merged(sums(), 11, length &* prime[0])
        }
    }

    /// Three bytes at most, and how many.
    private var tiny: UInt64 {
        word(count - 1, 1) | length << 8 | word(0, 1) << 16 | word(count / 2, 1) << 24
    }

    private func digest128() -> Wide {
        let prime = PlainDigest.prime64
        switch count {
        case 0: return Wide(high: shortAvalanche(key(80) ^ key(88)), low: shortAvalanche(key(64) ^ key(72)))
        case 1...3:
            let swapped = UInt64(UInt32(tiny).byteSwapped)
            let turned = (swapped << 13 | swapped >> 19) & 0xffff_ffff
            return Wide(
                high: shortAvalanche(turned ^ key(8, 4) ^ key(12, 4)),
                low: shortAvalanche(tiny ^ key(0, 4) ^ key(4, 4)))
        case 4...8:
            let keyed = (word(0, 4) + word(count - 4, 4) << 32) ^ key(16) ^ key(24)
            var (high, low) = keyed.multipliedFullWidth(by: prime[0] &+ length << 2)
            high &+= low << 1
            low ^= high >> 3
            low = (low ^ low >> 35) &* PlainDigest.odd
            return Wide(high: avalanche(high), low: low ^ low >> 28)
        case 9...16:
            let last = word(count - 8)
            var (high, low) = (word(0) ^ last ^ key(32) ^ key(40)).multipliedFullWidth(by: prime[0])
            low &+= (length - 1) << 54
            let keyed = last ^ key(48) ^ key(56)
            high &+= keyed &+ (keyed & 0xffff_ffff) * (PlainDigest.prime32[1] - 1)
            let end = (low ^ high.byteSwapped).multipliedFullWidth(by: prime[1])
            return Wide(high: avalanche(end.high &+ high &* prime[1]), low: avalanche(end.low))
        case 17...240:
            var sums = Wide(high: 0, low: length &* prime[0])
            if count <= 128 {
                for pair in (0..<((count + 31) / 32)).reversed() {
                    mix(&sums, 16 * pair, count - 16 * (pair + 1), 32 * pair)
                }
            } else {
                for block in 0..<(count / 32) {
                    mix(&sums, 32 * block, 32 * block + 16, block < 4 ? 32 * block : 32 * (block - 4) + 3)
                    if block == 3 { sums = Wide(high: avalanche(sums.high), low: avalanche(sums.low)) }
                }
                mix(&sums, count - 16, count - 32, 103)
            }
            let high = sums.low &* prime[0] &+ sums.high &* prime[3] &+ length &* prime[1]
            return Wide(high: 0 &- avalanche(high), low: avalanche(sums.low &+ sums.high))
        default:
            let sums = sums()
            return Wide(
                high: merged(sums, 117, ~(length &* prime[1])), low: merged(sums, 11, length &* prime[0]))
        }
    }

    /// Eight sums over stripes of 64 bytes, stirred after every sixteen.
    private func sums() -> [UInt64] {
        let (short, long) = (PlainDigest.prime32, PlainDigest.prime64)
        var sums = [short[2], long[0], long[1], long[2], long[3], short[1], long[4], short[0]]
        func add(_ start: Int, _ place: Int) {
            for lane in 0..<8 {
                let value = word(start + 8 * lane)
                let keyed = value ^ key(place + 8 * lane)
                sums[lane ^ 1] &+= value
                sums[lane] &+= (keyed & 0xffff_ffff) &* (keyed >> 32)
            }
        }
        for stripe in 0..<((count - 1) / 64) {
            add(64 * stripe, stripe % 16 * 8)
            guard stripe % 16 == 15 else { continue }
            for lane in 0..<8 {
                sums[lane] = (sums[lane] ^ sums[lane] >> 47 ^ key(128 + 8 * lane)) &* short[0]
            }
        }
        add(count - 64, 121)
        return sums
    }

    private func merged(_ sums: [UInt64], _ place: Int, _ start: UInt64) -> UInt64 {
        avalanche(
            (0..<4).reduce(start) { hash, pair in
                hash
                    &+ folded(
                        sums[2 * pair] ^ key(place + 16 * pair),
                        sums[2 * pair + 1] ^ key(place + 16 * pair + 8))
            })
    }
}
