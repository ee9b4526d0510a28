import LCCheckpoint
import Testing

/// The public interface, as another package sees it.
@Suite struct ChainTests {
    @Test func aChainIsWrittenReadAndContinued() throws {
        var numbers = SystemRandomNumberGenerator()
        var values = (0..<5000).map { _ in Float.random(in: -1...1, using: &numbers) }
        var writer = ChainWriter(settings: CodecSettings(kind: .lc(bits: 3)))
        var reader = ChainReader()
        for step in 0..<5 as Range<UInt64> {
            for index in values.indices where index % 7 == 0 { values[index] += Float.random(in: -0.1...0.1) }
            let frame = try writer.append(values.span, step: step)
            try reader.apply(frame.bytes.span)
            #expect(reader.values == writer.reconstruction)
            #expect(reader.step == step)
            #expect(reader.digest == frame.stateDigest)
        }
        var other = try ChainWriter(continuing: reader, settings: writer.settings)
        values[0] += 1
        let bytes = try writer.append(values.span, step: 5).bytes
        #expect(bytes == (try other.append(values.span, step: 5)).bytes)
    }

    @Test func whatDoesNotFollowIsRefusedAndChangesNothing() throws {
        var writer = ChainWriter(settings: CodecSettings(kind: .lc(bits: 2)))
        let base = try writer.append([1, 2, 3].span, step: 0)
        let first = try writer.append([1.5, 2, 3].span, step: 1)
        let second = try writer.append([1.5, 2, 4].span, step: 2)
        #expect(throws: CodecError.self) { _ = try writer.append([1].span, step: 3) }
        var reader = ChainReader()
        #expect(throws: CodecError.self) { try reader.apply(first.bytes.span) }
        try reader.apply(base.bytes.span)
        #expect(throws: CodecError.self) { try reader.apply(second.bytes.span) }
        #expect(reader.values == [1, 2, 3])
        try reader.apply(first.bytes.span)
        try reader.apply(second.bytes.span)
        #expect(reader.values == writer.reconstruction)
        #expect(throws: CodecError.self) {
            _ = try ChainWriter(continuing: ChainReader(), settings: writer.settings)
        }
    }
}
