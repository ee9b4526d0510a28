/// Counts each symbol.
func histogram(_ symbols: UnsafeBufferPointer<UInt16>, alphabet: Int) -> [Int] {
    // Four tables: the same symbol twice in a row doesn't wait for the count to come back from memory.
    let tables = UnsafeMutablePointer<UInt32>.allocate(capacity: 4 * alphabet)
    tables.initialize(repeating: 0, count: 4 * alphabet)
    defer { tables.deallocate() }
    var counts = [Int](repeating: 0, count: alphabet)
    var start = 0
    while start < symbols.count {
        let end = min(start + 1 << 30, symbols.count)
        var index = start
        while index + 4 <= end {
            tables[4 * Int(symbols[index])] += 1
            tables[4 * Int(symbols[index + 1]) + 1] += 1
            tables[4 * Int(symbols[index + 2]) + 2] += 1
            tables[4 * Int(symbols[index + 3]) + 3] += 1
            index += 4
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
