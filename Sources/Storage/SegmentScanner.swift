/// What a scan of one segment file found, before it is judged.
struct SegmentScan {
    var segment: UInt64
    var sizeBytes: UInt64 = 0
    var headerIsSound = false
    var storeID: UInt64?
    /// Sound frames of this segment in order of offset.
    var frames: [Frame] = []
    /// Damage with sound frames behind it, and misdirected records anywhere.
    var findings: [Finding] = []
    /// The highest durable watermark that the file bears witness to.
    var syncedTo: UInt64 = 0
    /// Where the last sound frame ends: what follows is zeros, a torn tail, or damage.
    var end: UInt64 = Layout.recordsStart
    /// The end of the last byte behind `end` that is not zero; equal to `end` if all are zero.
    var lastNonzeroEnd: UInt64 = Layout.recordsStart
    /// A sound header at `end` whose payload does not fit into the file.
    var frameAtEnd: Frame?
    /// A record at or behind `end` belongs elsewhere or is of an unknown kind, so nothing may be cut off.
    var endIsForeign = false
}

/// Reads a segment file from front to back through one buffer and tells frames from everything else.
///
/// It allocates one window and the list of frames, whatever the file claims about itself.
struct SegmentScanner<Files: LogFileSystem>: ~Copyable {
    private let files: Files
    private let file: OpenFile
    private let path: String
    private let sizeBytes: UInt64
    private let window: UnsafeMutableRawBufferPointer
    private var windowStart: UInt64 = 0
    private var windowCount = 0

    static var windowBytes: Int { 256 << 10 }

    init(files: Files, file: OpenFile, path: String) throws(StorageError) {
        self.files = files
        self.file = file
        self.path = path
        do {
            sizeBytes = try files.sizeBytes(file)
        } catch {
            throw StorageError(path: path, call: error.call, code: error.code)
        }
        window = .allocate(byteCount: Self.windowBytes, alignment: 16)
    }

    deinit { window.deallocate() }

    /// Scans the whole file. `storeID` is what records must carry, if it is known from elsewhere.
    mutating func scan(segment: UInt64, storeID: UInt64?) throws(StorageError) -> SegmentScan {
        var scan = SegmentScan(segment: segment, sizeBytes: sizeBytes, storeID: storeID)
        try readHead(&scan)
        var offset = Layout.recordsStart
        scanning: while offset < sizeBytes {
            switch try reading(at: offset) {
            case .frame(let frame) where isOwn(frame, at: offset, &scan):
                if frame.payloadEnd > sizeBytes {
                    scan.frameAtEnd = frame
                    break scanning
                }
                scan.frames.append(frame)
                scan.syncedTo = max(scan.syncedTo, frame.syncedTo)
                offset = frame.end
            case .frame, .unknown, .unreadable:
                guard let next = try nextOwnFrame(after: offset, &scan) else { break scanning }
                try report(from: offset, to: next, &scan)
                offset = next
            }
        }
        scan.end = max(offset, Layout.recordsStart)
        try examineEnd(&scan)
        return scan
    }

    private mutating func readHead(_ scan: inout SegmentScan) throws(StorageError) {
        let head = try bytes(at: 0, count: Layout.segmentHeaderBytes)
        if let header = SegmentHeader.parse(head), header.segment == scan.segment {
            guard header.version == Layout.version else {
                throw .unsupportedVersion(path: path, version: header.version)
            }
            scan.headerIsSound = true
            scan.storeID = scan.storeID ?? header.storeID
            if let expected = scan.storeID, header.storeID != expected {
                throw .wrongStore(path: path, found: header.storeID, expected: expected)
            }
        }
        for offset in [Layout.watermarkOffsets.0, Layout.watermarkOffsets.1] {
            let slot = try bytes(at: offset, count: Layout.watermarkBytes)
            if let mark = Watermark.parse(slot), mark.segment == scan.segment,
                scan.storeID == nil || mark.storeID == scan.storeID
            {
                scan.syncedTo = max(scan.syncedTo, mark.syncedTo)
            }
        }
    }

    /// Whether a sound frame was written for this very place; the first one names the store if nothing else did.
    private func isOwn(_ frame: Frame, at offset: UInt64, _ scan: inout SegmentScan) -> Bool {
        guard frame.location == RecordLocation(segment: scan.segment, offset: offset) else { return false }
        if scan.storeID == nil { scan.storeID = frame.storeID }
        return frame.storeID == scan.storeID
    }

