/// How a log is opened.
public struct SegmentLogOptions: Sendable {
    /// Whether data is really forced to the disk; `none` is for tests that don't lose power.
    public enum Fsync: Sendable {
        case real
        case none
    }

    /// A segment that reaches this size is sealed and a new one begun; a larger record gets one of its own.
    public var segmentBytes: UInt64 = 64 << 20
    /// Longer payloads are refused on append, and on read before anything is allocated.
    public var maxPayloadBytes: UInt32 = 256 << 20
    /// The active segment is extended with zeros in pieces of this size.
    public var preallocateBytes: UInt64 = 1 << 20
    /// Space kept free for tombstones, promises and the log's own records when the disk is full.
    public var headroomBytes: UInt64 = 64 << 10
    public var fsync: Fsync = .real
    /// Nothing is created, cut off or removed, and no lock is taken: for tools on a stopped store.
    public var readOnly = false
    /// Whose log this is; a new log takes it or draws one, an existing one must bear it.
    public var storeID: UInt64?

    public init() {}
}

/// What an index knows of a log, so that opening need not scan the segments before `completeBefore`.
public struct KnownRecords: Sendable {
    public var records: [StoredRecord]
    /// Every record in the segments with a lower sequence number is in `records`.
    public var completeBefore: UInt64

    public init(records: [StoredRecord], completeBefore: UInt64) {
        self.records = records
        self.completeBefore = completeBefore
    }
}

/// The append-only log of a checkpoint store on the real file system.
public typealias SegmentLog = SegmentLogOn<POSIXFileSystem>

/// An append-only log in segment files: what was synced is found again after a crash, or its damage is named.
///
/// Invariants:
/// - A record is acknowledged only by a `sync()` that returned; from then on no crash loses it.
/// - Only bytes at the end of the last segment that were certainly never acknowledged are ever cut off.
/// - A segment with damage is never written to again; what is sound in it stays readable.
/// - After a failed fsync nothing can be believed about the disk: every later call throws `poisoned`.
///
/// All calls are synchronous and belong on one thread. The layout is in `docs/formats/segment.md`.
public final class SegmentLogOn<Files: LogFileSystem> {
    /// The segment that appends go to.
    struct Active {
        var segment: UInt64
        var file: OpenFile
        /// Where the next frame goes.
        var end: UInt64
        /// The file's size: zeros from `end` to here.
        var allocated: UInt64
        var syncedTo: UInt64
        /// Which of the two watermark places is written next.
        var watermarkTurn = false
        var records: Int
        /// The file system can't preallocate.
        var growsByWriting = false
    }

    /// A segment that is no longer written to.
    struct Sealed {
        var lengthBytes: UInt64
        var hasDamage: Bool
    }

    public let directory: String
    public let options: SegmentLogOptions
    /// Whose log this is.
    public internal(set) var storeID: UInt64

    let files: Files
    var lockFile: OpenFile?
    var active: Active?
    var sealed: [UInt64: Sealed] = [:]
    var nextOrder: UInt64 = 1
    var poisonCause: String?
    var isClosed = false
    var readers: [UInt64: OpenFile] = [:]
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: Layout.frameBytes, alignment: 16)

    static var maxOpenReaders: Int { 32 }

    init(directory: String, options: SegmentLogOptions, files: Files, storeID: UInt64) {
        self.directory = directory
        self.options = options
        self.files = files
        self.storeID = storeID
    }

    deinit {
        close()
        scratch.deallocate()
    }

    /// Bytes of all segment files, without what is only preallocated.
    public var bytesOnDisk: UInt64 {
        sealed.values.reduce(active?.end ?? 0) { $0 + $1.lengthBytes }
    }

    public var segmentCount: Int { sealed.count + (active == nil ? 0 : 1) }

    /// Sequence numbers of the segments, oldest first.
    public var segments: [UInt64] {
        (Array(sealed.keys) + (active.map { [$0.segment] } ?? [])).sorted()
    }

    /// The first segment that may still grow: an index that holds all records is complete before it.
    public var activeSegment: UInt64 { active?.segment ?? (sealed.keys.max() ?? 0) + 1 }

    /// Closes the files; what was appended and not synced may be lost. Safe to call again.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        for file in readers.values { files.close(file) }
        readers.removeAll()
        if let active { files.close(active.file) }
        if let lockFile { files.close(lockFile) }
        active = nil
        lockFile = nil
    }

    func path(_ segment: UInt64) -> String { directory + "/" + Layout.fileName(segment) }

    func checkUsable() throws(StorageError) {
        if isClosed { throw .closed(path: directory) }
        if let poisonCause { throw .poisoned(path: directory, cause: poisonCause) }
    }

    func checkWritable() throws(StorageError) {
        try checkUsable()
        if options.readOnly { throw .readOnly(path: directory) }
    }

    /// Runs one system call and sorts its failure.
    @inline(__always)
    func calling<T>(_ path: String, _ body: () throws(SystemCallFailure) -> T) throws(StorageError) -> T {
        do {
            return try body()
        } catch {
            throw StorageError(path: path, call: error.call, code: error.code)
        }
    }

    /// Runs a call whose failure leaves the disk's content unknown: the log is unusable afterwards.
    func poisoning<T>(_ path: String, _ body: () throws(SystemCallFailure) -> T) throws(StorageError) -> T {
        do {
            return try body()
        } catch {
            poisonCause = "\(error.call) of \(path) failed: \(StorageError.text(of: error.code))"
            throw StorageError(path: path, call: error.call, code: error.code)
        }
    }

    func syncDirectory() throws(StorageError) {
        guard options.fsync == .real else { return }
        try poisoning(directory) { () throws(SystemCallFailure) in try files.syncDirectory(directory) }
    }
}
