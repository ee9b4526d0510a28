import Glibc

extension SegmentLogOn where Files == POSIXFileSystem {
    /// Opens or creates a log, scanning it all; see `open(directory:options:files:known:)`.
    public static func open(directory: String, options: SegmentLogOptions = SegmentLogOptions())
        throws(StorageError) -> (log: SegmentLog, records: [StoredRecord], findings: [Finding])
    {
        try open(directory: directory, options: options, files: POSIXFileSystem(), known: nil)
    }
}

extension SegmentLogOn {
    /// Opens or creates a log and returns its records in the order of their history, and what was amiss.
    ///
    /// Cuts off only a torn end of the last segment that was certainly never acknowledged; damage anywhere
    /// else is reported and kept. What is returned is durable: the last segment is synced again.
    /// Payloads are verified where they may be torn; `read` and `verifyAll` verify all others.
    /// With `known`, segments before `known.completeBefore` are not scanned.
    public static func open(
        directory: String, options: SegmentLogOptions, files: Files, known: KnownRecords? = nil
    ) throws(StorageError) -> (log: SegmentLogOn, records: [StoredRecord], findings: [Finding]) {
        let log = SegmentLogOn(
            directory: directory, options: options, files: files, storeID: options.storeID ?? 0)
        var recovery = try LogRecovery(log: log, known: known)
        let records = try recovery.run()
        return (log, records, recovery.findings)
    }
}

/// Judges what the scans of the segments found and brings the log into a state to append to.
///
/// Order matters: the end is cut and synced before a catalogue in it is believed, and files are removed last.
struct LogRecovery<Files: LogFileSystem> {
    let log: SegmentLogOn<Files>
    let known: KnownRecords?
    var findings: [Finding] = []
    private var scans: [SegmentScan] = []
    private var catalogue: (order: UInt64, segment: UInt64, value: Catalogue)?
    private var highestOrder: UInt64 = 0
    private var records: [StoredRecord] = []

    init(log: SegmentLogOn<Files>, known: KnownRecords?) throws(StorageError) {
        self.log = log
        self.known = known
    }

    mutating func run() throws(StorageError) -> [StoredRecord] {
        let names = try prepareDirectory()
        let segments = names.compactMap(Layout.segment(ofFile:)).sorted()
        var store = log.options.storeID
        for segment in segments {
            let isKnown = segment < (known?.completeBefore ?? 0) && segment != segments.last
            let scan = try scan(segment, storeID: store, skipping: isKnown)
            store = store ?? scan.storeID
            scans.append(scan)
        }
        log.storeID = store ?? UInt64.random(in: 1...UInt64.max)
        if let last = scans.indices.last {
            for index in scans.indices.dropLast() { judgeSealed(index) }
            try judgeLast(last)
            // A crash may have come between a segment's name and the sync of its directory.
            if !log.options.readOnly { try log.syncDirectory() }
        }
        log.nextOrder = highestOrder + 1
        try compareWithCatalogue()
        return inOrder(records)
    }

    private func prepareDirectory() throws(StorageError) -> [String] {
        let directory = log.directory
        if !log.options.readOnly {
            do {
                _ = try log.files.list(directory)
            } catch {
                try log.calling(directory) { () throws(SystemCallFailure) in
                    try log.files.createDirectory(directory)
                    if log.options.fsync == .real { try log.files.syncDirectory(parent(of: directory)) }
                }
            }
            log.lockFile = try log.calling(directory + "/lock") { () throws(SystemCallFailure) in
                try log.files.lock(directory + "/lock")
            }
        }
        return try log.calling(directory) { () throws(SystemCallFailure) in try log.files.list(directory) }
    }

