import CKernels

/// Counts each symbol.
func histogram(_ symbols: UnsafeBufferPointer<UInt16>, alphabet: Int) -> [Int] {
    if alphabet <= Int(CK_COUNTED_FEW), let first = symbols.baseAddress {
        var counts = [UInt64](repeating: 0, count: Int(CK_COUNTED_FEW))
        ck_count_few(first, symbols.count, UInt32(alphabet), &counts)
        return counts.prefix(alphabet).map { Int($0) }
    }
    // Four tables: the same symbol twice in a row doesn't wait for the count to come back from memory.
    let tables = UnsafeMutablePointer<UInt32>.allocate(capacity: 4 * alphabet)
    tables.initialize(repeating: 0, count: 4 * alphabet)
    defer { tables.deallocate() }
    var counts = [Int](repeating: 0, count: alphabet)
    let bytes = UnsafeRawPointer(symbols.baseAddress)
    var start = 0
    while start < symbols.count {
        let end = min(start + 1 << 30, symbols.count)
        var index = start
        while index + 8 <= end, let bytes {
            let words = (bytes + 2 * index).loadUnaligned(as: SIMD2<UInt64>.self)
            if words == .zero {
                // Most of a sparse stream.
                tables[0] += 8
            } else {
                for place in 0..<8 { tables[4 * Int(symbols[index + place]) + place % 4] += 1 }
            }
            index += 8
        }
        while index < end {
            tables[4 * Int(symbols[index])] += 1
            index += 1
        }
        for entry in 0..<(4 * alphabet) {
            counts[entry / 4] += Int(tables[entry])
            tables[entry] = 0
        }
        start = end
    }
    return counts
}
