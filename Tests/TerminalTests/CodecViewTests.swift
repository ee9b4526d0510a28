import Foundation
import LCCheckpoint
import ModelCodec
import Tensors
import Testing

@testable import varve

/// What `codec inspect` and `codec pack` show people.
@Suite struct CodecViewTests {
    private let wide = Terminal(isTerminal: true, columns: 120, colours: true)
    private let plain = Terminal(isTerminal: true, columns: 120, colours: false)
    private let log = Terminal(isTerminal: false, columns: 80, colours: false)

    private static let settings: [CodecSettings] = [
        CodecSettings(kind: .lc(bits: 3)), CodecSettings(kind: .lc(bits: nil)),
        CodecSettings(kind: .auto(error: 1e-4)), CodecSettings(kind: .exact),
    ]

    /// Views of a chain's frames, each looked into as the run's reader does.
    private func views(_ settings: CodecSettings) throws -> [FrameView] {
        var writer = ChainWriter(name: "w", settings: settings)
        var values = (0..<4000).map { Float($0 % 251) / 100 }
        var context: FrameContext?
        var views: [FrameView] = []
        for step in 0..<3 {
            for index in values.indices { values[index] += Float(index * 7919 % 1000) * 1e-5 * Float(step) }
            let bytes = try writer.append(values.span, step: UInt64(step)).bytes
            let frame = try bytes.withUnsafeBytes { try Frame(parsing: $0, inheriting: context) }
            let report = try frame.report(chained: true)
            context = report.context
            views.append(FrameView(header: frame.header, scopes: report.scopes, byteCount: bytes.count))
        }
        return views
    }

    /// What comes from a file does nothing to the terminal.
    @Test func namesAreShownInOneLine() {
        #expect(oneLine("größe [0] 重み") == "größe [0] 重み")
        #expect(oneLine("a\nb\r\n c") == "a b  c")
        #expect(oneLine("\u{1b}[31mred\u{202e}x\u{0}") == "\\u{1b}[31mred\\u{202e}x\\u{0}")
        #expect(CommandFailure("no \u{7}\n bell", exitCode: 1).description == "no \\u{7}  bell")
    }

    @Test(arguments: settings) func everyFrameOfAChainShowsItsCounts(_ settings: CodecSettings) throws {
        for view in try views(settings) {
            let text = view.lines(on: log).joined(separator: "\n")
            #expect(text.contains("step \(view.header.step)"))
            #expect(text.contains("section w: 4000 x float32, scope 0"))
            #expect(text.contains("4000 elements, \(view.scopes[0].byteCount) bytes ("))
            guard view.header.kind == .delta, settings.kind != .exact else {
                #expect(text.contains("PLANE  CODER"))
                #expect(text.contains("100.00 %") || view.scopes[0].blocks.count == 4)
                continue
            }
            let entropy = try #require(view.scopes[0].entropyBits)
            #expect(text.contains("order-0 entropy \(fixed(entropy, decimals: 3))"))
            #expect(text.contains("SYMBOL"))
            #expect(text.contains("CODE"))
            #expect(view.scopes[0].buckets.reduce(0) { $0 + $1.count } == 4000)
            for bucket in FrameView.mostFrequent(view.scopes[0].buckets) {
                #expect(text.contains("\(bucket.value)") && text.contains(" \(bucket.count) "))
            }
        }
    }

    @Test(arguments: settings) func barsAreForTerminalsAndColoursForThoseWhoWantThem(
        _ settings: CodecSettings
    ) throws {
        let view = try #require(try views(settings).last)
        let (coloured, bare, logged) = (view.lines(on: wide), view.lines(on: plain), view.lines(on: log))
        #expect(coloured.contains { $0.contains("\u{1B}[32m▇") })
        #expect(bare.contains { $0.contains("▇") })
        #expect(!bare.contains { $0.contains("\u{1B}") })
        #expect(!logged.contains { $0.contains("▇") || $0.contains("\u{1B}") })
        #expect(bare.allSatisfy { $0.count < 120 || !$0.contains("▇") }, "\(bare)")
        // No room for a bar that says anything.
        let narrow = Terminal(isTerminal: true, columns: 30, colours: false)
        #expect(!view.lines(on: narrow).contains { $0.contains("▇") })
    }

