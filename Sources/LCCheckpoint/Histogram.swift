import CKernels

/// Counts each symbol.
func histogram(_ symbols: UnsafeBufferPointer<UInt16>, alphabet: Int) -> [Int] {
    if alphabet <= Int(CK_COUNTED_FEW), let first = symbols.baseAddress {
        var counts = [UInt64](repeating: 0, count: Int(CK_COUNTED_FEW))
        ck_count_few(first, symbols.count, UInt32(alphabet), &counts)
        return counts.prefix(alphabet).map { Int($0) }
    }
    var counts = [Int](repeating: 0, count: alphabet)
    guard let first = symbols.baseAddress else { return counts }
    var tables = [UInt32](repeating: 0, count: 4 * alphabet)
    for start in stride(from: 0, to: symbols.count, by: 1 << 30) {
        ck_count_many(first + start, min(1 << 30, symbols.count - start), &tables)
        for entry in tables.indices {
            counts[entry / 4] += Int(tables[entry])
            tables[entry] = 0
        }
    }
    return counts
}
