/// Something that is not as it was written, found on opening, reading or verifying.
///
/// Only `tornTail` means that bytes were cut off; damage is reported, kept in place, and never handed out.
public enum Finding: Sendable, Hashable, CustomStringConvertible {
    /// An append that was never synced was cut off the end of the last segment.
    case tornTail(segment: UInt64, offset: UInt64, bytesCut: UInt64)
    /// Bytes that hold no readable record header; what stood there is unknown.
    ///
    /// `acknowledged` is true when the place was certainly synced, false when that is unknown.
    case damagedHeader(location: RecordLocation, lengthBytes: UInt64, acknowledged: Bool)
    /// The header is sound and the payload is not.
    case damagedPayload(location: RecordLocation, header: RecordHeader)
    /// A sound record that belongs somewhere else: a write went astray and overwrote what stood here.
    case misdirected(location: RecordLocation, claims: RecordLocation, header: RecordHeader)
    /// A segment that the log should have is not there.
    case missingSegment(segment: UInt64)
    /// The file ends before the part that was synced does.
    case missingBytes(segment: UInt64, fromOffset: UInt64, toOffset: UInt64)
    /// The header of the segment file is unreadable; its records were found by their own.
    case damagedSegmentHeader(segment: UInt64)
    /// A file that a crash left behind was removed; nothing of value was in it.
    case leftover(name: String)
    /// The index database was unusable and was made anew; it has to be filled from the segments.
    case damagedIndex(path: String, reason: String)

    public var description: String {
        switch self {
        case .tornTail(let segment, let offset, let bytes):
            "cut \(bytes) bytes of an unfinished append off the end of segment \(hex(segment)) at offset \(offset)"
        case .damagedHeader(let location, let length, let acknowledged):
            "\(length) bytes at \(location) hold no readable record"
                + (acknowledged ? ", though they were synced" : "; whether they were synced is unknown")
        case .damagedPayload(let location, let header):
            "the payload of the \(header.kind) of shard \(header.shard) step \(header.step) at \(location) is damaged"
        case .misdirected(let location, let claims, let header):
            "the \(header.kind) of shard \(header.shard) step \(header.step) at \(location) belongs to \(claims)"
        case .missingSegment(let segment):
            "segment \(hex(segment)) is missing"
        case .missingBytes(let segment, let from, let to):
            "segment \(hex(segment)) ends at offset \(from), though it was synced up to \(to)"
        case .damagedSegmentHeader(let segment):
            "the file header of segment \(hex(segment)) is damaged; its records were read without it"
        case .leftover(let name):
            "removed \(name), left behind by a crash"
        case .damagedIndex(let path, let reason):
            "the index \(path) was unusable (\(reason)) and is rebuilt from the segments"
        }
    }

    /// Whether data was lost or can't be read, as opposed to a crash's harmless remains.
    public var isDamage: Bool {
        switch self {
        case .damagedHeader, .damagedPayload, .misdirected, .missingSegment, .missingBytes,
            .damagedSegmentHeader:
            true
        case .tornTail, .leftover, .damagedIndex:
            false
        }
    }
}
