import CKernels

/// Tables of frequencies, each of which one or more contexts share.
struct ContextTables {
    /// The most tables: their slots fit the second cache.
    static let most = 64

    let count: Int
    /// By context, the table.
    let map: [UInt8]
    /// Table by table.
    private(set) var frequencies: [UInt16] = []

    /// What decoding looks up, table by table: the symbol of each slot, and each symbol's frequency and first slot.
    struct Lookups {
        private(set) var slots: [UInt16] = []
        private(set) var info: [UInt32] = []

        init() {}

        /// - Parameter frequencies: of all tables, as many for each as the alphabet has symbols.
        init(_ frequencies: ArraySlice<UInt16>, alphabet: Int) {
            for start in stride(from: frequencies.startIndex, to: frequencies.endIndex, by: alphabet) {
                add(frequencies[start..<(start + alphabet)])
            }
        }

        mutating func add(_ frequencies: ArraySlice<UInt16>) {
            var start: UInt32 = 0
            for (symbol, frequency) in frequencies.enumerated() {
                slots.append(contentsOf: repeatElement(UInt16(symbol), count: Int(frequency)))
                info.append(UInt32(frequency) | start << 16)
                start += UInt32(frequency)
            }
        }
    }

    init(
        _ bits: inout BitReader, contexts: Int, alphabet: Int, stride: Int
    ) throws(CodecError) {
        count = Int(try bits.gamma(below: 7, "table count"))
        guard count <= min(ContextTables.most, contexts) else {
            throw .malformed("frame is damaged: \(count) tables for \(contexts) contexts")
        }
        map =
            count > 1
            ? try ContextTables.readMap(&bits, contexts, count) : [UInt8](repeating: 0, count: contexts)
        var last: FrequencyTable?
        for _ in 0..<count {
            let table = try FrequencyTable(&bits, alphabet: alphabet, stride: stride, after: last)
            frequencies += table.frequencies
            last = table
        }
    }

    private static func readMap(
        _ bits: inout BitReader, _ contexts: Int, _ tableCount: Int
    ) throws(CodecError) -> [UInt8] {
        var recent = Array(0..<UInt8(tableCount))
        var map: [UInt8] = []
        for _ in 0..<contexts {
            let place = Int(try bits.gamma(below: 7, "context")) - 1
            guard place < tableCount else { throw .malformed("frame is damaged: a context without a table") }
            let table = recent.remove(at: place)
            recent.insert(table, at: 0)
            map.append(table)
        }
        return map
    }

    // MARK: Writing

    /// Tables of frequencies for these counts, and the bits that they and the symbols take.
    ///
    /// - Parameters:
    ///   - counts: by table and symbol.
    ///   - present: symbols that may occur though they weren't counted; empty when all were counted.
    static func frequencies(
        _ counts: [UInt32], _ alphabet: Int, isCoarse: Bool, _ present: [Bool]
    ) -> (tables: [FrequencyTable], bits: Double) {
        var tables: [FrequencyTable] = []
        var bits = 0.0
        counts.withUnsafeBufferPointer { counts in
            for start in Swift.stride(from: 0, to: counts.count, by: alphabet) {
                let own = UnsafeBufferPointer(rebasing: counts[start..<(start + alphabet)])
                let table = FrequencyTable(counts: own, stride: isCoarse ? 2 : 1, present: present)
                bits += Double(table.bits(after: tables.last)) + table.cost(of: own)
                tables.append(table)
            }
        }
        return (tables, bits)
    }

    /// How many tables there are, each context's, and the tables.
    static func write(_ tables: [FrequencyTable], map: [UInt8], into writer: inout BitWriter) {
        writer.append(gamma: UInt64(tables.count))
        if tables.count > 1 { write(map: map, tables.count, into: &writer) }
        for (index, table) in tables.enumerated() {
            table.write(after: index > 0 ? tables[index - 1] : nil, into: &writer)
        }
    }

    /// Each context's table by its place in a list of those used last.
    private static func write(map: [UInt8], _ tableCount: Int, into writer: inout BitWriter) {
        var recent = Array(0..<UInt8(tableCount))
        for table in map {
            let place = recent.firstIndex(of: table) ?? 0
            writer.append(gamma: UInt64(place) + 1)
            recent.remove(at: place)
            recent.insert(table, at: 0)
        }
    }

    /// What encoding looks up, table by table.
    static func steps(_ tables: [FrequencyTable]) -> [ck_step] {
        var all: [ck_step] = []
        for table in tables {
            all += [ck_step](unsafeUninitializedCapacity: table.frequencies.count) { buffer, count in
                ck_make_steps(
                    table.frequencies, table.frequencies.count, buffer.baseAddress.unsafelyUnwrapped)
                count = table.frequencies.count
            }
        }
        return all
    }
}
