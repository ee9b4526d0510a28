import Foundation
import ModelCodec
import Tensors
import Testing

@testable import LCCheckpoint

/// Golden frames of several sections, formats and scopes.
///
/// `NAME.base` and `NAME.state` hold the sections' bytes, end to end in the order of the frame's layout; a base state has no
/// metadata. `VARVE_WRITE_GOLDEN=1` writes the files that aren't there.
@Suite struct GoldenStateTests {
    private static let good = ["sections", "scopes", "sections-base", "raw"]
    private static let metadata = Array("step 7 of größe".utf8)

    @Test(arguments: good)
    func goodFramesAreReadByBothDecoders(_ name: String) throws {
        if ProcessInfo.processInfo.environment["VARVE_WRITE_GOLDEN"] != nil { try write(name) }
        let bytes = try GoldenFiles.read(name + ".frame")
        let (base, state) = (try GoldenFiles.read(name + ".base"), try GoldenFiles.read(name + ".state"))
        let frame = try bytes.withUnsafeBytes { try Frame(parsing: $0) }
        let sections = frame.header.sections
        #expect(try applied(frame, to: base) == state)
        let plain = try PlainDecoder.decode(bytes, onto: plainState(base, sections))
        #expect(plain.sections.flatMap(\.bytes) == state)
        #expect(plain.sections.map(\.name) == sections.map { Array($0.name.utf8) })
        #expect(plain.sections.map(\.format) == sections.map(\.format.rawValue))
        #expect(plain.metadata == frame.header.metadata)
        #expect(plain.metadata == (name == "raw" ? [] : GoldenStateTests.metadata))
        if name == "sections" {
            let all = plain.sections
            #expect(all[0][119] == 0x7f81_2345 && all[0].float(5) < 97)
            #expect(all[1][7] == 0xfc00 && all[1][8] == 0x7bff && all[2][0] == 0x7fc1)
            #expect(all[3][49] == 0x7ff0_0000_0000_0001)
        }
        if name == "raw" { #expect(plain.coders == [3]) }
        if name == "scopes" {
            #expect(frame.header.scopes[...1] == [.lc(bits: 2), .exact])
            guard case .auto = frame.header.scopes[2] else { throw PlainDecoder.Refused() }
        }
    }

    /// A plain decoder that takes anything vouches for nothing.
    @Test func thePlainDecoderRefusesDamage() throws {
        let bytes = try GoldenFiles.read("sections.frame")
        let layout = try bytes.withUnsafeBytes { try Frame(parsing: $0).header.sections }
        let state = plainState(try GoldenFiles.read("sections.base"), layout)
        for place in [20, 40, 100, bytes.count - 20, bytes.count - 1] {
            var damaged = bytes
            damaged[place] ^= 4
            #expect(throws: PlainDecoder.Refused.self) { try PlainDecoder.decode(damaged, onto: state) }
        }
        var other = state
        other.sections[0].bytes[0] ^= 1
        #expect(throws: PlainDecoder.Refused.self) { try PlainDecoder.decode(bytes, onto: other) }
    }

    @Test func plainDigestsAreTheLibrarys() {
        var numbers = Numbers(state: 5)
        let lengths = Array(0...300) + (0..<100).map { _ in Int(numbers.next() % 5001) } + [1024, 1025, 5000]
        for length in lengths {
            let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
            let digest = bytes.withUnsafeBytes { Digest.of($0) }
            #expect(PlainDigest.of128(bytes) == .init(high: digest.high, low: digest.low), "\(length) bytes")
            #expect(PlainDigest.of64(bytes) == bytes.withUnsafeBytes { checksum64($0) }, "\(length) bytes")
        }
    }
}

/// The golden files.
enum GoldenFiles {
    static let directory = (#filePath as NSString).deletingLastPathComponent + "/Golden/"

    static func read(_ name: String) throws -> [UInt8] { try Files.read(directory + name) }

    /// Writes a file that isn't there: those that are stay for ever.
    static func save(_ bytes: [UInt8], _ name: String) throws {
        guard !FileManager.default.fileExists(atPath: directory + name) else { return }
        try Files.writeAtomically(directory + name) { (write) throws(TensorFileError) in try write(bytes) }
    }
}

extension GoldenStateTests {
    /// Sections that lie end to end.
    private func plainState(_ bytes: [UInt8], _ sections: [SectionLayout]) -> PlainState {
        var start = 0
        return PlainState(
            sections: sections.map { section in
                defer { start += section.byteCount }
                return PlainState.Section(
                    name: Array(section.name.utf8), format: section.format.rawValue,
                    bytes: Array(bytes[start..<(start + section.byteCount)]), scope: section.scope)
            })
    }

    /// What the library makes of them.
    private func applied(_ frame: Frame, to bytes: [UInt8]) throws -> [UInt8] {
        var bytes = bytes
        try bytes.withUnsafeMutableBytes { bytes in
            var start = 0
            let sections = frame.header.sections.map { section in
                defer { start += section.byteCount }
                return UnsafeMutableRawBufferPointer(rebasing: bytes[start..<(start + section.byteCount)])
            }
            let known = zip(frame.header.sections, sections).map {
                (name: $0.name, format: $0.format, bytes: UnsafeRawBufferPointer($1))
            }
            let base = StateDigest.of(sections: known, metadata: [])
            try frame.apply(toBytes: sections, expectingBase: frame.header.kind == .base ? nil : base)
        }
        return bytes
    }

