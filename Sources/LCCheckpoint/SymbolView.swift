import CKernels

/// Symbols, and those of the frame before for the same elements.
///
/// Where most are zero only the others may be there: what lists of few deltas are put into needs no clearing, and nobody looks at
/// zeros one by one.
struct SymbolView {
    /// Unless zeros are there, too, it may be anything where `nonzero` has no bit.
    let symbols: UnsafeBufferPointer<UInt16>
    /// Clipped to 255.
    let previous: UnsafePointer<UInt8>?
    /// A bit for each symbol that isn't zero, the first lowest, with zeros behind them in as many words as `ck_mask_words` says;
    /// nil where nobody has looked for them, and all symbols are there.
    let nonzero: UnsafePointer<UInt64>?
    let hasZeros: Bool
    /// What all that is in, if that is to stay as long as the view.
    private let owner: AnyObject?

    init(
        _ symbols: UnsafeBufferPointer<UInt16>, previous: UnsafePointer<UInt8>?,
        nonzero: UnsafePointer<UInt64>? = nil, hasZeros: Bool = false, owner: AnyObject? = nil
    ) {
        self.hasZeros = hasZeros || nonzero == nil
        self.owner = owner
        self.symbols = symbols
        self.previous = previous
        self.nonzero = nonzero
    }

    /// The same, and which of them aren't zero.
    var marked: SymbolView {
        guard nonzero == nil, let first = symbols.baseAddress else { return self }
        let scratch = BlockScratch(count: count)
        ck_mask(first, count, scratch.words)
        return SymbolView(
            symbols, previous: previous, nonzero: .init(scratch.words), hasZeros: true, owner: scratch)
    }

    /// The same with zeros where they weren't there.
    var filled: SymbolView {
        guard !hasZeros else { return self }
        let scratch = BlockScratch(count: count)
        if let first = scratch.symbols.baseAddress { copy(to: first) }
        return SymbolView(UnsafeBufferPointer(scratch.symbols), previous: previous, owner: scratch)
    }

    /// Puts all symbols down, zeros too.
    func copy(to room: UnsafeMutablePointer<UInt16>) {
        guard !hasZeros else {
            if let first = symbols.baseAddress { room.update(from: first, count: count) }
            return
        }
        room.update(repeating: 0, count: count)
        forEachNonzero(in: 0..<count) { room[$0] = $1 }
    }

    var count: Int { symbols.count }

    /// Some of them, from a multiple of 64 on where only those are there that aren't zero.
    subscript(range: Range<Int>) -> SymbolView {
        precondition(nonzero == nil || range.lowerBound % 64 == 0)
        return SymbolView(
            UnsafeBufferPointer(rebasing: symbols[range]), previous: previous.map { $0 + range.lowerBound },
            nonzero: nonzero.map { $0 + range.lowerBound / 64 }, hasZeros: hasZeros, owner: owner)
    }

    /// All of them, zeros too.
    ///
    /// - Precondition: these are there.
    var dense: UnsafeBufferPointer<UInt16> {
        precondition(hasZeros, "zeros weren't put down")
        return symbols
    }

    /// As many symbols, all of them the same.
    func hasSameSymbols(as other: SymbolView) -> Bool {
        guard count == other.count else { return false }
        guard let nonzero, let others = other.nonzero else {
            if nonzero == nil, other.nonzero == nil { return symbols.elementsEqual(other.symbols) }
            return (0..<count).allSatisfy { symbol($0) == other.symbol($0) }
        }
        let words = (count + 63) / 64
        guard (0..<words).allSatisfy({ nonzero[$0] == others[$0] }) else { return false }
        var isSame = true
        forEachNonzero(in: 0..<count) { if other.symbols[$0] != $1 { isSame = false } }
        return isSame
    }

    /// The symbol of an element.
    func symbol(_ index: Int) -> UInt16 {
        guard let nonzero else { return symbols[index] }
        return nonzero.hasBit(index) ? symbols[index] : 0
    }

