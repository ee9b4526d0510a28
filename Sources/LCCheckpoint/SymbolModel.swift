import CKernels

/// Contexts and frequency tables that all blocks of a stream share.
struct SymbolModel: Sendable {
    let alphabet: Int
    let contexts: SymbolContexts
    /// Zeros among zeros are coded by runs.
    let isSparse: Bool
    /// By context, the table.
    private let map: [UInt8]
    private let tableCount: Int
    private let steps: [ck_step]
    /// Of what was read: table by table, then of the run tokens.
    private let frequencies: [UInt16]
    /// Look-ups for decoding.
    private var slots: [UInt16] = []
    private var info: [UInt32] = []
    private let left: [UInt16]
    private let above: [UInt16]
    /// As it is written.
    let head: [UInt8]

    /// Stands for an empty map.
    private nonisolated(unsafe) static let nothing = UnsafePointer(
        UnsafeMutablePointer<UInt8>.allocate(capacity: 1))
    private static let runTokens = Int(CK_RUN_TOKENS)

    // MARK: Writing

    /// Tables for these counts.
    ///
    /// - Parameters:
    ///   - tables: counts by table and symbol; in a sparse model without the cold zeros.
    ///   - runs: counts of the run tokens; nil for a dense model.
    ///   - present: symbols that may occur though they weren't counted; empty when all were counted.
    init(
        alphabet: Int, contexts: SymbolContexts, map: [UInt8], tables: [UInt32], runs: [UInt32]?,
        present: [Bool]
    ) {
        self.alphabet = alphabet
        self.contexts = contexts
        self.map = map
        isSparse = runs != nil
        tableCount = tables.count / alphabet
        left = contexts.leftTable(alphabet: alphabet)
        above = contexts.aboveTable
        frequencies = []
        // Without tables it only tells contexts apart.
        guard tableCount > 0 else {
            steps = []
            head = []
            return
        }
        let fine = ContextTables.frequencies(tables, alphabet, isCoarse: false, present)
        // Where there is much to code, or many tables of bytes to look at, fine steps are taken for better.
        let isShort = alphabet <= 16 || tables.reduce(0) { $0 + Int($1) } < 1 << 16
        let coarse = isShort ? ContextTables.frequencies(tables, alphabet, isCoarse: true, present) : fine
        let isCoarse = coarse.bits < fine.bits
        var own = isCoarse ? coarse.tables : fine.tables
        var writer = BitWriter()
        ContextTables.write(own, map: map, into: &writer)
        if let runs {
            // Long runs don't occur in short streams.
            let count = present.isEmpty ? 1 + (runs.lastIndex { $0 > 0 } ?? 0) : runs.count
            let tokens = runs[..<count].withUnsafeBufferPointer {
                FrequencyTable(
                    counts: $0, stride: 2,
                    present: present.isEmpty ? [] : Array(repeating: true, count: count))
            }
            writer.append(UInt64(count - 1), count: 6)
            tokens.write(after: nil, into: &writer)
            own.append(tokens.padded(to: runs.count))
        }
        var head = [contexts.code | (runs == nil ? 0 : 64) | (isCoarse ? 128 : 0)]
        contexts.write(into: &head)
        head += writer.finish()
        self.head = head
        steps = ContextTables.steps(own)
    }

    // MARK: Reading

    init(_ reader: inout ByteReader, alphabet: Int) throws(CodecError) {
        self.alphabet = alphabet
        let code = try reader.byte("contexts")
        // Then there is nothing to code, and a table would cost no bit.
        guard alphabet > 1 else { throw .malformed("frame is damaged: contexts of one symbol") }
        contexts = try SymbolContexts(&reader, code: code & 63, alphabet: alphabet)
        isSparse = code & 64 != 0
        var bits = BitReader(reader.rest)
        let tables = try ContextTables(
            &bits, contexts: contexts.count, alphabet: alphabet, stride: code & 128 == 0 ? 1 : 2)
        (tableCount, map) = (tables.count, tables.map)
        var frequencies = tables.frequencies
        if isSparse {
            let count = Int(try bits.read(6, "run tokens")) + 1
            guard count <= SymbolModel.runTokens else {
                throw .malformed("frame is damaged: \(count) kinds of runs")
            }
            let table = try FrequencyTable(&bits, alphabet: count, stride: 2, after: nil)
            frequencies += table.padded(to: SymbolModel.runTokens).frequencies
        }
        guard bits.paddingIsZero else { throw .malformed("frame is damaged: bits after the frequencies") }
        _ = try reader.bytes(bits.bytesRead, "frequencies")
        self.frequencies = frequencies
        steps = []
        head = []
        left = contexts.leftTable(alphabet: alphabet)
        above = contexts.aboveTable
    }

    /// The same with what decoding looks up, which is large: it is made when blocks are decoded.
    func prepared() -> SymbolModel {
        var own = self
        var lookups = ContextTables.Lookups(frequencies[..<(tableCount * alphabet)], alphabet: alphabet)
        if isSparse { lookups.add(frequencies[(tableCount * alphabet)...]) }
        (own.slots, own.info) = (lookups.slots, lookups.info)
        return own
    }

    // MARK: Blocks

