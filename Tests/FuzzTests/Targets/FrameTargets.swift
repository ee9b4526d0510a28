@testable import LCCheckpoint

/// One frame: looked into, and decoded onto a state with the sections that it says, after a frame with any symbols.
enum FrameTarget {
    static let limits = FrameLimits(
        maximumFrameBytes: 1 << 20, maximumStateBytes: 1 << 20, maximumSections: 64,
        maximumMetadataBytes: 1 << 12)

    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let asIs = read(bytes)
        guard let signed = FrameRepair.signed(bytes) else { return asIs }
        return signed.withUnsafeBytes { read($0) } || asIs
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) -> Bool {
        do throws(CodecError) {
            let alone = try Frame(parsing: bytes, limits: limits)
            var context = FrameContext(sections: layout(for: alone.scopes), metadata: [1, 2, 3])
            if let base = alone.header.baseDigest {
                context.history = SymbolHistory(state: base, scopes: alone.scopes.map(symbols))
            }
            let frame = try Frame(parsing: bytes, inheriting: context, limits: limits)
            _ = try frame.report()
            try apply(frame)
            return true
        } catch {
            return false
        }
    }

    private static func apply(_ frame: Frame) throws(CodecError) {
        let memory = SectionMemory(frame.header.sections.map(state))
        do throws(CodecError) {
            try frame.apply(
                toBytes: memory.bytes, expectingBase: frame.header.baseDigest, chained: true)
        } catch {
            // The state here isn't the writer's, so that the digest of what comes out is another, too.
            guard error.kind == .stateMismatch else { throw error }
        }
    }

    /// Sections as a frame could inherit them that leaves them to its base.
    private static func layout(for scopes: [ScopeLayout]) -> [SectionLayout] {
        var sections: [SectionLayout] = []
        for (index, scope) in scopes.enumerated() {
            switch scope.content {
            case .quantized:
                sections.append(
                    SectionLayout(
                        name: "\(index)", format: .float32, elementCount: scope.elementCount, scope: index))
            case .exact(let exact):
                let formats: [Int: ElementFormat] = [1: .bits8, 2: .bits16, 4: .bits32, 8: .bits64]
                for (place, run) in exact.runs.enumerated() {
                    guard let format = formats[run.width] else { continue }
                    sections.append(
                        SectionLayout(
                            name: "\(index).\(place)", format: format, elementCount: run.elementCount,
                            scope: index))
                }
            }
        }
        return sections
    }

    /// Symbols of a frame before, of which none is sure to be in this frame's alphabet.
    private static func symbols(of scope: ScopeLayout) -> [UInt8] {
        var numbers = FuzzNumbers(7)
        return (0..<scope.elementCount).map { index in
            let number = numbers.next()
            return index % 3 == 0 ? UInt8(truncatingIfNeeded: number) : UInt8(number % 3)
        }
    }

    private static func state(of section: SectionLayout) -> [UInt8] {
        (0..<section.byteCount).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ $0 >> 8) }
    }

    static var seeds: [[UInt8]] {
        let deltas = SeedFrames.settings.flatMap { settings in
            let deltas = SeedFrames.chain(settings, count: 300).dropFirst()
            // After other symbols than the writer's, mixed contexts hardly come to a sound end.
            switch settings.kind {
            case .auto: return Array(deltas.prefix(1))
            case .lc where settings.entropy == .best: return Array(deltas.prefix(1))
            case .lc, .exact: return Array(deltas)
            }
        }
        return deltas + [SeedFrames.chain(SeedFrames.settings[0], count: 300)[0]]
    }
}

