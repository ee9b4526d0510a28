import CKernels

// Exponent quantization with priority promotion (Chen et al., arXiv 2009.13003, section 4).
//
// Invariants: a bucket is the top nine bits of a delta, its key. Exponent field 0 is the zero bucket and never kept;
// exponent field 255 is no bucket but an exception. Symbol 0 is zero, symbol k the k-th promoted bucket.

/// Sign and exponent.
let keyCount = 512
/// The bits of infinity: what is at or above isn't finite.
let infinityBits: UInt32 = 0x7f80_0000

/// The promoted buckets, and the symbols that they stand for.
struct BucketTable: Sendable {
    /// Kept buckets are 2^bits − 1; nil for all.
    let bits: Int?
    private(set) var values: [Float] = [0]
    /// Elements of each symbol.
    private(set) var counts: [Int]
    /// Deltas that aren't finite, whose elements are carried as they are.
    let nonfinite: Int

    private(set) var symbolByKey = [UInt16](repeating: 0, count: keyCount)
    private var valueByKey = [Float](repeating: 0, count: keyCount)
    /// The exponents that are kept; none if the lowest is the higher one.
    private(set) var lowest: UInt32 = 255
    private(set) var highest: UInt32 = 0

    /// - Parameter keys: the buckets to keep, in order.
    init(_ ranges: ck_ranges, keys: ArraySlice<Int>, elements: Int, bits: Int?) {
        self.bits = bits
        nonfinite = Int(ranges.nonfinite)
        counts = [0]
        withUnsafeBytes(of: ranges) { raw in
            let lows = raw.bindMemory(to: UInt32.self)
            let tallies = UnsafeRawBufferPointer(rebasing: raw[(8 * keyCount)...])
            for key in keys {
                let low = Double(Float(bitPattern: lows[key]))
                let high = Double(Float(bitPattern: lows[keyCount + key]))
                let value = Float((high + low) / 2)
                symbolByKey[key] = UInt16(values.count)
                valueByKey[key] = value
                values.append(value)
                counts.append(Int(tallies.loadUnaligned(fromByteOffset: 8 * key, as: UInt64.self)))
                lowest = min(lowest, UInt32(key & 255))
                highest = max(highest, UInt32(key & 255))
            }
        }
        counts[0] = elements - counts.reduce(0, +)
    }

    /// Finds the buckets of a vector, without changing it.
    init(_ vector: ScopeVector, bits: Int?, threads: Int) {
        let wanted = bits.map { $0 >= 9 ? keyCount : 1 << $0 - 1 } ?? keyCount
        // As many exponents as hold the buckets if both signs occur; when they don't, look at more.
        var window = wanted / 2
        while true {
            let ranges = BucketTable.scan(vector, window: window, threads: threads)
            let top = Int(ranges.top)
            let floor = max(1, top - window)
            let keys = BucketTable.presentKeys(ranges, from: top, to: floor)
            if keys.count >= wanted || floor == 1 {
                self.init(ranges, keys: keys.prefix(wanted), elements: vector.layout.count, bits: bits)
                return
            }
            window = 2 * window + 4
        }
    }

    private static func scan(_ vector: ScopeVector, window: Int, threads: Int) -> ck_ranges {
        let piece = 1 << 18
        let count = vector.layout.count
        let pieces = (count + piece - 1) / piece
        let workers = max(1, min(threads, pieces))
        let scratches = (0..<workers).map { _ in BlockScratch(count: 0) }
        let ranges = Results(count: workers, ck_ranges())
        for worker in 0..<workers { ranges.change(worker) { ck_ranges_clear(&$0) } }
        inParallel(pieces, threads: threads) { index, worker in
            let range = (index * piece)..<min((index + 1) * piece, count)
            let room = scratches[worker].floats(2 * range.count)
            let target = vector.target(range, room)
            let previous = vector.reconstruction(range, room + range.count).floats
            ranges.change(worker) { ck_scan(target, previous, range.count, UInt32(min(window, 255)), &$0) }
        }
        var sum = ranges[0]
        for worker in 1..<workers { ranges.change(worker) { ck_ranges_merge(&sum, &$0) } }
        return sum
    }

    /// The keys that occur, the largest exponent first, of two with the same exponent the positive one.
    static func presentKeys(_ ranges: ck_ranges, from top: Int, to floor: Int) -> [Int] {
        withUnsafeBytes(of: ranges) { raw in
            let tallies = UnsafeRawBufferPointer(rebasing: raw[(8 * keyCount)...])
            var keys: [Int] = []
            for exponent in stride(from: top, through: floor, by: -1) {
                for key in [exponent, exponent + 256]
                where tallies.loadUnaligned(fromByteOffset: 8 * key, as: UInt64.self) > 0 {
                    keys.append(key)
                }
            }
            return keys
        }
    }

    /// Deltas of some keys.
    static func tally(_ ranges: ck_ranges, _ keys: [Int]) -> Int {
        withUnsafeBytes(of: ranges) { raw in
            let tallies = UnsafeRawBufferPointer(rebasing: raw[(8 * keyCount)...])
            return keys.reduce(0) {
                $0 + Int(tallies.loadUnaligned(fromByteOffset: 8 * $1, as: UInt64.self))
            }
        }
    }

    /// About the bits of the scope's heads: each bucket's value and frequency, exceptions, and the rest.
    var headBits: Double { 32 + 31 * Double(values.count - 1) + 40 * Double(nonfinite) }

