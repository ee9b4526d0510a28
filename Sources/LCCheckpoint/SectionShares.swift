extension Frame {
    /// How many bits of the frame each section takes, in the header's order.
    ///
    /// A scope's bytes are shared out among its sections: where its symbols are quantized, by the information of each
    /// section's symbols, given how often each symbol occurs in the scope; in an `exact` scope by the sections' sizes. A
    /// section alone in its scope has all of it. What belongs to no scope is left out.
    ///
    /// - Throws: when blocks are damaged, or their symbols can't be read without those of the frame before.
    /// - Complexity: O(n); decodes every symbol.
    public func sectionBits() throws(CodecError) -> [Double] {
        var bits = [Double](repeating: 0, count: header.sections.count)
        var groups = [[Int]](repeating: [], count: scopes.count)
        for (place, section) in header.sections.enumerated() { groups[section.scope].append(place) }
        for ((index, scope), members) in zip(scopes.enumerated(), groups) {
            let weights = try weights(of: members, scope, index)
            let total = weights.reduce(0, +)
            for (member, weight) in zip(members, weights) where total > 0 {
                bits[member] = 8 * Double(scope.byteCount) * weight / total
            }
        }
        return bits
    }

    private func weights(
        of members: [Int], _ scope: ScopeLayout, _ index: Int
    ) throws(CodecError) -> [Double] {
        let sizes = members.map { Double(header.sections[$0].byteCount) }
        guard members.count > 1, case .quantized(let quantized) = scope.content else { return sizes }
        let layout = VectorLayout(
            members.map { (header.sections[$0].format, header.sections[$0].elementCount) })
        var tally = MemberTally(members: members.count, alphabet: quantized.stream.alphabet)
        try forEachBlock(of: scope, quantized, index) { range, symbols in
            for part in layout.parts(of: range) {
                tally.add(symbols[part.offset..<part.offset + part.elements.count], of: part.member)
            }
        }
        let information = tally.information()
        // Symbols that are all alike carry none.
        return information.contains { $0 > 0 } ? information : sizes
    }
}

/// Counts of symbols by section. Of many symbols most sections have few, so only those that occur are kept.
private struct MemberTally {
    private var kept: [[(symbol: UInt16, count: Int)]]
    /// Of the section at hand, and which of them aren't zero.
    private var counts: [Int]
    private var met: [UInt16] = []
    private var member = 0

    init(members: Int, alphabet: Int) {
        kept = Array(repeating: [], count: members)
        counts = [Int](repeating: 0, count: alphabet)
    }

    /// - Precondition: sections come in order.
    mutating func add(_ symbols: Slice<UnsafeBufferPointer<UInt16>>, of member: Int) {
        if member != self.member { keep() }
        self.member = member
        for symbol in symbols {
            if counts[Int(symbol)] == 0 { met.append(symbol) }
            counts[Int(symbol)] += 1
        }
    }

    private mutating func keep() {
        kept[member] += met.map { (symbol: $0, count: counts[Int($0)]) }
        for symbol in met { counts[Int(symbol)] = 0 }
        met = []
    }

    /// Bits of each section's symbols, by how often they occur in all of them.
    mutating func information() -> [Double] {
        keep()
        var total = counts
        for own in kept { for (symbol, count) in own { total[Int(symbol)] += count } }
        let all = Double(total.reduce(0, +))
        let lengths = total.map { $0 > 0 ? log2(all / Double($0)) : 0 }
        return kept.map { own in own.reduce(0) { $0 + Double($1.count) * lengths[Int($1.symbol)] } }
    }
}
