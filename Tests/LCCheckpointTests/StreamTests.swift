import Synchronization
import Testing

@testable import LCCheckpoint

/// Sections that memory doesn't hold come out as those that it does.
@Suite struct StreamTests {
    /// Bytes that can be read, up to a point where that fails.
    private final class Bytes: ByteSource {
        let bytes: [UInt8]
        let readable: Int
        init(_ bytes: [UInt8], readable: Int = .max) {
            self.bytes = bytes
            self.readable = readable
        }

        func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(CodecError) {
            guard offset + buffer.count <= min(readable, bytes.count) else {
                throw CodecError(.unreadable, "the end at \(readable)")
            }
            bytes.withUnsafeBytes {
                buffer.copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + buffer.count)]))
            }
        }
    }

    /// What was written, and how often each byte was.
    private final class Collected: ByteSink {
        let content: Mutex<(bytes: [UInt8], times: [Int])>
        let room: Int
        init(_ count: Int, room: Int = .max) {
            content = Mutex(([UInt8](repeating: 0, count: count), [Int](repeating: 0, count: count)))
            self.room = room
        }

        func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CodecError) {
            guard offset + bytes.count <= room else { throw CodecError(.unwritable, "full at \(room)") }
            content.withLock { content in
                for (index, byte) in bytes.enumerated() {
                    content.bytes[offset + index] = byte
                    content.times[offset + index] += 1
                }
            }
        }
    }

    private struct Section {
        var name: String
        var format: ElementFormat
        var base: [UInt8]
        var target: [UInt8]
    }

    /// Sections whose borders lie anywhere, with elements that must be carried.
    private func sections(_ formats: [ElementFormat], rarity: UInt64, hasExceptions: Bool) -> [Section] {
        var numbers = Numbers(state: 31)
        return formats.enumerated().map { index, format in
            let count = [70_003, 0, 140_777, 9, 6_000][index % 5]
            let base = (0..<count).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
            var target = base.map {
                let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
                return numbers.next() % rarity == 0 ? $0 + 0.1 * unit * unit * unit : $0
            }
            if hasExceptions, count > 8 { (target[5], target[count - 1]) = (.nan, .infinity) }
            func bytes(_ values: [Float]) -> [UInt8] {
                var bytes = [UInt8](repeating: 0, count: count * format.byteCount)
                guard format.isFloatingPoint else {
                    return bytes.indices.map {
                        UInt8(truncatingIfNeeded: Int(values[$0 / format.byteCount] * 64))
                    }
                }
                bytes.withUnsafeMutableBytes { bytes in
                    values.withUnsafeBufferPointer { format.narrow($0, into: bytes) }
                }
                return bytes
            }
            let zeros =
                hasExceptions && !format.isFloatingPoint ? target.map { $0.isFinite ? $0 : 0 } : target
            return Section(name: "s\(index)", format: format, base: bytes(base), target: bytes(zeros))
        }
    }

    private static let settings = [
        CodecSettings(kind: .lc(bits: 3)), CodecSettings(kind: .lc(bits: nil)), CodecSettings(kind: .exact),
        CodecSettings(kind: .auto(error: 1e-3)), CodecSettings(kind: .auto(error: 1e-12)),
    ]

    private func digest(_ sections: [Section]) throws -> Digest {
        try StateDigest.of(
            sections: sections.map {
                ($0.name, $0.format, .source(Bytes($0.base), offset: 0, count: $0.base.count))
            },
            metadata: [], threads: 2)
    }

    private func inMemory(_ sections: [Section], _ settings: CodecSettings) throws -> (
        EncodedFrame, [[UInt8]]
    ) {
        let memories = sections.map { section in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: section.base.count, alignment: 64)
            memory.copyBytes(from: section.base)
            return memory
        }
        let targets = sections.map { section in
            let memory = UnsafeMutableRawBufferPointer.allocate(
                byteCount: section.target.count, alignment: 64)
            memory.copyBytes(from: section.target)
            return memory
        }
        defer { for memory in memories + targets { memory.deallocate() } }
        var encoder = FrameEncoder(kind: .delta, step: 7, baseDigest: try digest(sections))
        try encoder.add(
            scope: sections.indices.map {
                SectionSource(
                    name: sections[$0].name, format: sections[$0].format,
                    target: UnsafeRawBufferPointer(targets[$0]), reconstruction: memories[$0])
            }, settings: settings)
        return (encoder.finish(), memories.map { Array($0) })
    }

    /// Strings are equal that look the same; names are their bytes.
    @Test func namesThatLookTheSameAreTwo() throws {
        let names = ["\u{e9}", "e\u{301}"]
        let values: [[Float]] = [[1, 2], [3, 4, 5]]
        var encoder = FrameEncoder(kind: .base, step: 0, baseDigest: nil)
        for (name, own) in zip(names, values) {
            var state = own
            try own.withUnsafeBufferPointer { own in
                try state.withUnsafeMutableBufferPointer {
                    try encoder.add(
                        section: name, target: own, reconstruction: $0,
                        settings: CodecSettings(kind: .exact))
                }
            }
        }
        let frame = encoder.finish()
        for (name, own) in zip(names, values) {
            let slice = try frame.bytes.withUnsafeBytes { bytes in
                try ChainSlice(of: name, count: 1) { _ in bytes }
            }
            #expect(slice.bytes == own.withUnsafeBytes { Array($0) })
        }
    }

    @Test(arguments: settings, [1, 40] as [UInt64])
    func comesOutTheSame(_ settings: CodecSettings, _ rarity: UInt64) throws {
        for hasExceptions in [false, true] {
            for formats: [ElementFormat] in [
                [.float32, .float16, .float64, .bfloat16, .float32], [.bits8, .float32, .bits64],
            ] {
                guard settings.kind == .exact || formats.allSatisfy(\.isFloatingPoint) else { continue }
                let sections = sections(formats, rarity: rarity, hasExceptions: hasExceptions)
                let (held, states) = try inMemory(sections, settings)
                let outs = sections.map { Collected($0.base.count) }
                var encoder = FrameEncoder(
                    kind: .delta, step: 7, baseDigest: try digest(sections), threads: 3)
                try encoder.add(
                    scope: zip(sections, outs).map { section, out in
                        SectionSource(
                            name: section.name, format: section.format,
                            target: .source(
                                Bytes([9] + section.target), offset: 1, count: section.target.count),
                            reconstruction: .passing(
                                from: Bytes([1, 2, 3] + section.base), offset: 3,
                                count: section.base.count, to: (out, 0)))
                    }, settings: settings)
                let frame = encoder.finish()
                #expect(frame.bytes == held.bytes)
                #expect(frame.stateDigest == held.stateDigest)
                expect(outs, are: states)
                let restored = sections.map { Collected($0.base.count) }
                try apply(frame, sections, restored, threads: 3)
                expect(restored, are: states)
            }
        }
    }

    private func apply(
        _ frame: EncodedFrame, _ sections: [Section], _ outs: [Collected], readable: Int = .max,
        threads: Int = 2
    ) throws {
        try frame.bytes.withUnsafeBytes { bytes in
            _ = try Frame(parsing: bytes).apply(
                toStates: zip(sections, outs).map { section, out in
                    .passing(
                        from: Bytes(section.base, readable: readable), offset: 0, count: section.base.count,
                        to: (out, 0))
                }, expectingBase: digest(sections), threads: threads)
        }
    }

    private func expect(_ outs: [Collected], are states: [[UInt8]]) {
        for (out, state) in zip(outs, states) {
            out.content.withLock { content in
                #expect(content.times.allSatisfy { $0 == 1 })
                #expect(content.bytes == state)
            }
        }
    }

    /// Whatever a source or a sink says is said, and no frame comes of it.
    @Test(arguments: settings)
    func failsInWords(_ settings: CodecSettings) throws {
        let sections = sections([.float32, .float32, .float32], rarity: 3, hasExceptions: false)
        func encode(readable: Int, room: Int) throws {
            var encoder = FrameEncoder(kind: .delta, step: 7, baseDigest: try digest(sections), threads: 2)
            try encoder.add(
                scope: sections.map {
                    SectionSource(
                        name: $0.name, format: $0.format,
                        target: .source(
                            Bytes($0.target, readable: readable), offset: 0, count: $0.target.count),
                        reconstruction: .passing(
                            from: Bytes($0.base), offset: 0, count: $0.base.count,
                            to: (Collected($0.base.count, room: room), 0)))
                }, settings: settings)
        }
        #expect(throws: CodecError(.unreadable, "the end at 300000")) {
            try encode(readable: 300_000, room: .max)
        }
        #expect(throws: CodecError(.unwritable, "full at 300000")) {
            try encode(readable: .max, room: 300_000)
        }
        let (frame, _) = try inMemory(sections, settings)
        #expect(throws: CodecError(.unreadable, "the end at 300000")) {
            try apply(frame, sections, sections.map { Collected($0.base.count) }, readable: 300_000)
        }
        #expect(throws: CodecError(.unwritable, "full at 1000")) {
            try apply(frame, sections, sections.map { Collected($0.base.count, room: 1000) })
        }
    }

    /// Other bytes from some read on, as when somebody writes to a file.
    private final class Changing: ByteSource {
        let bytes: [UInt8]
        let reads: Mutex<Int>
        init(_ bytes: [UInt8], after reads: Int) {
            self.bytes = bytes
            self.reads = Mutex(reads)
        }

        func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(CodecError) {
            let isChanged = reads.withLock { left in
                left -= 1
                return left < 0
            }
            for index in buffer.indices {
                let byte = bytes[offset + index]
                buffer[index] = isChanged ? byte &* 31 &+ UInt8(truncatingIfNeeded: index) : byte
            }
        }
    }

    /// Whatever changes between two passes: an error or a frame, but no trap.
    @Test(arguments: settings, [CodecSettings.Entropy.best, .huffman, .quick])
    func survivesStatesThatChange(_ settings: CodecSettings, _ entropy: CodecSettings.Entropy) throws {
        var settings = settings
        settings.entropy = entropy
        for rarity: UInt64 in [1, 40] {
            let section = sections([.float32], rarity: rarity, hasExceptions: false)[0]
            for reads in [1, 2, 3, 5, 9, 17] {
                var encoder = FrameEncoder(kind: .delta, step: 7, baseDigest: try digest([section]))
                do throws(CodecError) {
                    try encoder.add(
                        scope: [
                            SectionSource(
                                name: section.name, format: section.format,
                                target: .source(
                                    Changing(section.target, after: reads), offset: 0,
                                    count: section.target.count),
                                reconstruction: .passing(
                                    from: Bytes(section.base), offset: 0, count: section.base.count, to: nil))
                        ], settings: settings)
                } catch {
                    #expect(error.kind == .unreadable)
                }
            }
        }
    }
}
