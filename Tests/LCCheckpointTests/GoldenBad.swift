import Testing

@testable import LCCheckpoint

/// A frame that must be refused, and how.
struct BadFrame: CustomTestStringConvertible {
    var name: String
    var kind: CodecError.Kind
    /// A part of the sentence that no other check says.
    var sentence: String

    var testDescription: String { name }

    private init(_ name: String, _ kind: CodecError.Kind, _ sentence: String) {
        (self.name, self.kind, self.sentence) = (name, kind, sentence)
    }

    static let all = [
        BadFrame("bad-version", .unsupported, "frame is of version 4 "),
        BadFrame("bad-flags", .unsupported, "has flags 33,"),
        BadFrame("bad-checksum", .checksumMismatch, "its checksum doesn't hold"),
        BadFrame("bad-length", .malformed, "bytes and claims"),
        BadFrame("bad-bucket-rank", .malformed, "a bucket below the smallest exponent"),
        BadFrame("bad-bucket-zeros", .malformed, "24 zeros at the end of a significand"),
        BadFrame("bad-codec", .unsupported, "needs codec 3,"),
        BadFrame("bad-block-size", .malformed, "blocks of 2^31 symbols"),
        BadFrame("bad-state-digest", .stateMismatch, "isn't what was written"),
        BadFrame("bad-kraft", .malformed, "the code lengths make no complete code"),
        BadFrame("bad-frequencies", .malformed, "frequencies exceed their sum"),
        BadFrame("bad-count", .malformed, "element count is 1099511627776, above its limit"),
        BadFrame("bad-bomb", .limitExceeded, "claims a state of 1073741824: refused as a bomb"),
        BadFrame("bad-varint", .malformed, "step is no number of 64 bits"),
        BadFrame("bad-varint-form", .malformed, "step isn't in its shortest form"),
        BadFrame("bad-exception-end", .malformed, "an exception beyond the scope's 600 elements"),
        BadFrame("bad-exception-order", .malformed, "an exception beyond the scope's 600 elements"),
        BadFrame("bad-exception-count", .malformed, "bytes after the exceptions"),
        BadFrame("bad-exception-none", .malformed, "no exceptions where some should be"),
        BadFrame("bad-tag", .malformed, "a codec with what belongs to another"),
        BadFrame("bad-block-length", .malformed, "block length is 16383, above its limit"),
        BadFrame("bad-block-cut", .malformed, "doesn't hold its 150 symbols"),
        BadFrame("bad-block-rest", .malformed, "doesn't hold its 150 symbols"),
        BadFrame("bad-gap", .malformed, "gap is out of range"),
        BadFrame("bad-gap-count", .malformed, "symbols in a block of 600"),
        BadFrame("bad-gap-rest", .malformed, "bits after the gaps"),
        BadFrame("bad-counts", .malformed, "a block doesn't hold its 600 symbols"),
        BadFrame("bad-counts-rest", .malformed, "a block doesn't hold its 600 symbols"),
        BadFrame("bad-counts-block", .malformed, "counts in blocks of 131072 symbols"),
        BadFrame("bad-scaled", .malformed, "scaled levels of kind 2"),
        BadFrame("bad-scaled-level", .malformed, "doesn't hold its 600 levels"),
        BadFrame("bad-list", .malformed, "a level beyond its highest"),
    ]
}

/// A good frame of 600 elements in one scope, taken apart to be damaged and put together again with lengths and a checksum
/// that hold: so the check behind them is reached.
private struct TakenFrame {
    /// What comes before the scope's length, the scope, and what comes after it but for the checksum.
    var head: [UInt8]
    var scope: [UInt8]
    var tail: [UInt8]

    /// The layout's bytes: 1 section, format, scope, elements (2), length of the name, name.
    static func layout(_ kind: FrameKind) -> Int { FrameFormat.prefixBytes + 1 + (kind == .delta ? 32 : 16) }

