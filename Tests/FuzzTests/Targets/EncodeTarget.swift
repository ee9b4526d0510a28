@testable import LCCheckpoint

/// The encoder: any values with any settings give a frame that reads back to what the encoder says.
enum EncodeTarget {
    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var input = InputReader(bytes)
        let settings = settings(&input)
        let format = ElementFormat.allCases[Int(input.byte() & 7)]
        let width = format.byteCount
        let count = min(input.rest.count / 2 / width, 1 << 14)
        guard format.isFloatingPoint || settings.kind == .exact else { return false }
        let base = SectionMemory([Array(input.take(count * width))])
        let target = SectionMemory([Array(input.take(count * width))])
        let decoded = SectionMemory(base.bytes.map { Array($0) })
        let digest = digest(base, format)
        do throws(CodecError) {
            var encoder = FrameEncoder(kind: .delta, step: 1, baseDigest: digest)
            try encoder.add(
                scope: [
                    SectionSource(
                        name: "p", format: format, target: UnsafeRawBufferPointer(target.bytes[0]),
                        reconstruction: base.bytes[0])
                ], settings: settings)
            let frame = encoder.finish()
            demand(frame.stateDigest == Self.digest(base, format), "a digest of something else")
            let parsed = try frame.bytes.withUnsafeBufferPointer { (bytes) throws(CodecError) in
                try Frame(parsing: UnsafeRawBufferPointer(bytes))
            }
            _ = try parsed.report()
            try parsed.apply(toBytes: decoded.bytes, expectingBase: digest)
        } catch {
            fatalError("what was encoded isn't read back: \(error)")
        }
        demand(decoded.bytes[0].elementsEqual(base.bytes[0]), "reader and writer differ")
        check(base, target, format, settings)
        return true
    }

    private static func digest(_ memory: SectionMemory, _ format: ElementFormat) -> Digest {
        StateDigest.of(
            sections: [(name: "p", format: format, bytes: UnsafeRawBufferPointer(memory.bytes[0]))],
            metadata: [])
    }

    /// Exact is exact; NaN and infinities are carried as they are by every kind.
    private static func check(
        _ reconstruction: SectionMemory, _ target: SectionMemory, _ format: ElementFormat,
        _ settings: CodecSettings
    ) {
        if settings.kind == .exact {
            demand(
                reconstruction.bytes[0].elementsEqual(target.bytes[0]), "exact isn't exact")
        }
        guard format == .float32 else { return }
        for offset in stride(from: 0, to: target.bytes[0].count, by: 4) {
            let bits = target.bytes[0].load(fromByteOffset: offset, as: UInt32.self)
            guard !Float(bitPattern: bits).isFinite else { continue }
            demand(
                reconstruction.bytes[0].load(fromByteOffset: offset, as: UInt32.self) == bits,
                "an exception isn't carried")
        }
    }

    private static func settings(_ input: inout InputReader) -> CodecSettings {
        let (kind, entropy, domain) = (input.byte(), input.byte(), input.byte())
        let detail = Int(input.byte())
        let coders: [CodecSettings.Entropy] = [.best, .huffman, .quick]
        let kinds: [CodecSettings.Kind] = [
            .lc(bits: 1 + detail % 16), .lc(bits: nil), .exact,
            .auto(error: Double(1 + detail) / Double(1 << (9 + 2 * (detail % 8)))),
        ]
        return CodecSettings(
            kind: kinds[Int(kind) % kinds.count], entropy: coders[Int(entropy) % coders.count],
            domain: domain & 1 == 0 ? .values : .squareRoots)
    }

    static var seeds: [[UInt8]] {
        var seeds: [[UInt8]] = []
        for kind in UInt8(0)..<4 {
            for entropy in UInt8(0)..<3 {
                var numbers = FuzzNumbers(UInt64(kind) + 3)
                var seed: [UInt8] = [kind, entropy, kind & entropy & 1, 2, 0]
                let base = (0..<120).map { _ in numbers.unit() }
                for value in base { seed.put(value.bitPattern) }
                for value in base { seed.put((value + 0.01 * numbers.unit()).bitPattern) }
                seeds.append(seed)
            }
        }
        return seeds
    }
}
