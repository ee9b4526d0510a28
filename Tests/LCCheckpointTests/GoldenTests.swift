import Foundation
import Tensors
import Testing

@testable import LCCheckpoint

/// Frames that were written once and must be read for ever, and frames that must be refused for ever.
///
/// `NAME.base` and `NAME.state` hold Float32 values. `VARVE_WRITE_GOLDEN=1` writes the files anew: only a new version of the
/// format is a reason.
@Suite struct GoldenTests {
    private static let directory = (#filePath as NSString).deletingLastPathComponent + "/Golden/"
    private static let good = [
        "lc2-rans", "lc3-huffman", "lc3-rans-four-states", "lc3-runs", "all-huffman", "exceptions",
        "unchanged", "exact",
        "base",
    ]
    private static let bad = [
        "bad-version", "bad-kind", "bad-flags", "bad-checksum", "bad-length", "bad-bucket-order", "bad-codec",
        "bad-state-digest",
    ]

    private func floats(_ name: String) throws -> [Float] {
        let bytes = try Files.read(GoldenTests.directory + name)
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
        let frame = try Files.read(GoldenTests.directory + name + ".frame")
        let base = try floats(name + ".base")
        let state = try floats(name + ".state")
        #expect(patterns(try apply(frame, to: base)) == patterns(state))
        #expect(patterns(try PlainDecoder.decode(frame, onto: base)) == patterns(state))
    }

    @Test(arguments: bad)
    func badFramesAreRefused(_ name: String) throws {
        if ProcessInfo.processInfo.environment["VARVE_WRITE_GOLDEN"] != nil { try write(bad: name) }
        let frame = try Files.read(GoldenTests.directory + name + ".frame")
        let base = try floats("lc3-huffman.base")
        #expect(throws: CodecError.self) { try apply(frame, to: base) }
    }

    private func inputs(_ name: String) -> (
        base: [Float], target: [Float], settings: CodecSettings, kind: FrameKind
    ) {
        var numbers = Numbers(state: 42)
        let count = ["lc3-rans-four-states", "lc3-runs"].contains(name) ? 5001 : 600
        let base = (0..<count).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
        var target = base.enumerated().map { index, value in
            let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
            let move = 0.125 * unit * unit * unit * unit * unit
            return name == "lc3-runs" && index % 1000 > 70 ? value : value + move
        }
        switch name {
        case "lc2-rans": return (base, target, CodecSettings(kind: .lc(bits: 2)), .delta)
        case "lc3-huffman":
            return (base, target, CodecSettings(kind: .lc(bits: 3), entropy: .huffman), .delta)
        case "lc3-rans-four-states", "lc3-runs":
            return (base, target, CodecSettings(kind: .lc(bits: 3)), .delta)
        case "exceptions":
            target[3] = Float(bitPattern: 0x7f81_2345)
            target[4] = -.infinity
            target[599] = -.greatestFiniteMagnitude
            return (base, target, CodecSettings(kind: .lc(bits: 3)), .delta)
        case "unchanged": return (base, base, CodecSettings(kind: .lc(bits: 3)), .delta)
        case "exact": return (base, target, CodecSettings(kind: .exact), .delta)
        case "base": return (base, target, CodecSettings(kind: .exact), .base)
        default: return (base, target, CodecSettings(kind: .lc(bits: nil)), .delta)
        }
    }

    private func save(_ bytes: [UInt8], _ name: String) throws {
        try Files.writeAtomically(GoldenTests.directory + name) { (write) throws(TensorFileError) in
            try write(bytes)
        }
    }

    private func write(_ name: String) throws {
        let (base, target, settings, kind) = inputs(name)
        let (frame, state) = try encode(target, onto: base, settings, kind: kind)
        try save(frame.bytes, name + ".frame")
        try save(base.withUnsafeBytes { Array($0) }, name + ".base")
        try save(state.withUnsafeBytes { Array($0) }, name + ".state")
    }

    private func write(bad name: String) throws {
        let (base, target, settings, kind) = inputs("lc3-huffman")
        var frame = try encode(target, onto: base, settings, kind: kind).frame.bytes
        // Layout (1 section "p" of 600 elements), metadata and scope count take 9 bytes; then the scope's length.
        let scope = FrameFormat.headerBytes + 9 + (frame[FrameFormat.headerBytes + 9] < 128 ? 1 : 2)
        switch name {
        case "bad-version": frame[4] = 2
        case "bad-kind": frame[5] = 2
        case "bad-flags": frame[6] = 4
        case "bad-checksum": frame[frame.count - 1] ^= 1
        case "bad-length": frame[8] ^= 1
        case "bad-bucket-order": for byte in (scope + 5)..<(scope + 9) { frame.swapAt(byte, byte + 4) }
        case "bad-codec": frame[scope] = 9
        default: frame[40] ^= 1
        }
        if name != "bad-checksum" {
            frame.removeLast(8)
            frame.append(littleEndian: frame.withUnsafeBytes { checksum64($0) })
        }
        try save(frame, name + ".frame")
    }
}
