// Exponent quantization with priority promotion (Chen et al., arXiv 2009.13003, section 4).
//
// Invariants: a bucket is the top nine bits of a delta, its key. Exponent field 0 is the zero bucket and never kept;
// exponent field 255 is no bucket but an exception. Symbol 0 is zero, symbol k the k-th promoted bucket.

private let magnitudeMask: UInt32 = 0x7fff_ffff
/// The bits of infinity: what is at or above isn't finite.
let infinityBits: UInt32 = 0x7f80_0000
private let keyCount = 512

/// The promoted buckets, and the symbols that they stand for.
struct BucketTable {
    /// The value of each symbol; the first is zero.
    var representatives: [Float] = [0]
    /// Elements of each symbol.
    var counts: [Int]

    /// Symbol by key.
    fileprivate var symbols = [UInt16](repeating: 0, count: keyCount)
    /// Value by key.
    fileprivate var values = [Float](repeating: 0, count: keyCount)
    /// No magnitude below this is kept.
    fileprivate var cutoff: UInt32 = .max
}

/// What is known of a key's members: the range of their bits, which is the range of their magnitudes.
private struct KeyRange {
    var lowest: UInt32 = .max
    var highest: UInt32 = 0
    var count: Int = 0
}

/// The largest magnitude of `target − previous`, as bits; not finite ones included.
func largestMagnitude(_ target: UnsafeBufferPointer<Float>, _ previous: UnsafeBufferPointer<Float>) -> UInt32
{
    // Magnitudes have 31 bits, and the signed comparison is the cheaper one.
    var largest: Int32 = 0
    for index in 0..<target.count {
        let magnitude = Int32(
            truncatingIfNeeded: (target[index] - previous[index]).bitPattern & magnitudeMask)
        largest = max(largest, magnitude)
    }
    return UInt32(largest)
}

/// The indices at which the delta isn't finite, and the largest finite magnitude.
func findNonfinite(
    _ target: UnsafeBufferPointer<Float>, _ previous: UnsafeBufferPointer<Float>
) -> (indices: [Int], largest: UInt32) {
    var indices: [Int] = []
    var largest: UInt32 = 0
    for index in 0..<target.count {
        let magnitude = (target[index] - previous[index]).bitPattern & magnitudeMask
        if magnitude >= infinityBits { indices.append(index) } else { largest = max(largest, magnitude) }
    }
    return (indices, largest)
}

/// Finds the buckets to keep.
///
/// - Parameters:
///   - largest: the largest finite magnitude of the delta, as bits.
///   - bits: 2^bits − 1 buckets are kept; nil keeps all.
func promote(
    _ target: UnsafeBufferPointer<Float>, _ previous: UnsafeBufferPointer<Float>, largest: UInt32, bits: Int?
) -> BucketTable {
    let top = Int(largest >> 23)
    guard top > 0 else { return BucketTable(counts: [target.count]) }
    let wanted = bits.map { $0 >= 9 ? keyCount : 1 << $0 - 1 } ?? keyCount
    // As many exponents as hold the buckets if both signs occur; when they don't, look at all.
    var floor = max(1, top - wanted / 2)
    var ranges = keyRanges(target, previous, floor: UInt32(floor) << 23)
    var keys = presentKeys(ranges, from: top, to: floor)
    if keys.count < wanted, floor > 1 {
        floor = 1
        ranges = keyRanges(target, previous, floor: 1 << 23)
        keys = presentKeys(ranges, from: top, to: floor)
    }
    var table = BucketTable(counts: [0])
    for key in keys.prefix(wanted) {
        let low = Double(Float(bitPattern: ranges[key].lowest))
        let high = Double(Float(bitPattern: ranges[key].highest))
        let value = Float((high + low) / 2)
        table.symbols[key] = UInt16(table.representatives.count)
        table.values[key] = value
        table.representatives.append(value)
        table.counts.append(ranges[key].count)
        table.cutoff = UInt32(key & 0xff) << 23
    }
    table.counts[0] = target.count - table.counts.reduce(0, +)
    return table
}

/// The keys that occur, the largest exponent first, of two with the same exponent the positive one.
private func presentKeys(_ ranges: [KeyRange], from top: Int, to floor: Int) -> [Int] {
    var keys: [Int] = []
    for exponent in stride(from: top, through: floor, by: -1) {
        if ranges[exponent].count > 0 { keys.append(exponent) }
        if ranges[exponent + 256].count > 0 { keys.append(exponent + 256) }
    }
    return keys
}

/// Whether one of the eight deltas from `index` on has a magnitude of at least `floor`.
@inline(__always)
private func reaches(
    _ target: UnsafeBufferPointer<Float>, _ previous: UnsafeBufferPointer<Float>, at index: Int,
    _ floor: UInt32
) -> Bool {
    // A magnitude below the floor leaves a sign bit; a clear one is what is looked for.
    var signs: UInt32 = .max
    for lane in index..<(index + 8) {
        signs &= ((target[lane] - previous[lane]).bitPattern & magnitudeMask) &- floor
    }
    return signs >> 31 == 0
}