    private func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Scans a segment and reads its catalogues; a segment that the index knows is only opened and measured.
    private mutating func scan(_ segment: UInt64, storeID: UInt64?, skipping: Bool) throws(StorageError)
        -> SegmentScan
    {
        let path = log.path(segment)
        let file = try log.calling(path) { () throws(SystemCallFailure) in try log.files.open(path, .readOnly)
        }
        defer { log.files.close(file) }
        if skipping, let known {
            var scan = SegmentScan(segment: segment, storeID: storeID)
            scan.sizeBytes = try log.calling(path) { () throws(SystemCallFailure) in
                try log.files.sizeBytes(file)
            }
            scan.headerIsSound = true
            scan.end = scan.sizeBytes
            scan.lastNonzeroEnd = scan.sizeBytes
            let here = known.records.filter { $0.location.segment == segment }
            records.append(contentsOf: here)
            highestOrder = max(highestOrder, here.map(\.order).max() ?? 0)
            return scan
        }
        var scanner = try SegmentScanner(files: log.files, file: file, path: path)
        var scan = try scanner.scan(segment: segment, storeID: storeID)
        try checkTornPayloads(&scan, &scanner)
        for frame in scan.frames {
            highestOrder = max(highestOrder, frame.order)
            switch frame.content {
            case .record(let header):
                records.append(StoredRecord(header: header, location: frame.location, order: frame.order))
            case .catalogue:
                try readCatalogue(frame, &scanner)
            }
        }
        return scan
    }

    private mutating func readCatalogue(_ frame: Frame, _ scanner: inout SegmentScanner<Files>)
        throws(StorageError)
    {
        guard frame.order >= (catalogue?.order ?? 0), try scanner.payloadIsSound(frame),
            Int(frame.payloadLength) <= 8 + Layout.maxCatalogueEntries * Layout.catalogueEntryBytes
        else { return }
        let value = try scanner.payload(frame).withUnsafeBytes { Catalogue.parse($0) }
        if let value { catalogue = (frame.order, frame.location.segment, value) }
    }

    /// Verifies the payloads behind the watermark: bad ones at the end are torn, others damage.
    private mutating func checkTornPayloads(_ scan: inout SegmentScan, _ scanner: inout SegmentScanner<Files>)
        throws(StorageError)
    {
        var kept: [Frame] = []
        var soundBehind = scan.endIsForeign
        for frame in scan.frames.reversed() {
            if frame.location.offset < scan.syncedTo {
                kept.append(frame)
            } else if try scanner.payloadIsSound(frame) {
                soundBehind = true
                kept.append(frame)
            } else if !soundBehind {
                scan.end = frame.location.offset
                scan.lastNonzeroEnd = max(scan.lastNonzeroEnd, min(frame.payloadEnd, scan.sizeBytes))
                scan.frameAtEnd = nil
            } else if case .record(let header) = frame.content {
                scan.findings.append(.damagedPayload(location: frame.location, header: header))
            }
        }
        scan.frames = kept.reversed()
        // Damage was noted before the highest watermark was known, and some of it behind the new end.
        let end = scan.end
        let syncedTo = scan.syncedTo
        scan.findings = scan.findings.compactMap { finding in
            guard case .damagedHeader(let location, let length, _) = finding else { return finding }
            guard location.offset < end || end < syncedTo else { return nil }
            return .damagedHeader(
                location: location, lengthBytes: length, acknowledged: location.offset < syncedTo)
        }
    }

    /// A segment that is not the last was durable to its end before the next one came to be.
    private mutating func judgeSealed(_ index: Int) {
        let scan = scans[index]
        let listed = catalogue?.value.entries.first { $0.segment == scan.segment }?.lengthBytes
        let length = listed ?? max(scan.syncedTo, scan.lastNonzeroEnd)
        let found = damage(in: scan, durableTo: max(length, scan.syncedTo))
        findings.append(contentsOf: found)
        log.sealed[scan.segment] = .init(lengthBytes: length, hasDamage: found.contains { $0.isDamage })
    }

    /// All that is wrong in a segment whose bytes up to `durableTo` were acknowledged.
    private func damage(in scan: SegmentScan, durableTo: UInt64) -> [Finding] {
        var found = scan.findings
        let durableTo = max(durableTo, Layout.shortestSegment)
        if !scan.headerIsSound { found.append(.damagedSegmentHeader(segment: scan.segment)) }
        let location = RecordLocation(segment: scan.segment, offset: scan.end)
        if scan.end < min(durableTo, scan.sizeBytes), !scan.endIsForeign {
            if let frame = scan.frameAtEnd, case .record(let header) = frame.content {
                found.append(.damagedPayload(location: location, header: header))
            } else {
                let length = min(durableTo, scan.sizeBytes) - scan.end
                found.append(.damagedHeader(location: location, lengthBytes: length, acknowledged: true))
            }
        }
        // The padding behind the last payload is not written where the file system can't preallocate.
        if scan.sizeBytes < durableTo, scan.end < durableTo {
            found.append(
                .missingBytes(segment: scan.segment, fromOffset: scan.sizeBytes, toOffset: durableTo))
        }
        if scan.endIsForeign, found.isEmpty {
            let length = scan.lastNonzeroEnd - scan.end
            found.append(.damagedHeader(location: location, lengthBytes: length, acknowledged: false))
        }
        return found
    }

