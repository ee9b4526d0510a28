import CKernels

/// Codes levels by classes of their size, in the context of how large the levels before them were, and of the left neighbour or of the
/// same element in the frame before. The walk itself is in CKernels (scaled.c); docs/formats/auto.md lays it down.
///
/// Where many levels are large it takes a tenth of the time of mixed contexts, and a few bytes in a hundred more or less than they.
struct ScaledModel: Sendable {
    /// Symbols that there are.
    let alphabet: Int
    let usesPrevious: Bool
    /// As it is written.
    let head: [UInt8]

    /// Symbols of classes: those of the highest level's class and below.
    private let classCount: Int
    private let map: [UInt8]
    private let steps: [ck_step]
    /// Of what was read, table by table; and look-ups for decoding.
    private let frequencies: [UInt16]
    private var lookups = ContextTables.Lookups()

    /// The most tables that are worth their bytes and a cache's.
    private static let mostTables = 32
    /// Elements of a sample's pieces, each of which is counted as a lane is coded.
    static let piece = 4096

    /// Kinds of left neighbours and of previous symbols, each of which has contexts of its own.
    private static func others(usesPrevious: Bool) -> Int { usesPrevious ? 21 : 9 }

    /// The kind of each left class.
    private static let leftKinds = (0..<LevelClass.count(2 * Level.maximum + 1)).map {
        UInt8(kind(of: ($0 + 1) / 2, single: 4, step: 6, most: 8))
    }
    /// The kind of each previous symbol: its size, in wider steps where it is large, and its sign.
    private static let previousKinds = (0..<256).map { symbol in
        let size = (LevelClass.of(symbol) + 1) / 2
        return UInt8(max(0, 2 * kind(of: size, single: 6, step: 4, most: 10) - symbol % 2))
    }

    private static func kind(of size: Int, single: Int, step: Int, most: Int) -> Int {
        size < single ? size : min(most, single + (size - single) / step)
    }

    /// What the average of classes' sizes adds to a context: scales are two to an octave.
    private static let leftScales = scales(others(usesPrevious: false))
    private static let previousScales = scales(others(usesPrevious: true))

    private static func scales(_ others: Int) -> [UInt16] {
        (0..<Int(CK_SCALED_AVERAGES)).map { average in
            let octave = Int.bitWidth - 1 - (average + 1).leadingZeroBitCount
            return UInt16((2 * octave + ((average + 1) << 1) >> octave & 1) * others)
        }
    }

    private static func contextCount(usesPrevious: Bool) -> Int { 22 * others(usesPrevious: usesPrevious) }

    // MARK: Writing

    /// A model learnt from pieces of a stream, and the bytes that the stream is expected to take.
    ///
    /// - Parameters:
    ///   - sample: pieces of `piece` symbols end to end.
    ///   - counts: of every symbol in the whole stream.
    static func best(_ sample: SymbolView, counts: [Int]) -> (model: ScaledModel, bytes: Double) {
        let plain = ScaledModel.learnt(sample, counts: counts, usesPrevious: false)
        guard sample.previous != nil else { return plain }
        let own = ScaledModel.learnt(sample, counts: counts, usesPrevious: true)
        return own.bytes < plain.bytes ? own : plain
    }

    private static func learnt(
        _ sample: SymbolView, counts: [Int], usesPrevious: Bool
    ) -> (model: ScaledModel, bytes: Double) {
        let classCount = LevelClass.count(counts.count)
        let contextCount = contextCount(usesPrevious: usesPrevious)
        var met = [UInt32](repeating: 0, count: contextCount * classCount)
        var map = [UInt8](repeating: 0, count: contextCount)
        // Without tables a model only tells contexts apart.
        let blank = ScaledModel(
            alphabet: counts.count, usesPrevious: usesPrevious, map: map, tables: [], head: [])
        var bits: UInt64 = 0
        blank.withKernel { model in
            guard let first = sample.dense.baseAddress else { return }
            for start in stride(from: 0, to: sample.count, by: piece) {
                let count = min(piece, sample.count - start)
                bits += ck_count_scaled(model, first + start, sample.previous.map { $0 + start }, count, &met)
            }
        }
        // What isn't in the sample may occur all the same, if it occurs at all, and in any context.
        var present = [Bool](repeating: false, count: classCount)
        for symbol in counts.indices where counts[symbol] > 0 { present[LevelClass.of(symbol)] = true }
        var tables = [UInt32](repeating: 0, count: mostTables * classCount)
        var tableCount: UInt32 = 0
        _ = ck_cluster(
            met, UInt32(contextCount), UInt32(classCount), UInt32(classCount), UInt32(mostTables), &map,
            &tables, &tableCount)
        tables.removeLast(tables.count - Int(tableCount) * classCount)
        let written = ContextTables.frequencies(tables, classCount, isCoarse: false, present).tables
        var writer = BitWriter()
        ContextTables.write(written, map: map, into: &writer)
        let model = ScaledModel(
            alphabet: counts.count, usesPrevious: usesPrevious, map: map, tables: written,
            head: [usesPrevious ? 1 : 0] + writer.finish())
        let coded = tables.withUnsafeBufferPointer { tables in
            written.indices.reduce(Double(bits)) {
                let start = $1 * classCount
                return $0
                    + written[$1].cost(
                        of: UnsafeBufferPointer(rebasing: tables[start..<(start + classCount)]))
            }
        }
        let total = counts.reduce(0, +)
        return (model, coded / 8 * Double(total) / Double(max(1, sample.count)) + Double(model.head.count))
    }