    init(_ frame: [UInt8], _ kind: FrameKind) throws {
        let at = TakenFrame.layout(kind) + 9
        (head, scope, tail) = try frame[at...].withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            let length = try reader.count("scope", atMost: bytes.count)
            let scope = Array(try reader.bytes(length, "scope"))
            return (Array(frame[..<at]), scope, Array(reader.rest.dropLast(FrameFormat.checksumBytes)))
        }
    }

    /// The place behind the buckets of an lc scope: first byte, elements (2), bucket count, buckets.
    func exceptions() throws -> Int {
        try scope[3...].withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            _ = try BucketValues(&reader, bits: Int(scope[0] >> 3))
            return 3 + bytes.count - reader.rest.count
        }
    }

    var bytes: [UInt8] {
        var all = head
        all.append(varint: UInt64(scope.count))
        all += scope + tail
        let length = all.count + FrameFormat.checksumBytes
        for byte in 0..<6 { all[6 + byte] = UInt8(truncatingIfNeeded: length >> (8 * byte)) }
        all.append(littleEndian: all.withUnsafeBytes { checksum64($0) })
        return all
    }
}

private func varint(_ value: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(varint: value)
    return bytes
}

extension GoldenTests {
    func write(bad name: String) throws {
        if let frame = try damagedElsewhere(name) { return try GoldenFiles.save(frame, name + ".frame") }
        var frame = try TakenFrame(try GoldenFiles.read("lc3-huffman.frame"), .delta)
        let step = FrameFormat.prefixBytes
        // Coder; lengths of 8 codes; the block.
        let coder = try frame.exceptions()
        switch name {
        // The first nine bits.
        case "bad-bucket-rank": frame.scope.replaceSubrange(4..<6, with: [0xff, frame.scope[5] | 1])
        case "bad-codec": frame.scope[0] |= 3
        case "bad-tag": frame.scope[0] = 4
        case "bad-block-size": frame.scope[coder] |= 0xf0
        case "bad-state-digest": frame.head[step + 1 + 16] ^= 1
        // A code one longer than it was leaves room.
        case "bad-kraft": frame.scope[coder + 1] += 1
        case "bad-count":
            let count = TakenFrame.layout(.delta) + 3
            frame.head.replaceSubrange(count..<(count + 2), with: varint(1 << 40))
        case "bad-varint":
            frame.head.replaceSubrange(step...step, with: Array(repeating: 0x81, count: 10) + [1])
        case "bad-varint-form": frame.head.replaceSubrange(step...step, with: [0x81, 0])
        case "bad-block-cut": frame.scope.removeLast()
        case "bad-block-rest": frame.scope.append(0)
        default: break
        }
        var bytes = frame.bytes
        switch name {
        case "bad-version": bytes[4] = 4
        case "bad-flags": bytes[5] |= 32
        case "bad-length": bytes[6] ^= 1
        case "bad-checksum": bytes[bytes.count - 1] ^= 1
        default: break
        }
        if ["bad-version", "bad-flags", "bad-length"].contains(name) {
            bytes.removeLast(FrameFormat.checksumBytes)
            bytes.append(littleEndian: bytes.withUnsafeBytes { checksum64($0) })
        }
        try GoldenFiles.save(bytes, name + ".frame")
    }

    /// Damage that another good frame lends itself to; all build on the same base.
    private func damagedElsewhere(_ name: String) throws -> [UInt8]? {
        switch name {
        case "bad-frequencies": return try badFrequencies()
        case "bad-bomb": return try bomb()
        case "bad-gap", "bad-gap-count", "bad-gap-rest", "bad-list", "bad-block-length", "bad-counts",
            "bad-counts-rest", "bad-counts-block", "bad-bucket-zeros", "bad-scaled", "bad-scaled-level":
            var frame = try TakenFrame(try GoldenFiles.read("lc3-huffman.frame"), .delta)
            frame.scope = madeScope(name)
            return frame.bytes
        case "bad-exception-end", "bad-exception-order", "bad-exception-count", "bad-exception-none":
            var frame = try TakenFrame(try GoldenFiles.read("exceptions.frame"), .delta)
            // Count, length, then gap and element: of 3 and 4.
            let at = try frame.exceptions()
            let second = at + 7
            #expect(frame.scope[at...(at + 2)] == [2, 10, 3] && frame.scope[second] == 0)
            switch name {
            case "bad-exception-end":
                frame.scope.replaceSubrange(second...second, with: varint(596))
                frame.scope[at + 1] += 1
            case "bad-exception-order":
                // One back, if sums wrapped around.
                frame.scope.replaceSubrange(second...second, with: varint(.max))
                frame.scope[at + 1] += 9
            case "bad-exception-none": frame.scope[at] = 0
            default: frame.scope[at] -= 1
            }
            return frame.bytes
        default: return nil
        }
    }

