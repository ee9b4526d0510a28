import Foundation
import LCCheckpoint
import Testing

/// The code of the library's article, as a reader of it would have it.
@Suite struct ArticleTests {
    @Test func theArticlesCodeDoesWhatItSays() throws {
        let before = (0..<10_000).map { index in Float(index % 100) / 100 }
        let after = before.enumerated().map { index, value in
            index % 50 == 0 ? value + 0.125 : value + Float(index % 7) / 1_000_000
        }

        var writer = ChainWriter(name: "weights", settings: CodecSettings(kind: .lc(bits: 3)))
        let base = try writer.append(before.span, step: 0)
        let delta = try writer.append(after.span, step: 1)

        #expect(delta.statistics.encodedBytes * 20 < 4 * after.count)
        #expect(delta.statistics.relativeError < 1e-3)

        let file = base.bytes + delta.bytes

        var reader = ChainReader()
        var frames: [Range<Int>] = []
        var position = 0
        while position < file.count {
            let length = file.withUnsafeBytes { bytes in
                Frame.claimedByteCount(UnsafeRawBufferPointer(rebasing: bytes[position...]))
            }
            guard let length, length <= UInt64(file.count - position) else {
                throw CodecError(.malformed, "the file is cut short at byte \(position)")
            }
            let frame = position..<position + Int(length)
            try reader.apply(file.span.extracting(frame))
            frames.append(frame)
            position = frame.upperBound
        }

        #expect(reader.values.map(\.bitPattern) == writer.reconstruction.map(\.bitPattern))

        var damaged = delta.bytes
        damaged[damaged.count / 2] ^= 1
        do {
            try reader.apply(damaged.span)
        } catch {
            print("\(error.kind): \(error)")
        }

        #expect(throws: CodecError.self) { try reader.apply(damaged.span) }
        #expect(reader.step == 1)

        let settings = CodecSettings(kind: .auto(error: 1e-4))
        var second = try ChainWriter(continuing: reader, settings: settings)
        let later = after.map { $0 + 0.01 }
        let next = try second.append(later.span, step: 2)
        try reader.apply(next.bytes.span)

        #expect(next.statistics.relativeError <= 1e-4)
        #expect(reader.step == 2)

        let slice = try file.withUnsafeBytes { file in
            try ChainSlice(of: "weights", elements: 500..<600, count: frames.count) { index in
                UnsafeRawBufferPointer(rebasing: file[frames[index]])
            }
        }

        let whole = writer.reconstruction.withUnsafeBytes { Array($0[4 * 500..<4 * 600]) }
        #expect(slice.bytes == whole)
    }

    /// What isn't in the test above word for word could get old.
    @Test func theArticleHoldsNoOtherCode() throws {
        let test = URL(fileURLWithPath: "\(#filePath)")
        let root = test.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let article = root.appendingPathComponent(
            "Sources/LCCheckpoint/LCCheckpoint.docc/FromTwoArraysToAChain.md")
        let text = try String(contentsOf: article, encoding: .utf8)
        let own = try String(contentsOf: test, encoding: .utf8)
        let blocks = text.components(separatedBy: "```swift\n").dropFirst().compactMap {
            $0.components(separatedBy: "```").first
        }
        #expect(blocks.count >= 6)
        for block in blocks {
            let lines = block.split(separator: "\n").map { "        " + $0 }
            #expect(own.contains(lines.joined(separator: "\n")), "\(block)")
        }
    }
}
