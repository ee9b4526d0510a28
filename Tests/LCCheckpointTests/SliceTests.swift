import Testing

@testable import LCCheckpoint

/// Chains of states that are large enough for several blocks: by threads, link by link, and in part.
@Suite struct SliceTests {
    /// Large enough for several blocks, pieces of a digest, and a plan from a sample.
    @Test func threadsDoNotChangeTheBytes() throws {
        var numbers = Numbers(state: 5)
        for density in [1, 90] {
            var one = Chain(state: [])
            let (base, first) = largeStates(700_001, density, &numbers)
            one.state = base
            var four = one
            four.threads = 4
            var reader = four
            for target in [first, zip(first, base).map { 2 * $0 - $1 }] {
                for kind in [CodecSettings.Kind.lc(bits: 3), .exact] {
                    let frame = try one.encode(target, CodecSettings(kind: kind))
                    #expect(frame.bytes == (try four.encode(target, CodecSettings(kind: kind))).bytes)
                    try reader.apply(frame.bytes)
                    #expect(patterns(reader.state) == patterns(one.state))
                }
            }
        }
    }

    /// Frame by frame, a chain's encoder beats the same frames without what came before.
    @Test func aChainRemembersWhatMoved() throws {
        var numbers = Numbers(state: 8)
        let base = [Float](repeating: 1, count: 30_000)
        let moves = base.map { _ in numbers.next() % 20 == 0 ? Float(numbers.next() % 1000) / 1000 : 0 }
        var chain = Chain(state: base)
        var alone = 0
        var chained = 0
        var reader = Chain(state: base)
        for step in 1...4 {
            let target = zip(base, moves).map { $0 + Float(step) * $1 }
            let settings = CodecSettings(kind: .lc(bits: 2))
            alone += try encode(target, onto: chain.state, settings).frame.bytes.count
            let frame = try chain.encode(target, settings)
            chained += frame.bytes.count
            try reader.apply(frame.bytes)
            #expect(patterns(reader.state) == patterns(chain.state))
            // A reader that joins here goes on as the writer does.
            var other = reader
            #expect(
                try other.encode(base, settings).bytes
                    == (try { () in
                        var own = chain
                        return try own.encode(base, settings)
                    }()).bytes)
        }
        #expect(chained < alone * 4 / 5)
    }

    @Test func aSectionAndASliceAreRestoredAlone() throws {
        var numbers = Numbers(state: 77)
        let count = 200_000
        var states: [[Float]] = []
        let (base, first) = largeStates(count, 9, &numbers)
        states = [base, first, zip(first, base).map { 2 * $0 - $1 }]
        var live = states[0]
        var frames: [[UInt8]] = []
        var context: FrameContext?
        var known: Digest?
        for (step, state) in states.enumerated() {
            var encoder = FrameEncoder(
                kind: known == nil ? .base : .delta, step: 0, baseDigest: known, inheriting: context,
                chained: true)
            try encoder.add(metadata: Array("what step \(step) says".utf8))
            try state.withUnsafeBytes { state in
                try live.withUnsafeMutableBytes { live in
                    let cut = 4 * 70_001
                    try encoder.add(
                        scope: [
                            SectionSource(
                                name: "a", format: .float32, target: .init(rebasing: state[..<cut]),
                                reconstruction: .init(rebasing: live[..<cut])),
                            SectionSource(
                                name: "b", format: .float32, target: .init(rebasing: state[cut...]),
                                reconstruction: .init(rebasing: live[cut...])),
                        ], settings: CodecSettings(kind: .lc(bits: 3)))
                }
            }
            let frame = encoder.finish()
            (context, known) = (frame.context, frame.stateDigest)
            frames.append(frame.bytes)
        }
        let buffers = frames.map { frame in
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 1)
            copy.copyBytes(from: frame)
            return copy
        }
        defer { for buffer in buffers { buffer.deallocate() } }
        for (name, elements, start) in [
            ("a", nil, 0), ("b", nil, 70_001), ("b", 60_000..<70_000, 130_001), ("a", 5..<5, 0),
        ] as [(String, Range<Int>?, Int)] {
            let slice = try ChainSlice(of: name, elements: elements, count: buffers.count) {
                UnsafeRawBufferPointer(buffers[$0])
            }
            let expected = live[start..<(start + slice.elements.count)]
            #expect(slice.bytes == expected.withUnsafeBytes { Array($0) })
            #expect(slice.metadata == Array("what step 2 says".utf8))
        }
        #expect(throws: CodecError.self) {
            _ = try ChainSlice(of: "c", count: 1) { UnsafeRawBufferPointer(buffers[$0]) }
        }
    }
}