    @Test func manyBucketsAreCutToTheMostFrequent() throws {
        let view = try #require(try views(CodecSettings(kind: .auto(error: 1e-5))).last)
        let count = view.scopes[0].buckets.count
        #expect(count > FrameView.mostRows)
        let shown = FrameView.mostFrequent(view.scopes[0].buckets)
        #expect(shown.count == FrameView.mostRows)
        let least = shown.map(\.count).min() ?? 0
        let symbols = Set(shown.map(\.symbol))
        #expect(view.scopes[0].buckets.allSatisfy { symbols.contains($0.symbol) || $0.count <= least })
        #expect(
            view.lines(on: log).contains { $0.hasPrefix("    and \(count - FrameView.mostRows) more with ") })
    }

    /// A delta alone doesn't have the symbols that its contexts look at.
    @Test func aLinkAloneSaysWhatIsMissing() throws {
        var writer = ChainWriter(settings: CodecSettings(kind: .lc(bits: 3)))
        var values = (0..<5000).map { Float($0 % 13) }
        var last: [UInt8] = []
        for step in 0..<3 {
            for index in values.indices where index % 9 < 3 {
                values[index] += 0.01 * Float(step * (index % 50))
            }
            last = try writer.append(values.span, step: UInt64(step)).bytes
        }
        let frame = try last.withUnsafeBytes { try Frame(parsing: $0) }
        try #require(frame.header.needsPrevious)
        let view = FrameView(header: frame.header, scopes: try frame.report().scopes, byteCount: last.count)
        let text = view.lines(on: wide).joined(separator: "\n")
        #expect(text.contains("counts need the symbols of the frame before"))
        #expect(!text.contains("▇"))
    }

    private func model(_ moved: Float, _ folder: String) throws -> CodecModel {
        let still = [Float](repeating: 0.5, count: 3000)
        let moving = (0..<3000).map { Float($0 % 97) / 97 + moved * Float($0 % 31) / 31 }
        let path = "\(folder)/\(moved).safetensors"
        func shape(_ extents: [Int]) -> Shape { Shape(extents).unsafelyUnwrapped }
        let tensors = [
            try #require(Tensor(name: "moving", shape: shape([60, 50]), floats: moving)),
            try #require(Tensor(name: "still", shape: shape([3000]), floats: still)),
            try #require(
                Tensor(name: "steps", dtype: .int64, shape: shape([]), bytes: [UInt8](0..<8))),
        ]
        try Safetensors.write(TensorCollection(tensors: tensors), to: path)
        return try CodecModel(path)
    }

    @Test(arguments: CodecScope.allCases) func packHasARowForEachTensor(_ scope: CodecScope) throws {
        let folder = NSTemporaryDirectory() + "varve-view-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var state = try model(0, folder)
        var table = TensorTable(state)
        var frame: EncodedFrame?
        for (step, moved) in [Float(0), 0.01, 0.03].enumerated() {
            let live = try model(moved, folder)
            let context = frame?.context
            let next = try ModelFrames.encode(
                live, onto: &state, base: frame?.stateDigest, inheriting: context, step: step, scope: scope,
                settings: CodecSettings(kind: .lc(bits: 2)), chained: true, threads: 1)
            if step > 0 {
                table.add(errorsOf: state, to: live)
                table.add(try TensorTable.bits(of: next.bytes, inheriting: context))
            }
            frame = next
        }
        let lines = table.render(colours: false).split(separator: "\n").map { $0.split(separator: " ") }
        #expect(lines.count == 4)
        #expect(lines[0] == ["TENSOR", "TYPE", "PARAMETERS", "BITS", "RATIO", "ERROR"])
        #expect(lines[1][..<3] == ["moving", "F32", "3000"])
        let (moving, still) = (try #require(Double(lines[1][3])), try #require(Double(lines[3][3])))
        #expect(moving > 0.2 && moving < 3, "\(moving)")
        #expect(still < 0.5 * moving, "\(still)")
        let error = try #require(Double(lines[1][5]))
        #expect(error > 0 && error < 0.02, "\(error)")
        #expect(lines[2][5] == "0" && lines[3][5] == "0")
        #expect(!table.render(colours: false).contains("\u{1B}"))
        #expect(table.render(colours: true).hasPrefix("\u{1B}[1mTENSOR"))
    }
}