    /// How many symbols aren't zero.
    var nonzeroCount: Int {
        guard let first = symbols.baseAddress else { return 0 }
        guard nonzero != nil else { return ck_nonzero(first, count) }
        var met = 0
        forEachNonzero(in: 0..<count) { _, _ in met += 1 }
        return met
    }

    /// Calls `body` with the place of each symbol that isn't zero in turn, and the symbol.
    func forEachNonzero(in range: Range<Int>, _ body: (Int, UInt16) -> Void) {
        guard let nonzero else {
            let raw = UnsafeRawBufferPointer(symbols)
            var index = range.lowerBound
            while index < range.upperBound {
                // Most are zeros among zeros.
                while index + 8 <= range.upperBound,
                    raw.loadUnaligned(fromByteOffset: 2 * index, as: UInt64.self)
                        | raw.loadUnaligned(fromByteOffset: 2 * index + 8, as: UInt64.self) == 0
                {
                    index += 8
                }
                for own in index..<min(index + 8, range.upperBound) where symbols[own] != 0 {
                    body(own, symbols[own])
                }
                index += 8
            }
            return
        }
        for word in (range.lowerBound / 64)..<((range.upperBound + 63) / 64) {
            var bits = nonzero[word]
            while bits != 0 {
                let index = 64 * word + bits.trailingZeroBitCount
                bits &= bits - 1
                if range.contains(index) { body(index, symbols[index]) }
            }
        }
    }

    /// How often each symbol occurs among some elements.
    func histogram(_ range: Range<Int>, alphabet: Int) -> [Int] {
        guard nonzero != nil else {
            return LCCheckpoint.histogram(UnsafeBufferPointer(rebasing: symbols[range]), alphabet: alphabet)
        }
        var counts = [Int](repeating: 0, count: alphabet)
        var met = 0
        forEachNonzero(in: range) { _, symbol in
            counts[Int(symbol)] += 1
            met += 1
        }
        counts[0] = range.count - met
        return counts
    }

    /// As sparse kernels take them.
    ///
    /// - Parameter words: room for the bits of as many elements twice, which are found there as far as they aren't known.
    func sparse(usesPrevious: Bool, words: UnsafeMutablePointer<UInt64>) -> ck_sparse {
        var own = nonzero
        if own == nil, let first = symbols.baseAddress {
            ck_mask(first, count, words)
            own = .init(words)
        }
        guard usesPrevious, let previous else {
            return ck_sparse(
                symbols: symbols.baseAddress, nonzero: own, above: nil, before: nil, count: count)
        }
        let before = words + ck_mask_words(count)
        ck_mask_bytes(previous, count, before)
        return ck_sparse(
            symbols: symbols.baseAddress, nonzero: own, above: previous, before: before, count: count)
    }
}

extension UnsafePointer<UInt64> {
    func hasBit(_ index: Int) -> Bool { self[index / 64] >> UInt64(index % 64) & 1 == 1 }
}

extension UnsafeMutablePointer<UInt64> {
    func setBit(_ index: Int) { self[index / 64] |= 1 << UInt64(index % 64) }
}

extension ck_sparse {
    /// A symbol isn't zero.
    var hasNonzero: Bool {
        UnsafeBufferPointer(start: nonzero, count: (count + 63) / 64).contains { $0 != 0 }
    }

    /// The elements of a block, which begins at a multiple of 64.
    func block(_ range: Range<Int>) -> ck_sparse {
        precondition(range.lowerBound % 64 == 0)
        return ck_sparse(
            symbols: symbols.map { $0 + range.lowerBound },
            nonzero: nonzero.map { $0 + range.lowerBound / 64 },
            above: above.map { $0 + range.lowerBound }, before: before.map { $0 + range.lowerBound / 64 },
            count: range.count)
    }
}