/// A chain: read by `ChainReader`, a part of it by `ChainSlice`, which must come to the same, and continued.
enum ChainTarget {
    static let limits = FrameLimits(
        maximumFrameBytes: 1 << 20, maximumStateBytes: 1 << 19, maximumSections: 16,
        maximumMetadataBytes: 1 << 12)

    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let asIs = read(bytes)
        let mended = FrameRepair.chain(bytes, limits: limits)
        return mended.withUnsafeBytes { read($0) } || asIs
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var frames: [UnsafeRawBufferPointer] = []
        var rest = bytes
        while let claimed = Frame.claimedByteCount(rest), claimed <= UInt64(rest.count), claimed > 0,
            frames.count < 8
        {
            frames.append(UnsafeRawBufferPointer(rebasing: rest.prefix(Int(claimed))))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(Int(claimed)))
        }
        guard let first = frames.first, let base = try? Frame(parsing: first, limits: limits) else {
            return false
        }
        var reader = ChainReader(limits: limits)
        var isWhole = rest.isEmpty
        for frame in frames {
            do throws(CodecError) {
                try reader.apply(frame.bindMemory(to: UInt8.self).span)
            } catch {
                isWhole = false
                break
            }
        }
        for section in base.header.sections.prefix(3) {
            slice(section, frames, whole: isWhole && base.header.sections.count == 1 ? reader.values : nil)
        }
        if isWhole { proceed(reader) }
        return isWhole
    }

    private static func slice(
        _ section: SectionLayout, _ frames: [UnsafeRawBufferPointer], whole: [Float]?
    ) {
        let window = (section.elementCount / 4)..<(section.elementCount - section.elementCount / 4)
        guard
            let slice = try? ChainSlice(
                of: section.name, elements: window, count: frames.count, limits: limits,
                frames: { frames[$0] }
            )
        else {
            // A chain with a base in its middle can be read, but isn't one chain.
            return
        }
        guard let whole else { return }
        let own = whole[window].map(\.bitPattern)
        let same = slice.bytes.withUnsafeBytes { bytes in
            own.indices.allSatisfy { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self) == own[$0] }
        }
        demand(slice.bytes.count == 4 * own.count && same, "a slice differs from the whole")
    }

    /// Whatever was read can be built on.
    private static func proceed(_ reader: ChainReader) {
        var copy = reader
        do throws(CodecError) {
            var writer = try ChainWriter(
                continuing: reader, settings: CodecSettings(kind: .lc(bits: 2)))
            let values = reader.values.map { $0 + 0.5 }
            let frame = try writer.append(values.span, step: 9)
            try copy.apply(frame.bytes.span)
            demand(
                copy.values.map(\.bitPattern) == writer.reconstruction.map(\.bitPattern),
                "a chain goes on otherwise than it was written")
        } catch {
            // The only thing that a reader's limits may refuse in what the writer made of its state.
            demand(error.kind == .limitExceeded, "a chain can't be continued: \(error)")
        }
    }

    static var seeds: [[UInt8]] {
        SeedFrames.settings.map { SeedFrames.chain($0, count: 200).flatMap { $0 } }
    }
}

/// Small chains: a base and three deltas, the last of few changes.
enum SeedFrames {
    static let settings: [CodecSettings] = [
        CodecSettings(kind: .lc(bits: 2)), CodecSettings(kind: .lc(bits: 3), entropy: .huffman),
        CodecSettings(kind: .lc(bits: nil), entropy: .quick), CodecSettings(kind: .exact),
        CodecSettings(kind: .auto(error: 1e-2)), CodecSettings(kind: .auto(error: 1e-4), entropy: .huffman),
        CodecSettings(kind: .auto(error: 1e-3), domain: .squareRoots),
    ]

    static func chain(_ settings: CodecSettings, count: Int) -> [[UInt8]] {
        var numbers = FuzzNumbers(11)
        var values = (0..<count).map { _ in abs(numbers.unit()) }
        var writer = ChainWriter(name: "p", settings: settings)
        return (0..<4).map { step in
            if step > 0 {
                for index in values.indices where step < 3 || index % 40 == 0 {
                    values[index] = abs(values[index] + 0.1 * numbers.unit())
                }
            }
            guard let frame = try? writer.append(values.span, step: UInt64(step)) else {
                fatalError("plain values can't be encoded")
            }
            return frame.bytes
        }
    }
}
