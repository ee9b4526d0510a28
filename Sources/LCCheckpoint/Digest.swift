import CKernels

/// An XXH3-128 digest: finds damage and mix-ups; it isn't made to withstand forgers.
public struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// The upper 64 bits.
    public var high: UInt64
    /// The lower 64 bits.
    public var low: UInt64

    /// A digest that was computed elsewhere.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Reads 32 hexadecimal digits, most significant first; nil for anything else.
    public init?(hex: String) {
        let digits = Array(hex.utf8)
        guard digits.count == 32 else { return nil }
        var words: (UInt64, UInt64) = (0, 0)
        for (position, digit) in digits.enumerated() {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
            default: return nil
            }
            if position < 16 {
                words.0 = words.0 << 4 | UInt64(value)
            } else {
                words.1 = words.1 << 4 | UInt64(value)
            }
        }
        (high, low) = words
    }

    /// 32 hexadecimal digits in lower case.
    public var description: String {
        String(unsafeUninitializedCapacity: 32) { digits in
            for (half, word) in [high, low].enumerated() {
                for place in 0..<16 {
                    let digit = UInt8(word >> (60 - 4 * UInt64(place)) & 15)
                    digits[16 * half + place] =
                        digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") - 10 + digit
                }
            }
            return 32
        }
    }

    /// The digest of some bytes, with seed 0.
    public static func of(_ bytes: UnsafeRawBufferPointer) -> Digest {
        let digest = ck_digest_bytes(bytes.baseAddress, bytes.count)
        return Digest(high: digest.high, low: digest.low)
    }
}

/// The digest of a state: of its sections' names, formats, counts and bytes, and of its metadata.
///
/// Each section is hashed by itself, a large one by pieces, and the hashes are hashed together in the order of the names'
/// bytes, so it doesn't matter in which order a frame holds the sections and how it groups them into scopes. Defined in
/// docs/formats/frame.md.
public enum StateDigest {
    /// The digest of a state of Float32 sections.
    ///
    /// - Precondition: as many names as sections.
    public static func of(
        sections: [UnsafeBufferPointer<Float>], names: [String], metadata: [UInt8]
    ) -> Digest {
        precondition(sections.count == names.count, "one name for each section")
        var builder = StateDigestBuilder()
        for (name, section) in zip(names, sections) {
            builder.add(name: name, format: .float32, bytes: UnsafeRawBufferPointer(section))
        }
        return builder.finish(metadata: metadata)
    }

    /// The digest of a state of sections in any format.
    public static func of(
        sections: [(name: String, format: ElementFormat, bytes: UnsafeRawBufferPointer)], metadata: [UInt8],
        threads: Int = 1
    ) -> Digest {
        var builder = StateDigestBuilder()
        for section in sections {
            builder.add(name: section.name, format: section.format, bytes: section.bytes, threads: threads)
        }
        return builder.finish(metadata: metadata)
    }

    /// The digest of a state that memory needn't hold.
    public static func of(
        sections: [(name: String, format: ElementFormat, bytes: SectionBytes)], metadata: [UInt8],
        threads: Int = 1
    ) throws(CodecError) -> Digest {
        let digests = SectionDigests(sections.map { ($0.format, $0.bytes) })
        let failure = StreamFailure()
        let piece = SectionDigests.pieceBytes
        for (index, section) in sections.enumerated() {
            guard case .source(let source, let offset, let count) = section.bytes else { continue }
            let pieces = (count + piece - 1) / piece
            let rooms = (0..<max(1, min(threads, pieces))).map { _ in BlockScratch(count: 0) }
            inParallel(pieces, threads: threads) { place, worker in
                let start = place * piece
                let room = UnsafeMutableRawBufferPointer(
                    start: rooms[worker].bytes(piece), count: min(piece, count - start))
                source.read(at: offset + start, into: room, failure)
                digests.feed(section: index, at: start, UnsafeRawBufferPointer(room))
            }
        }
        try failure.check()
        var builder = StateDigestBuilder()
        for (index, section) in sections.enumerated() {
            builder.add(
                name: section.name, format: section.format, byteCount: section.bytes.count,
                digest: digests.digest(ofSection: index, threads: threads))
        }
        return builder.finish(metadata: metadata)
    }
}

/// Collects the sections' digests into the state's.
struct StateDigestBuilder {
    private var entries: [(name: [UInt8], record: [UInt8])] = []

    mutating func add(name: String, format: ElementFormat, bytes: UnsafeRawBufferPointer, threads: Int = 1) {
        add(
            name: name, format: format, byteCount: bytes.count,
            digest: SectionDigests([(format, .memory(bytes))]).digest(ofSection: 0, threads: threads))
    }

    /// The same for a section whose digest is known.
    mutating func add(name: String, format: ElementFormat, byteCount: Int, digest: Digest) {
        var record = [format.rawValue]
        record.append(varint: UInt64(byteCount / format.byteCount))
        record.append(varint: UInt64(name.utf8.count))
        record.append(contentsOf: name.utf8)
        record.append(digest: digest)
        entries.append((Array(name.utf8), record))
    }

    /// Hashes the records in the order of their names' bytes, so the order of adding doesn't matter.
    consuming func finish(metadata: [UInt8]) -> Digest {
        entries.sort { $0.name.lexicographicallyPrecedes($1.name) }
        var manifest: [UInt8] = []
        for entry in entries { manifest.append(contentsOf: entry.record) }
        manifest.append(littleEndian: UInt64(entries.count))
        manifest.append(digest: metadata.withUnsafeBytes { Digest.of($0) })
        return manifest.withUnsafeBytes { Digest.of($0) }
    }
}

/// XXH3-64 with seed 0: the checksum over a frame's bytes.
func checksum64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    ck_checksum(bytes.baseAddress, bytes.count)
}
