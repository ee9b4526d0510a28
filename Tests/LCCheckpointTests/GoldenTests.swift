import Foundation
import Testing

@testable import LCCheckpoint

/// Frames that were written once and must be read for ever, and frames that must be refused for ever.
///
/// `NAME.base` and `NAME.state` hold Float32 values. `VARVE_WRITE_GOLDEN=1` writes the files that aren't there: today's
/// encoder may choose other coders than the one that wrote the others, and what was written once must be read.
@Suite struct GoldenTests {
    private static let good = [
        "lc2-one-lane", "lc3-huffman", "lc3-groups", "lc3-four-lanes", "lc3-runs", "lc3-chain",
        "lc3-chain-runs", "lc3-hot-runs", "lc3-gaps", "lc1-gaps", "lc3-counted", "lc3-mixed-runs",
        "lc3-chain-mixed-runs", "all", "all-counted",
        "exceptions", "unchanged", "exact", "base", "auto", "auto-chain", "auto-roots", "auto-exceptions",
        "auto-listed", "auto-fine", "auto-scaled", "auto-chain-scaled",
    ]

    /// What the others are coded by an encoder may decide.
    private static let coders = [
        "lc2-one-lane": "rans", "lc3-huffman": "huffman", "lc3-groups": "groups", "lc3-four-lanes": "rans",
        "lc3-runs": "runs", "lc3-hot-runs": "runs", "lc3-chain": "rans", "lc3-chain-runs": "runs",
        "lc3-gaps": "gaps", "lc1-gaps": "gaps", "lc3-counted": "counted", "all-counted": "counted",
        "lc3-mixed-runs": "mixed", "lc3-chain-mixed-runs": "mixed",
        "all": "rans", "unchanged": "constant", "auto": "counted",
        "auto-chain": "mixed", "auto-roots": "counted", "auto-fine": "mixed",
        "auto-scaled": "scaled", "auto-chain-scaled": "scaled",
    ]

    @Test(arguments: coders) func goldenFramesAreCodedAsTheySay(_ name: String, coder: String) throws {
        let bytes = try GoldenFiles.read(name + ".frame")
        let frame = try bytes.withUnsafeBytes { try Frame(parsing: $0) }
        guard case .quantized(let scope) = frame.scopes[0].content else { throw PlainDecoder.Refused() }
        #expect(scope.stream.coderName == coder)
    }

    /// One changed by many steps, so that levels are beyond what is told one by one; the other by few, so that they are listed.
    @Test func goldenLevelsAreLargeAndListed() throws {
        for (name, isListed) in [("auto-fine", false), ("auto-scaled", false), ("auto-listed", true)] {
            let bytes = try GoldenFiles.read(name + ".frame")
            let frame = try bytes.withUnsafeBytes { try Frame(parsing: $0) }
            guard case .quantized(let scope) = frame.scopes[0].content,
                case .levels(let head) = scope.head
            else { throw PlainDecoder.Refused() }
            #expect(head.values.highest > 100, "\(name)")
            #expect((head.listed != nil) == isListed, "\(name)")
        }
    }