    /// Appends what a reader needs to know of the values.
    func writeHead(into output: inout [UInt8]) {
        let values = self.values.dropFirst()
        output.append(varint: UInt64(values.count))
        var writer = BitWriter()
        var last: Int?
        for value in values {
            let rank = bucketRank(value)
            if let last {
                writer.append(gamma: UInt64(rank - last))
            } else {
                writer.append(UInt64(rank), count: 9)
            }
            last = rank
        }
        let digits = SignificandDigits(values)
        if values.count > 1 { writer.append(gamma: UInt64(1 + digits.zeros)) }
        for value in values {
            let count = digits.count(exponent: value.exponentBitPattern)
            writer.append(
                UInt64(value.significandBitPattern) >> UInt64(Float.significandBitCount - count), count: count
            )
        }
        output += writer.finish()
    }

    /// Writes each element's symbol and adds its value to the reconstruction, in Float32.
    ///
    /// Zero is added too: −0.0 becomes +0.0, as IEEE 754 has it. Where the delta isn't finite the symbol is zero.
    ///
    /// - Returns: ‖u − ũ‖² and ‖u‖²; not finite when an element isn't.
    func quantize(
        _ target: UnsafePointer<Float>, _ reconstruction: UnsafeMutablePointer<Float>, count: Int,
        into symbols: UnsafeMutablePointer<UInt16>
    ) -> ck_sums {
        withKernel { ck_quantize(target, reconstruction, count, $0, symbols) }
    }

    /// Adds the values of listed deltas to the reconstruction; `few` then has symbols for deltas, and no zeros.
    func quantize(
        _ reconstruction: UnsafeMutablePointer<Float>, count: Int, _ few: inout ck_few
    ) -> ck_sums {
        withKernel { ck_quantize_few(reconstruction, count, $0, &few) }
    }

    private func withKernel<Result>(_ body: (UnsafePointer<ck_buckets>) -> Result) -> Result {
        symbolByKey.withUnsafeBufferPointer { symbolByKey in
            valueByKey.withUnsafeBufferPointer { valueByKey in
                var buckets = ck_buckets(
                    symbols: symbolByKey.baseAddress.unsafelyUnwrapped,
                    values: valueByKey.baseAddress.unsafelyUnwrapped, lowest: lowest, highest: highest)
                return body(&buckets)
            }
        }
    }
}

/// A bucket's place among all that can be: larger exponents first, of two buckets with the same one the positive one.
private func bucketRank(_ value: Float) -> Int {
    2 * (254 - Int(value.exponentBitPattern)) + (value.sign == .minus ? 1 : 0)
}

private func bucketExponent(_ rank: Int) -> UInt { UInt(254 - rank / 2) }

/// How many bits of buckets' significands are told: those above the largest power of two that all values are multiples of, which
/// deltas of fine numbers have in common.
private struct SignificandDigits {
    let leastExponent: UInt
    /// Zeros at the end of a significand with the smallest exponent.
    let zeros: Int

    init(leastExponent: UInt, zeros: Int) {
        self.leastExponent = leastExponent
        self.zeros = zeros
    }

    /// For values of which the last has the smallest exponent. Of a single one all bits are told, which are as many as make whole bytes.
    init(_ values: ArraySlice<Float>) {
        let width = Float.significandBitCount
        let leastExponent = values.last?.exponentBitPattern ?? 0
        let zeros = values.map { value in
            // The leading one isn't part of it.
            let own = min(value.significandBitPattern.trailingZeroBitCount, width)
            return Int(value.exponentBitPattern - leastExponent) + own
        }
        self.init(
            leastExponent: leastExponent, zeros: values.count > 1 ? min(zeros.min() ?? 0, width) : 0)
    }

    func count(exponent: UInt) -> Int {
        let width = Float.significandBitCount
        return min(width, Int(exponent - leastExponent) + width - zeros)
    }
}

/// The head of an `lc` scope: the value of each symbol.
struct BucketValues {
    /// Buckets that can be: signs and exponents of what is finite and not below the least normal number.
    static let most = 508

    var values: [Float] = [0]

    /// Reads and checks the promoted buckets: in order, none twice, none of the zero bucket.
    ///
    /// - Parameter bits: nil for every bucket.
    init(_ reader: inout ByteReader, bits: Int?) throws(CodecError) {
        let most = min(BucketValues.most, bits.map { 1 << $0 - 1 } ?? BucketValues.most)
        let count = try reader.count("bucket count", atMost: most)
        var bits = BitReader(reader.rest)
        var ranks: [Int] = []
        for index in 0..<count {
            let more = Int(index == 0 ? try bits.read(9, "bucket") : try bits.gamma(below: 9, "bucket"))
            ranks.append((ranks.last ?? 0) + more)
            guard ranks[index] < BucketValues.most else {
                throw .malformed("frame is damaged: a bucket below the smallest exponent")
            }
        }
        let zeros = count > 1 ? Int(try bits.gamma(below: 5, "bucket")) - 1 : 0
        guard zeros <= Float.significandBitCount else {
            throw .malformed("frame is damaged: \(zeros) zeros at the end of a significand")
        }
        let digits = SignificandDigits(leastExponent: ranks.last.map(bucketExponent) ?? 0, zeros: zeros)
        for rank in ranks {
            let exponent = bucketExponent(rank)
            let count = digits.count(exponent: exponent)
            let significand =
                UInt32(try bits.read(count, "bucket")) << UInt32(Float.significandBitCount - count)
            values.append(
                Float(
                    sign: rank % 2 == 0 ? .plus : .minus, exponentBitPattern: exponent,
                    significandBitPattern: significand))
        }
        guard bits.paddingIsZero else { throw .malformed("frame is damaged: bits after the buckets") }
        _ = try reader.bytes(bits.bytesRead, "buckets")
    }
}
