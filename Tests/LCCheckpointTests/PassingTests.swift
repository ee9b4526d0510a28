import Testing

@testable import LCCheckpoint

/// Reconstructions that pass through memory come out as those that stay there.
@Suite struct PassingTests {
    private final class Collected {
        var bytes: [UInt8]
        var times: [UInt8]
        init(_ count: Int) {
            bytes = [UInt8](repeating: 0, count: count)
            times = bytes
        }
    }

    /// Two sections of one vector: memory that is to be filled, and what comes out of it.
    private func passing(
        _ base: UnsafeRawBufferPointer, _ memory: UnsafeMutableRawBufferPointer, _ out: Collected, from: Int
    ) -> PassingMemory {
        PassingMemory(
            previous: base, willFill: { _ in },
            isDone: { range in
                for index in range {
                    out.bytes[from + index] = memory[index]
                    out.times[from + index] += 1
                    // Nothing may be read from here any more.
                    memory[index] = 0xff
                }
            })
    }

    @Test(arguments: [
        CodecSettings(kind: .lc(bits: 3)), CodecSettings(kind: .lc(bits: nil)), CodecSettings(kind: .exact),
        CodecSettings(kind: .auto(error: 1e-3)),
    ])
    func comesOutTheSame(_ settings: CodecSettings) throws {
        var numbers = Numbers(state: 31)
        let count = 210_001
        let cut = 4 * 70_003
        for hasException in [false, true] {
            for rarity in [1, 40] as [UInt64] {
                let base = (0..<count).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
                var target = base.map {
                    let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
                    return numbers.next() % rarity == 0 ? $0 + 0.1 * unit * unit * unit : $0
                }
                if hasException { target[100_000] = .nan }
                let held = try encode(target, onto: base, settings)
                let frame = try target.withUnsafeBytes { target in
                    try run(base, cut, held.reconstruction) { sources in
                        var encoder = FrameEncoder(kind: .delta, step: 7, baseDigest: digest(base, cut))
                        try encoder.add(
                            scope: sources.enumerated().map { index, source in
                                SectionSource(
                                    name: index == 0 ? "p" : "q", format: .float32,
                                    target: .init(rebasing: index == 0 ? target[..<cut] : target[cut...]),
                                    reconstruction: source.memory, passing: source.passing)
                            }, settings: settings)
                        return encoder.finish()
                    }
                }
                _ = try run(base, cut, held.reconstruction) { sources in
                    try frame.bytes.withUnsafeBytes { bytes in
                        try Frame(parsing: bytes).apply(
                            toBytes: sources.map(\.memory), expectingBase: digest(base, cut),
                            passing: sources.map(\.passing))
                    }
                }
            }
        }
    }

    private func digest(_ state: [Float], _ cut: Int) -> Digest {
        state.withUnsafeBytes { bytes in
            StateDigest.of(
                sections: [
                    ("p", .float32, .init(rebasing: bytes[..<cut])),
                    ("q", .float32, .init(rebasing: bytes[cut...])),
                ], metadata: [])
        }
    }

    /// Runs `body` on memory that holds nothing yet, and looks at what came out.
    private func run<Result>(
        _ base: [Float], _ cut: Int, _ expected: [Float],
        _ body: ([(memory: UnsafeMutableRawBufferPointer, passing: PassingMemory)]) throws -> Result
    ) throws -> Result {
        let out = Collected(4 * base.count)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * base.count, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0xee)
        defer { memory.deallocate() }
        return try base.withUnsafeBytes { base in
            let halves = [0..<cut, cut..<base.count].map { range in
                let own = UnsafeMutableRawBufferPointer(rebasing: memory[range])
                return (
                    memory: own,
                    passing: passing(.init(rebasing: base[range]), own, out, from: range.lowerBound)
                )
            }
            let result = try body(halves)
            #expect(out.times.allSatisfy { $0 == 1 })
            #expect(expected.withUnsafeBytes { $0.elementsEqual(out.bytes) })
            return result
        }
    }
}
