import CXXHash

/// The binary layout of a segment file, as `docs/formats/segment.md` defines it; little endian throughout.
enum Layout {
    static let version: UInt32 = 1
    static let segmentMagic: UInt64 = 0x4745_5345_5652_4156  // "VARVESEG"
    static let recordMagic: UInt32 = 0x4345_5256  // "VREC"
    static let catalogueMagic: UInt32 = 0x5441_4356  // "VCAT"
    static let segmentHeaderBytes = 64
    /// Two places for the durable watermark, each in a sector of its own, written in turn.
    static let watermarkOffsets: (UInt64, UInt64) = (512, 1024)
    static let watermarkBytes = 32
    /// The first record starts on a page of its own, so that rewriting a watermark can't tear a record.
    static let recordsStart: UInt64 = 4096
    static let frameBytes = 168
    /// A file gets its name only when its first catalogue is durable, so none is shorter than this.
    static var shortestSegment: UInt64 { recordsStart + UInt64(frameBytes) + 8 }
    static let alignment: UInt64 = 8
    static let catalogueEntryBytes = 16
    static let maxCatalogueEntries = 1 << 20
    static let maxOrder: UInt64 = 1 << 63
    /// Of these, as many as a catalogue lists still have a sum.
    static let maxSegmentBytes: UInt64 = 1 << 43

    static func aligned(_ offset: UInt64) -> UInt64 {
        (offset + (alignment - 1)) & ~(alignment - 1)
    }

    static func fileName(_ segment: UInt64) -> String { "segment-\(hex(segment)).varve" }

    static let newSuffix = ".new"

    /// The sequence number in the name of a segment file, or nil for any other file.
    static func segment(ofFile name: String) -> UInt64? {
        guard name.hasPrefix("segment-"), name.hasSuffix(".varve"), name.utf8.count == 30 else { return nil }
        let digits = name.dropFirst(8).dropLast(6)
        guard let value = UInt64(digits, radix: 16), hex(value) == digits else { return nil }
        return value
    }

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    static func put<T: FixedWidthInteger>(_ value: T, _ bytes: UnsafeMutableRawBufferPointer, _ offset: Int) {
        bytes.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
    }

    static func get<T: FixedWidthInteger>(_ type: T.Type, _ bytes: UnsafeRawBufferPointer, _ offset: Int) -> T
    {
        T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}

/// The head of a segment file.
struct SegmentHeader {
    var version: UInt32
    var storeID: UInt64
    var segment: UInt64

    func encode(into bytes: UnsafeMutableRawBufferPointer) {
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        Layout.put(Layout.segmentMagic, bytes, 8)
        Layout.put(version, bytes, 16)
        Layout.put(UInt32(Layout.recordsStart), bytes, 20)
        Layout.put(storeID, bytes, 24)
        Layout.put(segment, bytes, 32)
        let sum = Layout.checksum(UnsafeRawBufferPointer(rebasing: bytes[8..<Layout.segmentHeaderBytes]))
        Layout.put(sum, bytes, 0)
    }

    static func parse(_ bytes: UnsafeRawBufferPointer) -> SegmentHeader? {
        guard bytes.count >= Layout.segmentHeaderBytes else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[8..<Layout.segmentHeaderBytes])
        guard Layout.get(UInt64.self, bytes, 8) == Layout.segmentMagic,
            Layout.get(UInt64.self, bytes, 0) == Layout.checksum(body)
        else { return nil }
        return SegmentHeader(
            version: Layout.get(UInt32.self, bytes, 16), storeID: Layout.get(UInt64.self, bytes, 24),
            segment: Layout.get(UInt64.self, bytes, 32))
    }
}

/// The durable watermark: the segment is certainly on disk up to `syncedTo`.
struct Watermark {
    var storeID: UInt64
    var segment: UInt64
    var syncedTo: UInt64

    func encode(into bytes: UnsafeMutableRawBufferPointer) {
        Layout.put(segment, bytes, 8)
        Layout.put(syncedTo, bytes, 16)
        Layout.put(storeID, bytes, 24)
        let sum = Layout.checksum(UnsafeRawBufferPointer(rebasing: bytes[8..<Layout.watermarkBytes]))
        Layout.put(sum, bytes, 0)
    }

    static func parse(_ bytes: UnsafeRawBufferPointer) -> Watermark? {
        guard bytes.count >= Layout.watermarkBytes else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[8..<Layout.watermarkBytes])
        guard Layout.get(UInt64.self, bytes, 0) == Layout.checksum(body),
            Layout.get(UInt64.self, bytes, 16) <= Layout.maxSegmentBytes
        else { return nil }
        return Watermark(
            storeID: Layout.get(UInt64.self, bytes, 24), segment: Layout.get(UInt64.self, bytes, 8),
            syncedTo: Layout.get(UInt64.self, bytes, 16))
    }
}

/// The fixed head of every record in a segment.
struct Frame {
    enum Content: Hashable {
        case record(RecordHeader)
        /// The list of the segments that exist; written by the log for itself.
        case catalogue
    }

    /// What stands at a place in a segment.
    enum Reading {
        case frame(Frame)
        /// The checksum is right and the kind is unknown: written, but not by this version.
        case unknown
        case unreadable
    }

    var content: Content
    var payloadLength: UInt32
    var location: RecordLocation
    var order: UInt64
    /// The part of this segment that was durable when the frame was written.
    var syncedTo: UInt64
    var payloadChecksum: UInt64
    var storeID: UInt64

    /// Where the payload ends, before padding.
    var payloadEnd: UInt64 { location.offset + UInt64(Layout.frameBytes) + UInt64(payloadLength) }
    /// Where the next frame starts.
    var end: UInt64 { Layout.aligned(payloadEnd) }