    /// The last segment: cuts a torn end off, or retires the segment if it is damaged.
    private mutating func judgeLast(_ index: Int) throws(StorageError) {
        let scan = scans[index]
        let found = damage(in: scan, durableTo: scan.syncedTo)
        findings.append(contentsOf: found)
        let path = log.path(scan.segment)
        guard found.isEmpty, !log.options.readOnly else {
            let length = max(scan.syncedTo, scan.lastNonzeroEnd, scan.end)
            log.sealed[scan.segment] = .init(lengthBytes: length, hasDamage: !found.isEmpty)
            noteTornTail(scan)
            if !log.options.readOnly { try syncRetired(path) }
            return
        }
        let file = try log.calling(path) { () throws(SystemCallFailure) in
            try log.files.open(path, .readWrite)
        }
        log.active = .init(
            segment: scan.segment, file: file, end: scan.end, allocated: scan.sizeBytes, syncedTo: 0,
            records: scan.frames.count { $0.content != .catalogue })
        if scan.lastNonzeroEnd > scan.end {
            noteTornTail(scan)
            try log.calling(path) { () throws(SystemCallFailure) in
                try log.files.truncate(file, toBytes: scan.end)
            }
            log.active?.allocated = scan.end
        }
        // What was read may so far be only in memory; it counts from here on, so it has to be durable.
        try log.sync()
    }

    /// The sound records of a damaged segment count, too.
    private func syncRetired(_ path: String) throws(StorageError) {
        guard log.options.fsync == .real else { return }
        try log.calling(path) { () throws(SystemCallFailure) in
            let file = try log.files.open(path, .readWrite)
            defer { log.files.close(file) }
            try log.files.syncData(file)
        }
    }

    private mutating func noteTornTail(_ scan: SegmentScan) {
        guard scan.lastNonzeroEnd > scan.end, scan.end >= scan.syncedTo, !scan.endIsForeign else { return }
        findings.append(
            .tornTail(segment: scan.segment, offset: scan.end, bytesCut: scan.lastNonzeroEnd - scan.end))
    }

    /// Reports segments that should be there, and removes those that a crash kept compaction from removing.
    private mutating func compareWithCatalogue() throws(StorageError) {
        guard let catalogue else { return }
        let listed = Set(catalogue.value.entries.map(\.segment))
        let present = Set(scans.map(\.segment))
        for segment in listed.subtracting(present).sorted() {
            findings.append(.missingSegment(segment: segment))
        }
        guard !log.options.readOnly, let active = log.active, catalogue.segment == active.segment else {
            return
        }
        for segment in present.subtracting(listed).sorted() where segment < active.segment {
            let path = log.path(segment)
            try log.calling(path) { () throws(SystemCallFailure) in try log.files.remove(path) }
            log.sealed[segment] = nil
            records.removeAll { $0.location.segment == segment }
            findings = findings.filter { !Self.concerns($0, segment) }
            findings.append(.leftover(name: Layout.fileName(segment)))
        }
    }

    private static func concerns(_ finding: Finding, _ segment: UInt64) -> Bool {
        switch finding {
        case .damagedHeader(let location, _, _), .damagedPayload(let location, _),
            .misdirected(let location, _, _):
            location.segment == segment
        case .missingBytes(let damaged, _, _), .damagedSegmentHeader(let damaged),
            .tornTail(let damaged, _, _):
            damaged == segment
        case .missingSegment, .leftover, .damagedIndex:
            false
        }
    }
}

/// Records by their place in the history; of two copies of one record the later place counts.
func inOrder(_ records: [StoredRecord]) -> [StoredRecord] {
    let sorted = records.sorted { ($0.order, $0.location) < ($1.order, $1.location) }
    var result: [StoredRecord] = []
    result.reserveCapacity(sorted.count)
    for record in sorted {
        if let last = result.last, last.order == record.order, last.header == record.header {
            result[result.count - 1] = record
        } else {
            result.append(record)
        }
    }
    return result
}
