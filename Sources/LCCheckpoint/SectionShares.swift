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
        var counts = [[Int]](
            repeating: [Int](repeating: 0, count: quantized.stream.alphabet), count: members.count)
        try forEachBlock(of: scope, quantized, index) { range, symbols in
            for part in layout.parts(of: range) {
                let own = symbols[part.offset..<part.offset + part.elements.count]
                for symbol in own { counts[part.member][Int(symbol)] += 1 }
            }
        }
        var total = [Int](repeating: 0, count: quantized.stream.alphabet)
        for own in counts { for symbol in own.indices { total[symbol] += own[symbol] } }
        // In bits, by the scope's frequencies.
        let lengths = total.map { $0 > 0 ? log2(Double(scope.elementCount) / Double($0)) : 0 }
        let information = counts.map { own in zip(own, lengths).reduce(0) { $0 + Double($1.0) * $1.1 } }
        // Symbols that are all alike carry none.
        return information.contains { $0 > 0 } ? information : sizes
    }
}