    private func floats(_ name: String) throws -> [Float] {
        let bytes = try GoldenFiles.read(name)
        return bytes.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map {
                Float(
                    bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
                )
            }
        }
    }

    @Test(arguments: good)
    func goodFramesAreReadByBothDecoders(_ name: String) throws {
        if ProcessInfo.processInfo.environment["VARVE_WRITE_GOLDEN"] != nil { try write(name) }
        var chain = Chain(state: try floats(name + ".base"))
        var plain = chain.state
        var symbols: [Int] = []
        for frame in name.contains("chain") ? [name + ".first.frame", name + ".frame"] : [name + ".frame"] {
            let bytes = try GoldenFiles.read(frame)
            try chain.apply(bytes)
            plain = try PlainDecoder.decode(bytes, onto: plain, symbols: &symbols)
        }
        let state = try floats(name + ".state")
        #expect(patterns(chain.state) == patterns(state))
        #expect(patterns(plain) == patterns(state))
    }

    /// A frame that looks at the symbols before it is of no use without them.
    @Test func aLinkAloneIsRefused() throws {
        for name in [
            "lc3-chain", "lc3-chain-runs", "lc3-chain-mixed-runs", "auto-chain", "auto-chain-scaled",
        ] {
            var chain = Chain(state: try floats(name + ".base"))
            try chain.apply(try GoldenFiles.read(name + ".first.frame"))
            let frame = try GoldenFiles.read(name + ".frame")
            #expect(throws: CodecError.self) { _ = try apply(frame, to: chain.state) }
        }
    }

    @Test(arguments: BadFrame.all)
    func badFramesAreRefused(_ bad: BadFrame) throws {
        if ProcessInfo.processInfo.environment["VARVE_WRITE_GOLDEN"] != nil { try write(bad: bad.name) }
        let frame = try GoldenFiles.read(bad.name + ".frame")
        let base = try floats("lc3-huffman.base")
        do {
            _ = try apply(frame, to: base)
            Issue.record("\(bad.name) is taken")
        } catch let error as CodecError {
            #expect(error.kind == bad.kind)
            #expect(error.message.contains(bad.sentence), "\(error.message)")
        }
    }

    private func inputs(_ name: String) -> (
        base: [Float], target: [Float], settings: CodecSettings, kind: FrameKind
    ) {
        var numbers = Numbers(state: 42)
        let isLarge = [
            "lc3-four-lanes", "lc3-runs", "lc3-chain", "lc3-chain-runs", "lc3-hot-runs", "lc3-gaps",
            "lc1-gaps", "lc3-counted", "lc3-mixed-runs", "lc3-chain-mixed-runs",
            "auto", "auto-chain", "auto-roots", "auto-listed", "auto-chain-scaled",
        ].contains(name)
        let count = isLarge ? 5001 : 600
        let base = (0..<count).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
        var target = base.enumerated().map { index, value in
            let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
            let move = 0.125 * unit * unit * unit * unit * unit
            if name.hasSuffix("gaps"), index % 601 > 0 { return value }
            return name.hasSuffix("runs") && index % 1000 > 70 ? value : value + move
        }
        switch name {
        case "lc2-one-lane": return (base, target, CodecSettings(kind: .lc(bits: 2)), .delta)
        case "lc3-huffman", "lc3-groups":
            return (base, target, CodecSettings(kind: .lc(bits: 3), entropy: .huffman), .delta)
        case "lc1-gaps": return (base, target, CodecSettings(kind: .lc(bits: 1)), .delta)
        case "auto-fine", "auto-scaled":
            return (base, target, CodecSettings(kind: .auto(error: 3e-6)), .delta)
        case "auto-chain-scaled":
            return (base, target, CodecSettings(kind: .auto(error: 1e-4)), .delta)
        case "auto-listed":
            // All alike but for how binary32 rounds them, which is what the error asks for.
            target = base.enumerated().map { index, value in value + [1e-3, -1e-3, 0][index % 7 % 3] }
            return (base, target, CodecSettings(kind: .auto(error: 6e-8)), .delta)
        case "lc3-four-lanes", "lc3-runs", "lc3-chain", "lc3-chain-runs", "lc3-hot-runs", "lc3-gaps",
            "lc3-counted", "lc3-mixed-runs", "lc3-chain-mixed-runs":
            return (base, target, CodecSettings(kind: .lc(bits: 3)), .delta)
        case "exceptions":
            target[3] = Float(bitPattern: 0x7f81_2345)
            target[4] = -.infinity
            target[599] = -.greatestFiniteMagnitude
            return (base, target, CodecSettings(kind: .lc(bits: 3)), .delta)
        case "auto", "auto-chain": return (base, target, CodecSettings(kind: .auto(error: 2e-3)), .delta)
        case "auto-exceptions":
            target[3] = Float(bitPattern: 0x7f81_2345)
            target[4] = -.infinity
            target[599] = -.greatestFiniteMagnitude
            target[7] = 1000
            return (base, target, CodecSettings(kind: .auto(error: 1e-3)), .delta)
        case "auto-roots":
            return (
                base.map { $0 * $0 }, target.map { $0 * $0 },
                CodecSettings(kind: .auto(error: 2e-3), domain: .squareRoots), .delta
            )
        case "unchanged": return (base, base, CodecSettings(kind: .lc(bits: 3)), .delta)
        case "exact": return (base, target, CodecSettings(kind: .exact), .delta)
        case "base": return (base, target, CodecSettings(kind: .exact), .base)
        default: return (base, target, CodecSettings(kind: .lc(bits: nil)), .delta)
        }
    }

    private func write(_ name: String) throws {
        let (base, target, settings, kind) = inputs(name)
        var frame: EncodedFrame
        var state = base
        if name.contains("chain") {
            var chain = Chain(state: base)
            let first = try chain.encode(target, settings)
            try GoldenFiles.save(first.bytes, name + ".first.frame")
            // The second step moves what the first one moved.
            let next = zip(target, base).map { 2 * $0 - $1 }
            state = chain.state
            if let coder = GoldenCoder.byName[name] {
                frame = try coder.encode(next, after: first, onto: &state, settings)
            } else {
                frame = try chain.encode(next, settings)
                state = chain.state
            }
            #expect(try frame.bytes.withUnsafeBytes { try Frame(parsing: $0).header.needsPrevious })
        } else if let coder = GoldenCoder.byName[name] {
            frame = try coder.encode(target, after: nil, onto: &state, settings)
        } else {
            (frame, state) = try encode(target, onto: base, settings, kind: kind)
        }
        try GoldenFiles.save(frame.bytes, name + ".frame")
        try GoldenFiles.save(base.withUnsafeBytes { Array($0) }, name + ".base")
        try GoldenFiles.save(state.withUnsafeBytes { Array($0) }, name + ".state")
    }
}
