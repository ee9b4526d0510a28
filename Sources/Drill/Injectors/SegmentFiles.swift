import Foundation

/// The records in a store's segment files, read as `docs/formats/segment.md` says: enough of it to hurt them.
struct SegmentFiles {
    struct Record: Hashable {
        var path: String
        /// Where the frame begins; its payload follows 168 bytes later.
        var offset: Int
        var payloadBytes: Int
        var kind: RecordKind
        var shard: Int
        var step: UInt64

        static let headerBytes = 168
        var frameBytes: Int { (Self.headerBytes + payloadBytes + 7) / 8 * 8 }
        var name: String { "the \(kind.rawValue) of shard \(shard), step \(step)" }
    }

    let folder: String

    var paths: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasPrefix("segment-") && $0.hasSuffix(".varve") }.sorted().map {
            "\(folder)/\($0)"
        }
    }

    /// The bases and deltas of one file, and where its last whole frame ends.
    static func records(of path: String) -> (records: [Record], end: Int) {
        guard let data = FileManager.default.contents(atPath: path) else { return ([], 0) }
        var records: [Record] = []
        var offset = 4096
        data.withUnsafeBytes { bytes in
            func word(_ at: Int) -> UInt32 {
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
            }
            while offset + Record.headerBytes <= bytes.count {
                let mark = word(offset + 8)
                let length = Int(word(offset + 16))
                guard mark == recordMark || mark == catalogueMark,
                    offset + Record.headerBytes + length <= bytes.count
                else { break }
                let kind = bytes[offset + 12]
                var record = Record(
                    path: path, offset: offset, payloadBytes: length, kind: kind == 1 ? .base : .delta,
                    shard: Int(word(offset + 20)),
                    step: UInt64(
                        littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 56, as: UInt64.self)))
                if mark == recordMark, kind == 1 || kind == 2 { records.append(record) }
                record.payloadBytes = length
                offset += record.frameBytes
            }
        }
        return (records, offset)
    }

    var records: [Record] { paths.flatMap { Self.records(of: $0).records } }

    private static let recordMark = mark("VREC")
    private static let catalogueMark = mark("VCAT")
    private static func mark(_ text: String) -> UInt32 {
        text.utf8.enumerated().reduce(0) { $0 | UInt32($1.element) << (8 * UInt32($1.offset)) }
    }

    /// Overwrites bytes in place, through the page cache as a failing disk's controller would below it.
    static func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) throws(NotInjected) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw NotInjected("can't open \(path): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        guard pwrite(descriptor, bytes, bytes.count, off_t(offset)) == bytes.count else {
            throw NotInjected("can't write \(path): \(String(cString: strerror(errno)))")
        }
    }

    static func read(_ path: String, at offset: Int, count: Int) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: count)
        return pread(descriptor, &bytes, count, off_t(offset)) == count ? bytes : nil
    }
}