    private init(alphabet: Int, usesPrevious: Bool, map: [UInt8], tables: [FrequencyTable], head: [UInt8]) {
        self.alphabet = alphabet
        self.usesPrevious = usesPrevious
        self.map = map
        self.head = head
        classCount = LevelClass.count(alphabet)
        steps = ContextTables.steps(tables)
        frequencies = []
    }

    // MARK: Reading

    init(_ reader: inout ByteReader, alphabet: Int) throws(CodecError) {
        self.alphabet = alphabet
        let flags = try reader.byte("contexts")
        guard flags < 2, alphabet > 1 else {
            throw .malformed("frame is damaged: scaled levels of kind \(flags), of \(alphabet) symbols")
        }
        usesPrevious = flags == 1
        classCount = LevelClass.count(alphabet)
        var bits = BitReader(reader.rest)
        let tables = try ContextTables(
            &bits, contexts: ScaledModel.contextCount(usesPrevious: usesPrevious), alphabet: classCount,
            stride: 1)
        guard bits.paddingIsZero else { throw .malformed("frame is damaged: bits after the frequencies") }
        _ = try reader.bytes(bits.bytesRead, "frequencies")
        (map, frequencies) = (tables.map, tables.frequencies)
        steps = []
        head = []
    }

    /// The same with what decoding looks up, which is large: it is made when blocks are decoded.
    func prepared() -> ScaledModel {
        var own = self
        own.lookups = ContextTables.Lookups(frequencies[...], alphabet: classCount)
        return own
    }

    // MARK: Blocks

    private func withKernel<Result>(_ body: (UnsafePointer<ck_scaled>) -> Result) -> Result {
        let other = usesPrevious ? ScaledModel.previousKinds : ScaledModel.leftKinds
        let scales = usesPrevious ? ScaledModel.previousScales : ScaledModel.leftScales
        return other.withUnsafeBufferPointer { other in
            scales.withUnsafeBufferPointer { scales in
                map.withUnsafeBufferPointer { map in
                    steps.withUnsafeBufferPointer { steps in
                        lookups.slots.withUnsafeBufferPointer { slots in
                            lookups.info.withUnsafeBufferPointer { info in
                                LevelClass.short.withUnsafeBufferPointer { classes in
                                    var model = ck_scaled(
                                        symbols: UInt32(alphabet), classes: UInt32(classCount),
                                        short_classes: classes.baseAddress.unsafelyUnwrapped,
                                        scales: scales.baseAddress.unsafelyUnwrapped,
                                        other: other.baseAddress.unsafelyUnwrapped,
                                        uses_previous: usesPrevious,
                                        map: map.baseAddress.unsafelyUnwrapped,
                                        steps: steps.baseAddress, slots: slots.baseAddress,
                                        info: info.baseAddress)
                                    return body(&model)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Classes leave bits open.
    private var hasOpenBits: Bool { classCount > Int(CK_PLAIN_CLASSES) }

    /// Appends a block's body.
    func encode(_ block: SymbolView, scratch: BlockScratch, into output: inout [UInt8]) {
        guard let first = block.dense.baseAddress, block.count > 0 else { return }
        let capacity = 2 * block.count + 32
        let end = scratch.bytes(2 * capacity) + capacity
        var openSize = 0
        let start = withKernel {
            ck_encode_scaled(
                $0, first, usesPrevious ? block.previous : nil, block.count, scratch.contexts, end, end,
                &openSize)
        }
        if hasOpenBits { output.append(varint: UInt64(end - start)) }
        output.append(contentsOf: UnsafeBufferPointer(start: start, count: end - start + openSize))
    }

    /// Reads a block's body.
    func decode(
        _ body: UnsafeRawBufferPointer, previous: UnsafePointer<UInt8>?,
        into symbols: UnsafeMutableBufferPointer<UInt16>
    ) throws(CodecError) {
        guard let first = symbols.baseAddress, !symbols.isEmpty else {
            guard body.isEmpty, symbols.isEmpty else { throw doesNotHold(symbols.count) }
            return
        }
        var reader = ByteReader(body)
        let size =
            hasOpenBits ? try reader.count("classes", atMost: reader.rest.count) : body.count
        let classes = try reader.bytes(size, "classes")
        let fits = withKernel { model in
            guard let bytes = classes.bindMemory(to: UInt8.self).baseAddress else { return false }
            return ck_decode_scaled(
                model, bytes, size, bytes + size, reader.rest.count, previous, symbols.count, first)
        }
        guard fits else { throw doesNotHold(symbols.count) }
    }

    private func doesNotHold(_ count: Int) -> CodecError {
        .malformed("frame is damaged: a block doesn't hold its \(count) levels")
    }
}

/// Classes of levels' symbols: single levels up to 7, from there on four to an octave, each with its sign as levels have.
enum LevelClass {
    /// Of the symbols that are looked up.
    static let short = (0..<Int(CK_SHORT_LEVELS)).map { UInt8(of($0)) }

    /// Classes of an alphabet's symbols, those of its highest level with either sign.
    static func count(_ alphabet: Int) -> Int { of(alphabet / 2 * 2) + 1 }

    static func of(_ symbol: Int) -> Int {
        guard symbol >= 15 else { return symbol }
        let level = (symbol + 1) / 2
        let octave = Int.bitWidth - 1 - level.leadingZeroBitCount
        return 2 * (4 * (octave - 1) + level >> (octave - 2) & 3) - symbol % 2
    }
}