    /// Calls `body` with the model as the kernels take it.
    func withKernel<Result>(_ body: (UnsafePointer<ck_model>) -> Result) -> Result {
        left.withUnsafeBufferPointer { left in
            above.withUnsafeBufferPointer { above in
                map.withUnsafeBufferPointer { map in
                    steps.withUnsafeBufferPointer { steps in
                        slots.withUnsafeBufferPointer { slots in
                            info.withUnsafeBufferPointer { info in
                                var model = ck_model(
                                    alphabet: UInt32(alphabet), tables: UInt32(tableCount),
                                    left: left.baseAddress.unsafelyUnwrapped,
                                    above: above.baseAddress.unsafelyUnwrapped,
                                    uses_left: contexts.left.count > 1, uses_above: contexts.above.count > 1,
                                    wide: contexts.wide, map: map.baseAddress ?? SymbolModel.nothing,
                                    steps: steps.baseAddress, slots: slots.baseAddress, info: info.baseAddress
                                )
                                return body(&model)
                            }
                        }
                    }
                }
            }
        }
    }

    /// Appends a block's body; a sparse block of zeros has none.
    func encode(_ block: SymbolView, scratch: BlockScratch, into output: inout [UInt8]) {
        guard block.count > 0 else { return }
        let count = block.count
        withKernel { model in
            guard isSparse else {
                let above = contexts.usesPrevious ? block.previous : nil
                let capacity = 2 * count + 16
                let buffer = scratch.bytes(capacity)
                let first = block.dense.baseAddress.unsafelyUnwrapped
                let start = ck_encode_dense(model, first, above, count, scratch.contexts, buffer, capacity)
                return output.append(
                    contentsOf: UnsafeBufferPointer(start: start, count: buffer + capacity - start))
            }
            var own = block.sparse(usesPrevious: contexts.usesPrevious, words: scratch.words)
            guard own.hasNonzero else { return }
            let capacity = ck_sparse_room(model, &own)
            let end = scratch.bytes(capacity) + capacity
            let start = ck_encode_sparse(model, &own, end)
            output.append(contentsOf: UnsafeBufferPointer(start: start, count: end - start))
        }
    }

    /// Reads a dense block's body.
    func decode(
        _ body: UnsafeRawBufferPointer, previous: UnsafePointer<UInt8>?, scratch: BlockScratch,
        into symbols: UnsafeMutableBufferPointer<UInt16>
    ) throws(CodecError) {
        guard let first = symbols.baseAddress, let bytes = body.bindMemory(to: UInt8.self).baseAddress else {
            guard body.isEmpty, symbols.isEmpty else { throw doesNotHold(symbols.count) }
            return
        }
        let fits = withKernel {
            ck_decode_dense($0, bytes, body.count, previous, symbols.count, scratch.contexts, first)
        }
        guard fits else { throw doesNotHold(symbols.count) }
    }

    /// Reads the body of a sparse block of `count` symbols as a list.
    func decodeSparse(
        _ body: UnsafeRawBufferPointer, count: Int, previous: UnsafePointer<UInt8>?, scratch: BlockScratch
    ) throws(CodecError) -> SymbolList {
        let places = scratch.numbers(2 * max(count, 1))
        let symbols = places + max(count, 1)
        guard count > 0 || body.isEmpty else { throw doesNotHold(0) }
        guard let bytes = body.bindMemory(to: UInt8.self).baseAddress, !body.isEmpty else {
            return SymbolList(places: places, symbols: symbols, count: 0)
        }
        let found = withKernel {
            contexts.count == 1
                ? ck_decode_few($0, bytes, body.count, count, places, symbols)
                : ck_decode_sparse($0, bytes, body.count, previous, count, scratch.words, places, symbols)
        }
        guard (0...count).contains(found) else { throw doesNotHold(count) }
        return SymbolList(places: places, symbols: symbols, count: found)
    }

    private func doesNotHold(_ count: Int) -> CodecError {
        .malformed("frame is damaged: a block doesn't hold its \(count) symbols")
    }
}

extension SymbolModel {
    /// Sparse and without contexts: zeros need not be looked at.
    var takesLists: Bool { isSparse && contexts.count == 1 }

    /// The bodies of one or two blocks that are listed by pieces; of zeros alone there is none.
    ///
    /// Two take little longer than one.
    func encode(_ blocks: [UnsafeBufferPointer<ck_few>], scratch: BlockScratch) -> [[UInt8]] {
        let capacities = blocks.map { $0.reduce(16) { $0 + 8 * $1.count } }
        var room = scratch.bytes(capacities.reduce(0, +))
        var own = zip(blocks, capacities).map { pieces, capacity in
            defer { room += capacity }
            return ck_few_block(
                pieces: pieces.baseAddress.unsafelyUnwrapped, count: pieces.count, buffer: room,
                capacity: capacity, start: nil)
        }
        own.withUnsafeMutableBufferPointer { own in
            guard let first = own.baseAddress else { return }
            withKernel { ck_encode_few($0, first, own.count > 1 ? first + 1 : nil) }
        }
        return own.map { block in
            guard block.capacity > 16, let start = block.start else { return [] }
            return Array(UnsafeBufferPointer(start: start, count: block.buffer + block.capacity - start))
        }
    }
}
