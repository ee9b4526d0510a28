import CKernels

/// Which symbols count as the same in a context: contiguous ranges, the first of which is zero alone.
struct SymbolClasses: Hashable {
    enum Layout: UInt8 {
        /// One class: the neighbour isn't looked at.
        case none = 0
        /// Zero and everything else.
        case zero = 1
        /// Each symbol its own; for alphabets of at most 16.
        case each = 2
        /// As listed.
        case listed = 3
    }

    var layout: Layout
    /// The first symbol of each class but the first.
    var bounds: [Int]

    static let none = SymbolClasses(layout: .none, bounds: [])
    static let zero = SymbolClasses(layout: .zero, bounds: [1])
    static func each(_ alphabet: Int) -> SymbolClasses {
        SymbolClasses(layout: .each, bounds: Array(1..<max(alphabet, 1)))
    }

    var count: Int { bounds.count + 1 }

    /// Zero alone, then up to seven ranges of about equal weight.
    static func balanced(_ counts: [Int]) -> SymbolClasses {
        let alphabet = counts.count
        guard alphabet > 2 else { return zero }
        if alphabet <= 8 { return each(alphabet) }
        let total = counts.dropFirst().reduce(0, +)
        var bounds = [1]
        var seen = 0
        for symbol in 1..<(alphabet - 1) where bounds.count < 7 {
            seen += counts[symbol]
            if seen * 7 >= total * bounds.count { bounds.append(symbol + 1) }
        }
        return SymbolClasses(layout: .listed, bounds: bounds)
    }

    /// The class of each of `size` symbols, times `factor`.
    func table(size: Int, factor: Int) -> [UInt16] {
        var table = [UInt16](repeating: 0, count: size)
        for bound in bounds where bound < size {
            for symbol in bound..<size { table[symbol] += UInt16(factor) }
        }
        return table
    }

    func write(into output: inout [UInt8]) {
        guard layout == .listed else { return }
        output.append(varint: UInt64(bounds.count))
        var last = 0
        for bound in bounds {
            output.append(varint: UInt64(bound - last))
            last = bound
        }
    }

    init(layout: Layout, bounds: [Int]) {
        self.layout = layout
        self.bounds = bounds
    }

    init(_ reader: inout ByteReader, code: UInt8, alphabet: Int) throws(CodecError) {
        switch Layout(rawValue: code) {
        case .none?: self = .none
        case .zero?: self = .zero
        case .each?:
            guard alphabet <= 16 else { throw .malformed("frame is damaged: too many classes of symbols") }
            self = .each(alphabet)
        case .listed?:
            var bounds: [Int] = []
            for _ in 0..<(try reader.count("class count", atMost: 15)) {
                let step = try reader.count("class", atMost: maximumAlphabet)
                guard step > 0, !bounds.isEmpty || step == 1 else {
                    throw .malformed("frame is damaged: a class of no symbols")
                }
                bounds.append((bounds.last ?? 0) + step)
            }
            self.init(layout: .listed, bounds: bounds)
        case nil:
            throw CodecError(.unsupported, "frame has classes of kind \(code), unknown to this version")
        }
    }
}

/// What a symbol's probabilities depend on.
///
/// The context of symbol i is `(left·B + above)·W + near`: `left` is the class of symbol i − 1; `above` that of
/// symbol i of the previous frame; `near` counts what isn't zero among symbol i − 2 and, where there are previous
/// symbols, the previous symbols i − 1 and i + 1. What lies outside the block, or before the lane, is zero.
struct SymbolContexts: Hashable {
    var left: SymbolClasses
    var above: SymbolClasses
    var wide: Bool
    /// The previous frame's symbols are needed.
    var usesPrevious: Bool

    static let none = SymbolContexts(left: .none, above: .none, wide: false, usesPrevious: false)

    var nearCount: Int { wide ? (usesPrevious ? 4 : 2) : 1 }
    var count: Int { left.count * above.count * nearCount }

    /// Bits 0–1 left, 2–3 above, 4 wide, 5 previous symbols.
    var code: UInt8 {
        left.layout.rawValue | above.layout.rawValue << 2 | (wide ? 16 : 0) | (usesPrevious ? 32 : 0)
    }

    func write(into output: inout [UInt8]) {
        left.write(into: &output)
        above.write(into: &output)
    }

    init(left: SymbolClasses, above: SymbolClasses, wide: Bool, usesPrevious: Bool) {
        self.left = left
        self.above = above
        self.wide = wide
        self.usesPrevious = usesPrevious
    }

    init(_ reader: inout ByteReader, code: UInt8, alphabet: Int) throws(CodecError) {
        left = try SymbolClasses(&reader, code: code & 3, alphabet: alphabet)
        above = try SymbolClasses(&reader, code: code >> 2 & 3, alphabet: alphabet)
        wide = code & 16 != 0
        usesPrevious = code & 32 != 0
        guard usesPrevious || above == .none, count <= SymbolContexts.most else {
            throw .malformed("frame is damaged: contexts that can't be")
        }
    }

    /// The most contexts.
    static let most = 1024

    /// What each symbol of an alphabet adds to the context of the next one.
    func leftTable(alphabet: Int) -> [UInt16] { left.table(size: alphabet, factor: above.count * nearCount) }
    var aboveTable: [UInt16] { above.table(size: 256, factor: nearCount) }
}