    /// The next place behind `offset` at which a sound frame of this segment starts.
    private mutating func nextOwnFrame(after offset: UInt64, _ scan: inout SegmentScan)
        throws(StorageError) -> UInt64?
    {
        var candidate = offset + Layout.alignment
        while candidate + UInt64(Layout.frameBytes) <= sizeBytes {
            let view = try chunk(at: candidate, atLeast: Layout.frameBytes)
            var inView = 0
            while inView + Layout.frameBytes <= view.count {
                let magic = Layout.get(UInt32.self, view, inView + 8)
                if magic == Layout.recordMagic || magic == Layout.catalogueMagic,
                    case .frame(let frame) = Frame.read(.init(rebasing: view[inView...])),
                    isOwn(frame, at: candidate + UInt64(inView), &scan)
                {
                    return candidate + UInt64(inView)
                }
                inView += Int(Layout.alignment)
            }
            candidate += UInt64(inView)
        }
        return nil
    }

    /// Names the damage between two places: misdirected records one by one, the rest as one stretch.
    private mutating func report(from start: UInt64, to end: UInt64, _ scan: inout SegmentScan)
        throws(StorageError)
    {
        let location = RecordLocation(segment: scan.segment, offset: start)
        if case .frame(let frame) = try reading(at: start), case .record(let header) = frame.content {
            scan.findings.append(.misdirected(location: location, claims: frame.location, header: header))
        } else {
            // Whether it was synced is judged when the highest watermark of the file is known.
            scan.findings.append(
                .damagedHeader(location: location, lengthBytes: end - start, acknowledged: false))
        }
    }

    /// Looks at what follows the last sound frame.
    private mutating func examineEnd(_ scan: inout SegmentScan) throws(StorageError) {
        scan.lastNonzeroEnd = scan.end
        var offset = scan.end
        while offset < sizeBytes {
            let view = try chunk(at: offset, atLeast: 1)
            let nonzero = Self.endOfNonzero(view)
            if nonzero > 0 { scan.lastNonzeroEnd = offset + UInt64(nonzero) }
            offset += UInt64(view.count)
        }
        guard scan.lastNonzeroEnd > scan.end, scan.frameAtEnd == nil else { return }
        switch try reading(at: scan.end) {
        case .frame(let frame):
            scan.endIsForeign = true
            if case .record(let header) = frame.content {
                let location = RecordLocation(segment: scan.segment, offset: scan.end)
                scan.findings.append(.misdirected(location: location, claims: frame.location, header: header))
            }
        case .unknown:
            scan.endIsForeign = true
        case .unreadable:
            break
        }
    }

    /// Where the last byte that is not zero ends; the zeros behind it are passed over by words.
    private static func endOfNonzero(_ bytes: UnsafeRawBufferPointer) -> Int {
        var end = bytes.count
        while end >= 8, bytes.loadUnaligned(fromByteOffset: end - 8, as: UInt64.self) == 0 { end -= 8 }
        while end > 0, bytes[end - 1] == 0 { end -= 1 }
        return end
    }

    private mutating func reading(at offset: UInt64) throws(StorageError) -> Frame.Reading {
        Frame.read(try bytes(at: offset, count: Layout.frameBytes))
    }

    /// Whether the payload of a frame that fits into the file is the one that was written.
    mutating func payloadIsSound(_ frame: Frame) throws(StorageError) -> Bool {
        let hash = PayloadHash()
        var offset = frame.location.offset + UInt64(Layout.frameBytes)
        while offset < frame.payloadEnd {
            let view = try chunk(at: offset, atLeast: 1)
            guard !view.isEmpty else { return false }
            let part = UnsafeRawBufferPointer(
                rebasing: view.prefix(Int(min(UInt64(view.count), frame.payloadEnd - offset))))
            hash.update(part)
            offset += UInt64(part.count)
        }
        return hash.value == frame.payloadChecksum
    }

    /// The payload itself; the caller has checked that the length fits into the file and the limit.
    mutating func payload(_ frame: Frame) throws(StorageError) -> [UInt8] {
        try bytesOfFile(
            files, file, path, at: frame.location.offset + UInt64(Layout.frameBytes),
            count: Int(frame.payloadLength))
    }

    /// Up to `count` bytes at a place, fewer at the end of the file; valid until the next call.
    private mutating func bytes(at offset: UInt64, count: Int) throws(StorageError) -> UnsafeRawBufferPointer
    {
        let view = try chunk(at: offset, atLeast: count)
        return UnsafeRawBufferPointer(rebasing: view.prefix(count))
    }

    /// As many bytes as the window holds from a place on, at least `atLeast` unless the file ends before.
    private mutating func chunk(at offset: UInt64, atLeast count: Int) throws(StorageError)
        -> UnsafeRawBufferPointer
    {
        let windowEnd = windowStart + UInt64(windowCount)
        let wanted = min(offset + UInt64(count), max(offset, sizeBytes))
        if offset < windowStart || wanted > windowEnd || windowCount == 0 {
            windowStart = offset
            windowCount = 0
            if offset < sizeBytes {
                do {
                    windowCount = try files.read(file, into: window, at: offset)
                } catch {
                    throw StorageError(path: path, call: error.call, code: error.code)
                }
            }
        }
        let skip = Int(min(offset - windowStart, UInt64(windowCount)))
        return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(window)[skip..<windowCount])
    }
}
