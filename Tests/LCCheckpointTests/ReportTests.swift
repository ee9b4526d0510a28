import LCCheckpoint
import Testing

@Suite struct ReportTests {
    /// Sections share out what their scopes take, no bit more or less.
    @Test(arguments: [
        CodecSettings(kind: .lc(bits: 3)), CodecSettings(kind: .auto(error: 1e-3)),
        CodecSettings(kind: .exact),
    ]) func sectionsShareTheirScopesBytes(_ settings: CodecSettings) throws {
        let still = [Float](repeating: 1, count: 2000)
        let moving = (0..<3000).map { Float($0 % 17) / 16 }
        var reconstructions = [still, moving, moving]
        var sources: [[Float]] = [
            still, moving.enumerated().map { $1 + Float($0 * 7919 % 1000) / 9000 }, moving.map { $0 * 1.01 },
        ]
        let base = Digest(high: 1, low: 2)
        var encoder = FrameEncoder(kind: .delta, step: 1, baseDigest: base)
        try withMemory(of: &sources) { targets in
            try withMemory(of: &reconstructions) { states in
                let sections = (0..<3).map { index in
                    SectionSource(
                        name: "\(index)", format: .float32, target: UnsafeRawBufferPointer(targets[index]),
                        reconstruction: states[index])
                }
                try encoder.add(scope: Array(sections[..<2]), settings: settings)
                try encoder.add(scope: [sections[2]], settings: settings)
            }
        }
        let bytes = encoder.finish().bytes
        let frame = try bytes.withUnsafeBytes { try Frame(parsing: $0) }
        let (bits, scopes) = (try frame.sectionBits(), try frame.report().scopes)
        #expect(bits.count == 3)
        #expect(abs(bits[0] + bits[1] - 8 * Double(scopes[0].byteCount)) < 1e-6)
        #expect(abs(bits[2] - 8 * Double(scopes[1].byteCount)) < 1e-6)
        if settings.kind != .exact { #expect(bits[0] < bits[1]) }
    }

    private func withMemory(
        of arrays: inout [[Float]], _ body: ([UnsafeMutableRawBufferPointer]) throws -> Void
    ) rethrows {
        let copies = arrays.map { array in
            let memory = UnsafeMutableBufferPointer<Float>.allocate(capacity: array.count)
            _ = memory.initialize(from: array)
            return memory
        }
        defer { for copy in copies { copy.deallocate() } }
        try body(copies.map { UnsafeMutableRawBufferPointer($0) })
        arrays = copies.map { Array($0) }
    }
}