    /// A scope of 600 elements that ends at the damage.
    private func madeScope(_ name: String) -> [UInt8] {
        let elements = varint(600)
        var bits = BitWriter()
        switch name {
        case "bad-block-length":
            // One run of width 4; a raw plane.
            return [0] + elements + [1, 4] + elements + [StreamCoder.raw.rawValue] + varint(16_383)
        case "bad-list":
            // Listed; no error; one level of one step, which is 1, in its place; of its two symbols the third.
            bits.append(gamma: 1)
            bits.append(gamma: 3)
            return [2] + elements + [2, 0, 0, 0, 0, 1, 0, 0, 0x80, 0x3f, 0] + bits.finish()
        default:
            if name == "bad-bucket-zeros" {
                bits.append(254, count: 9)
                bits.append(gamma: 1)
                bits.append(gamma: 25)
                return [1 | 2 << 3] + elements + [2] + bits.finish()
            }
            // One bucket, of rank 254 and value 1; gaps of three bits.
            bits.append(254, count: 9)
            bits.append(0, count: 23)
            let bucket = [1 | 1 << 3] + elements + [1] + bits.finish()
            let head = bucket + [StreamCoder.gaps.rawValue, 3]
            let counted = StreamCoder.counted.rawValue
            var body = BitWriter()
            switch name {
            // 602 in gamma is a count of 601: nine zeros, a one and nine bits, of which a one is the lower half.
            case "bad-counts": return bucket + [counted, 0xff, 0xb4, 0xb0]
            // All are zero: a count of 0, and five bytes that nobody takes.
            case "bad-counts-rest": return bucket + [counted, 0, 0, 0, 0, 0]
            case "bad-scaled": return bucket + [StreamCoder.scaled.rawValue, 2]
            case "bad-scaled-level":
                // One table, in which the third of two symbols has every slot.
                body.append(gamma: 1)
                body.append(2, count: 2)
                body.append(gamma: 1)
                body.append(gamma: 1)
                return bucket + [StreamCoder.scaled.rawValue, 0] + body.finish() + [0, 0x80, 0, 0]
            case "bad-counts-block": return bucket + [counted | 1 << StreamCoder.blockSizeShift]
            case "bad-gap":
                body.append(gamma: 1)
                for _ in 0..<75 { body.append(0, count: 1) }
                body.append(1, count: 4)
                return head + body.finish()
            case "bad-gap-count":
                body.append(gamma: 601)
                return head + body.finish() + Array(repeating: 0xff, count: 80)
            default:
                body.append(gamma: 1)
                body.append(1, count: 4)
                return head + body.finish() + [0]
            }
        }
    }

    /// A context head of four symbols without contexts, of which two have half of all slots each, so nothing is left for
    /// the main one.
    private func badFrequencies() throws -> [UInt8] {
        var frame = try TakenFrame(try GoldenFiles.read("lc2-one-lane.frame"), .delta)
        var bits = BitWriter()
        bits.append(gamma: 1)
        bits.append(0, count: 2)
        // Codes 45, 45 and 0: 2048 is F((45 − 1)·2). Each is told from the one before it.
        for gamma in [91, 1, 90] { bits.append(gamma: UInt64(gamma)) }
        frame.scope.replaceSubrange(
            try frame.exceptions()..., with: [StreamCoder.contexts.rawValue, 128] + bits.finish())
        return frame.bytes
    }

    /// A base of 600 zeros that says of itself, three times, that it is of 2^28.
    private func bomb() throws -> [UInt8] {
        let zeros = [Float](repeating: 0, count: 600)
        let good = try encode(zeros, onto: zeros, CodecSettings(kind: .exact), kind: .base).frame.bytes
        var frame = try TakenFrame(good, .base)
        let count = varint(1 << 28)
        let layout = TakenFrame.layout(.base) + 3
        // Codec, elements (2), 1 run, width, elements (2), four constant planes.
        #expect(frame.scope == [0, 0xd8, 4, 1, 4, 0xd8, 4, 0, 0, 0, 0, 0, 0, 0, 0])
        frame.head.replaceSubrange(layout..<(layout + 2), with: count)
        frame.scope.replaceSubrange(5..<7, with: count)
        frame.scope.replaceSubrange(1..<3, with: count)
        return frame.bytes
    }
}