    /// Noise for opaque bits; for floats values, and in `target` what a step makes of them.
    private func section(
        _ name: String, _ format: ElementFormat, _ count: Int, scope: Int, _ numbers: inout Numbers
    ) -> (base: PlainState.Section, target: PlainState.Section) {
        var base = PlainState.Section(
            name: Array(name.utf8), format: format.rawValue,
            bytes: Array(repeating: 0, count: count * format.byteCount), scope: scope)
        var target = base
        for element in 0..<count {
            if format.isFloatingPoint {
                base.set(element, Float(Int(numbers.next() % 2001) - 1000) / 1024)
                let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
                target.set(element, base.float(element) + 0.125 * unit * unit * unit * unit * unit)
            } else {
                base[element] = numbers.next()
                // Some as they were, some a little up or down, some anything.
                let moves: [UInt64] = [0, 0, 1, 0 &- 1, 300, numbers.next()]
                target[element] = base[element] &+ moves[Int(numbers.next() % 6)]
            }
        }
        return (base, target)
    }

    private func inputs(
        _ name: String
    ) -> (sections: [(base: PlainState.Section, target: PlainState.Section)], settings: [CodecSettings]) {
        var numbers = Numbers(state: 43)
        switch name {
        case "sections", "sections-base":
            // Not in the order of their names.
            var all = [
                section("layer.weight", .float32, 120, scope: 0, &numbers),
                section("layer.bias", .float16, 60, scope: 0, &numbers),
                section("embedding", .bfloat16, 90, scope: 0, &numbers),
                section("größe", .float64, 50, scope: 0, &numbers),
            ]
            // Exceptions of each format, in binary16 one more, where the bucket's value leads beyond what it holds.
            all[0].target[119] = 0x7f81_2345
            all[1].target[7] = 0xfc00
            all[0].base[5] = 0
            all[0].target[5] = UInt64(Float(127.9).bitPattern)
            all[1].base[8] = 0x7bfd
            all[1].target[8] = 0x7bff
            all[2].target[0] = 0x7fc1
            all[3].target[49] = 0x7ff0_0000_0000_0001
            guard name == "sections-base" else { return (all, [CodecSettings(kind: .lc(bits: 3))]) }
            all.append(section("ids", .bits64, 20, scope: 1, &numbers))
            all.append(section("mask", .bits8, 33, scope: 1, &numbers))
            return (all, [CodecSettings(kind: .exact), CodecSettings(kind: .exact)])
        case "scopes":
            let all = [
                section("b.weight", .float32, 150, scope: 0, &numbers),
                section("a.bias", .float16, 30, scope: 0, &numbers),
                section("tokens", .bits64, 20, scope: 1, &numbers),
                section("mask", .bits8, 50, scope: 1, &numbers),
                section("flags", .bits8, 13, scope: 1, &numbers),
                section("ids", .bits16, 25, scope: 1, &numbers),
                section("nothing", .bits32, 0, scope: 1, &numbers),
                section("counts", .bits64, 10, scope: 1, &numbers),
                section("moments", .float64, 60, scope: 2, &numbers),
            ]
            let settings = [CodecSettings.Kind.lc(bits: 2), .exact, .auto(error: 1e-2)]
            return (all, settings.map { CodecSettings(kind: $0) })
        default:
            var noise = section("noise", .bits32, 400, scope: 0, &numbers)
            for element in 0..<400 { noise.target[element] = numbers.next() }
            return ([noise], [CodecSettings(kind: .exact)])
        }
    }

    private func write(_ name: String) throws {
        let (sections, settings) = inputs(name)
        let base = PlainState(sections: sections.map(\.base))
        let known = Digest(high: base.digest.high, low: base.digest.low)
        let isBase = name == "sections-base"
        var encoder = FrameEncoder(kind: isBase ? .base : .delta, step: 7, baseDigest: isBase ? nil : known)
        if name != "raw" { try encoder.add(metadata: GoldenStateTests.metadata) }
        var state: [UInt8] = []
        for (scope, own) in settings.enumerated() {
            let members = sections.filter { $0.base.scope == scope }
            var reconstruction = members.flatMap(\.base.bytes)
            try reconstruction.withUnsafeMutableBytes { reconstruction in
                try members.flatMap(\.target.bytes).withUnsafeBytes { target in
                    var start = 0
                    var sources: [SectionSource] = []
                    for member in members.map(\.base) {
                        let range = start..<(start + member.bytes.count)
                        start = range.upperBound
                        sources.append(
                            SectionSource(
                                name: String(decoding: member.name, as: UTF8.self),
                                format: try #require(ElementFormat(rawValue: member.format)),
                                target: UnsafeRawBufferPointer(rebasing: target[range]),
                                reconstruction: .init(rebasing: reconstruction[range])))
                    }
                    try encoder.add(scope: sources, settings: own)
                }
            }
            state += reconstruction
        }
        try GoldenFiles.save(encoder.finish().bytes, name + ".frame")
        try GoldenFiles.save(base.sections.flatMap(\.bytes), name + ".base")
        try GoldenFiles.save(state, name + ".state")
    }
}
