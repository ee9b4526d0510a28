import Foundation
import LCCheckpoint

/// A frame for people: what it says of itself, and for each scope its buckets or byte planes, as tables.
///
/// Rendering is pure. On a terminal wide enough each row ends in a bar; colours only where they are wanted.
struct FrameView {
    let header: FrameHeader
    let scopes: [ScopeReport]
    let byteCount: Int

    /// The most buckets that are listed; of more, the most frequent.
    static let mostRows = 40

    func lines(on terminal: Terminal) -> [String] {
        var lines = [
            Colour.bold.paint("\(header.kind) of step \(header.step)", terminal.colours)
                + ", \(byteCount) bytes, state \(header.stateDigest)"
        ]
        if let base = header.baseDigest { lines.append("  builds on \(base)") }
        for section in header.sections {
            lines.append(
                "  section \(oneLine(section.name)): \(section.elementCount) x \(section.format), scope \(section.scope)"
            )
        }
        for (index, scope) in scopes.enumerated() {
            lines.append("  " + FrameView.summary(index, scope))
            lines += table(scope, on: terminal).map { "    " + $0 }
        }
        return lines
    }

    static func name(_ kind: CodecSettings.Kind) -> String {
        switch kind {
        case .exact: "exact"
        case .auto(let error): "auto, relative error \(error)"
        case .lc(let bits): "lc, bits \(bits.map { "\($0)" } ?? "all")"
        }
    }

    private static func summary(_ index: Int, _ scope: ScopeReport) -> String {
        var text =
            "scope \(index): \(name(scope.kind)), \(scope.elementCount) elements, \(scope.byteCount) bytes"
        if scope.elementCount > 0 {
            let bits = 8 * Double(scope.byteCount) / Double(scope.elementCount)
            text += " (\(fixed(bits, decimals: 3)) bits per element"
            text += scope.entropyBits.map { ", order-0 entropy \(fixed($0, decimals: 3)))" } ?? ")"
        }
        if scope.exceptionCount > 0 { text += ", \(scope.exceptionCount) exceptions" }
        return text
    }

    private func table(_ scope: ScopeReport, on terminal: Terminal) -> [String] {
        switch scope.kind {
        case .exact: return planes(scope, on: terminal)
        case .lc: return streams(scope) + buckets(scope, on: terminal, showsExponents: true)
        case .auto: return streams(scope) + buckets(scope, on: terminal, showsExponents: false)
        }
    }

    private func streams(_ scope: ScopeReport) -> [String] {
        ["coder " + scope.blocks.map { "\($0.coder), \($0.byteCount) bytes" }.joined(separator: "; ")]
    }

    /// The byte planes of an exact scope, of each element width from the most significant down.
    private func planes(_ scope: ScopeReport, on terminal: Terminal) -> [String] {
        var table = TextTable([
            .init("PLANE", .right), .init("CODER"), .init("BYTES", .right), .init("SHARE", .right),
        ])
        let total = scope.blocks.reduce(0) { $0 + $1.byteCount }
        for (index, block) in scope.blocks.enumerated() {
            table.add(["\(index)", block.coder, "\(block.byteCount)", percent(block.byteCount, of: total)])
        }
        return withBars(table, scope.blocks.map { Double($0.byteCount) }, on: terminal)
    }

    private func buckets(
        _ scope: ScopeReport, on terminal: Terminal, showsExponents: Bool
    ) -> [String] {
        // Symbols that were not read have no counts.
        let isCounted = scope.entropyBits != nil
        var columns: [TextTable.Column] = [.init("SYMBOL", .right)]
        if showsExponents { columns.append(.init("EXPONENT", .right)) }
        columns.append(.init("VALUE", .right))
        if isCounted { columns += [.init("COUNT", .right), .init("SHARE", .right), .init("CODE", .right)] }
        var table = TextTable(columns)
        let shown = FrameView.mostFrequent(scope.buckets)
        for bucket in shown {
            var cells = ["\(bucket.symbol)"]
            if showsExponents { cells.append(bucket.symbol == 0 ? "zero" : "\(bucket.value.exponent)") }
            cells.append("\(bucket.value)")
            if isCounted {
                cells += [
                    "\(bucket.count)", percent(bucket.count, of: scope.elementCount), "\(bucket.codeLength)",
                ]
            }
            table.add(cells)
        }
        // Counts fall by orders of magnitude: bars of their logarithms still show the small ones.
        var lines = withBars(
            table, isCounted ? shown.map { log2(1 + Double($0.count)) } : [], on: terminal)
        if !isCounted { lines.append("counts need the symbols of the frame before") }
        let left = scope.buckets.count - shown.count
        if left > 0 {
            let elements = shown.reduce(scope.elementCount) { $0 - $1.count }
            lines.append("and \(left) more" + (isCounted ? " with \(elements) elements" : ""))
        }
        return lines
    }

    /// In order of the symbols.
    static func mostFrequent(_ buckets: [ScopeReport.Bucket]) -> [ScopeReport.Bucket] {
        guard buckets.count > mostRows else { return buckets }
        let ordered = buckets.sorted { ($1.count, $0.symbol) < ($0.count, $1.symbol) }
        return ordered.prefix(mostRows).sorted { $0.symbol < $1.symbol }
    }

    private func percent(_ part: Int, of whole: Int) -> String {
        whole == 0 ? "-" : fixed(100 * Double(part) / Double(whole), decimals: 2) + " %"
    }

    /// The table's lines, each but the heading with a bar as long as its weight, where a terminal has the room.
    private func withBars(_ table: TextTable, _ weights: [Double], on terminal: Terminal) -> [String] {
        let lines = table.render(colours: terminal.colours).split(separator: "\n").map(String.init)
        let widths = table.render().split(separator: "\n").map(\.count)
        let widest = widths.max() ?? 0
        let most = weights.max() ?? 0
        // What stands before a table, and the two spaces before a bar.
        let room = min(40, terminal.columns - 1 - widest - 4 - 2)
        guard terminal.isTerminal, room >= 8, most > 0, weights.count == lines.count - 1 else { return lines }
        return lines.enumerated().map { index, line in
            guard index > 0, weights[index - 1] > 0 else { return line }
            let cells = max(1, Int((Double(room) * weights[index - 1] / most).rounded()))
            let padding = String(repeating: " ", count: widest - widths[index] + 2)
            return line + padding + Colour.green.paint(String(repeating: "▇", count: cells), terminal.colours)
        }
    }
}