/// Counts the deltas whose magnitude is at least `floor`, the bits of a power of two, and finds their extremes, by
/// key. What it says of smaller ones is not complete.
private func keyRanges(
    _ target: UnsafeBufferPointer<Float>, _ previous: UnsafeBufferPointer<Float>, floor: UInt32
) -> [KeyRange] {
    // Two tables, for even and odd indices: neighbours often share a key and needn't wait for each other.
    var table = [KeyRange](repeating: KeyRange(), count: 2 * keyCount)
    table.withUnsafeMutableBufferPointer { table in
        let table = table.baseAddress.unsafelyUnwrapped
        @inline(__always) func note(_ index: Int, _ lane: Int) {
            let bits = (target[index] - previous[index]).bitPattern
            let range = table + (2 * Int(bits >> 23) + lane)
            range.pointee.lowest = min(range.pointee.lowest, bits)
            range.pointee.highest = max(range.pointee.highest, bits)
            range.pointee.count &+= 1
        }
        var index = 0
        while index + 8 <= target.count {
            // Most groups of a sparse delta have nothing above the floor, and that is quickly seen.
            if reaches(target, previous, at: index, floor) {
                // Without a branch for each: what is below the floor is noted too, incompletely, and not looked at.
                for pair in stride(from: index, to: index + 8, by: 2) {
                    note(pair, 0)
                    note(pair + 1, 1)
                }
            }
            index += 8
        }
        while index < target.count {
            note(index, 0)
            index += 1
        }
    }
    return (0..<keyCount).map { key in
        let (even, odd) = (table[2 * key], table[2 * key + 1])
        return KeyRange(
            lowest: min(even.lowest, odd.lowest), highest: max(even.highest, odd.highest),
            count: even.count + odd.count)
    }
}

/// Writes each element's symbol and adds its value to the reconstruction.
///
/// Zero is added too: −0.0 becomes +0.0, as IEEE 754 has it. Where the delta isn't finite the symbol is zero.
func quantize(
    _ target: UnsafeBufferPointer<Float>, _ reconstruction: UnsafeMutableBufferPointer<Float>,
    table: BucketTable, into symbols: UnsafeMutableBufferPointer<UInt16>
) {
    let cutoff = min(table.cutoff, magnitudeMask)
    table.values.withUnsafeBufferPointer { values in
        table.symbols.withUnsafeBufferPointer { codes in
            var index = 0
            while index + 8 <= target.count {
                if reaches(target, UnsafeBufferPointer(reconstruction), at: index, cutoff) {
                    for lane in index..<(index + 8) {
                        let key = Int((target[lane] - reconstruction[lane]).bitPattern >> 23)
                        symbols[lane] = codes[key]
                        reconstruction[lane] += values[key]
                    }
                } else {
                    for lane in index..<(index + 8) {
                        symbols[lane] = 0
                        reconstruction[lane] += 0
                    }
                }
                index += 8
            }
            while index < target.count {
                let key = Int((target[index] - reconstruction[index]).bitPattern >> 23)
                symbols[index] = codes[key]
                reconstruction[index] += values[key]
                index += 1
            }
        }
    }
}

/// Adds each symbol's value to the reconstruction.
///
/// - Precondition: every symbol is an index into `representatives`.
func dequantize(
    _ symbols: UnsafeBufferPointer<UInt16>, representatives: [Float],
    into reconstruction: UnsafeMutableBufferPointer<Float>
) {
    representatives.withUnsafeBufferPointer { values in
        for index in 0..<symbols.count { reconstruction[index] += values[Int(symbols[index])] }
    }
}

/// ‖u − ũ‖² and ‖u‖²; not finite when an element isn't.
func squaredError(
    _ target: UnsafeBufferPointer<Float>, _ reconstruction: UnsafeBufferPointer<Float>
) -> (error: Double, norm: Double) {
    var errors = (0.0, 0.0, 0.0, 0.0)
    var norms = (0.0, 0.0, 0.0, 0.0)
    @inline(__always) func add(_ index: Int, _ error: inout Double, _ norm: inout Double) {
        let live = Double(target[index])
        let miss = live - Double(reconstruction[index])
        error += miss * miss
        norm += live * live
    }
    var index = 0
    while index + 4 <= target.count {
        add(index, &errors.0, &norms.0)
        add(index + 1, &errors.1, &norms.1)
        add(index + 2, &errors.2, &norms.2)
        add(index + 3, &errors.3, &norms.3)
        index += 4
    }
    while index < target.count {
        add(index, &errors.0, &norms.0)
        index += 1
    }
    return (errors.0 + errors.1 + errors.2 + errors.3, norms.0 + norms.1 + norms.2 + norms.3)
}