    func encode(into bytes: UnsafeMutableRawBufferPointer) {
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        Layout.put(payloadLength, bytes, 16)
        Layout.put(location.segment, bytes, 24)
        Layout.put(location.offset, bytes, 32)
        Layout.put(order, bytes, 40)
        Layout.put(syncedTo, bytes, 48)
        Layout.put(payloadChecksum, bytes, 152)
        Layout.put(storeID, bytes, 160)
        switch content {
        case .catalogue:
            Layout.put(Layout.catalogueMagic, bytes, 8)
        case .record(let header):
            Layout.put(Layout.recordMagic, bytes, 8)
            Layout.put(header.kind.rawValue, bytes, 12)
            Layout.put(header.shard, bytes, 20)
            Layout.put(header.step, bytes, 56)
            Layout.put(header.epoch, bytes, 64)
            Layout.put(header.line, bytes, 72)
            Layout.put(header.baseStep, bytes, 80)
            Layout.put(header.rawBytes, bytes, 88)
            Layout.put(header.relativeError.bitPattern, bytes, 96)
            Self.put(header.baseDigest, bytes, 104)
            Self.put(header.stateDigest, bytes, 120)
            Self.put(header.payloadDigest, bytes, 136)
        }
        let sum = Layout.checksum(UnsafeRawBufferPointer(rebasing: bytes[8..<Layout.frameBytes]))
        Layout.put(sum, bytes, 0)
    }

    static func read(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard bytes.count >= Layout.frameBytes else { return .unreadable }
        let magic = Layout.get(UInt32.self, bytes, 8)
        guard magic == Layout.recordMagic || magic == Layout.catalogueMagic else { return .unreadable }
        let body = UnsafeRawBufferPointer(rebasing: bytes[8..<Layout.frameBytes])
        guard Layout.get(UInt64.self, bytes, 0) == Layout.checksum(body) else { return .unreadable }
        // No log of ours comes near, and sums with these must not overflow.
        guard Layout.get(UInt64.self, bytes, 40) < Layout.maxOrder,
            Layout.get(UInt64.self, bytes, 48) <= Layout.maxSegmentBytes
        else { return .unknown }
        let content: Content
        if magic == Layout.catalogueMagic {
            content = .catalogue
        } else {
            guard let kind = RecordHeader.Kind(rawValue: Layout.get(UInt8.self, bytes, 12)) else {
                return .unknown
            }
            content = .record(
                RecordHeader(
                    kind: kind, shard: Layout.get(UInt32.self, bytes, 20),
                    step: Layout.get(UInt64.self, bytes, 56), epoch: Layout.get(UInt64.self, bytes, 64),
                    line: Layout.get(UInt64.self, bytes, 72), baseStep: Layout.get(UInt64.self, bytes, 80),
                    baseDigest: digest(bytes, 104), stateDigest: digest(bytes, 120),
                    payloadDigest: digest(bytes, 136), rawBytes: Layout.get(UInt64.self, bytes, 88),
                    relativeError: Double(bitPattern: Layout.get(UInt64.self, bytes, 96)),
                    payloadLength: Layout.get(UInt32.self, bytes, 16)))
        }
        return .frame(
            Frame(
                content: content, payloadLength: Layout.get(UInt32.self, bytes, 16),
                location: RecordLocation(
                    segment: Layout.get(UInt64.self, bytes, 24), offset: Layout.get(UInt64.self, bytes, 32)),
                order: Layout.get(UInt64.self, bytes, 40), syncedTo: Layout.get(UInt64.self, bytes, 48),
                payloadChecksum: Layout.get(UInt64.self, bytes, 152),
                storeID: Layout.get(UInt64.self, bytes, 160)))
    }

    private static func put(_ digest: Digest128, _ bytes: UnsafeMutableRawBufferPointer, _ offset: Int) {
        Layout.put(digest.high, bytes, offset)
        Layout.put(digest.low, bytes, offset + 8)
    }

    private static func digest(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Digest128 {
        Digest128(
            high: Layout.get(UInt64.self, bytes, offset), low: Layout.get(UInt64.self, bytes, offset + 8))
    }
}

/// The segments that exist and how far each reaches; the newest one in the log is the truth.
struct Catalogue: Hashable {
    struct Entry: Hashable {
        var segment: UInt64
        var lengthBytes: UInt64
    }

    var entries: [Entry]

    func encode() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8 + entries.count * Layout.catalogueEntryBytes)
        bytes.withUnsafeMutableBytes { bytes in
            Layout.put(UInt32(entries.count), bytes, 0)
            for (index, entry) in entries.enumerated() {
                Layout.put(entry.segment, bytes, 8 + index * Layout.catalogueEntryBytes)
                Layout.put(entry.lengthBytes, bytes, 16 + index * Layout.catalogueEntryBytes)
            }
        }
        return bytes
    }

    static func parse(_ bytes: UnsafeRawBufferPointer) -> Catalogue? {
        guard bytes.count >= 8 else { return nil }
        let count = Int(Layout.get(UInt32.self, bytes, 0))
        guard count <= Layout.maxCatalogueEntries, bytes.count == 8 + count * Layout.catalogueEntryBytes
        else {
            return nil
        }
        let entries = (0..<count).map { index in
            Entry(
                segment: Layout.get(UInt64.self, bytes, 8 + index * Layout.catalogueEntryBytes),
                lengthBytes: Layout.get(UInt64.self, bytes, 16 + index * Layout.catalogueEntryBytes))
        }
        guard entries.allSatisfy({ $0.lengthBytes <= Layout.maxSegmentBytes }) else { return nil }
        return Catalogue(entries: entries)
    }
}
