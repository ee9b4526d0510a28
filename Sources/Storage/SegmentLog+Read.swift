extension SegmentLogOn {
    /// Reads a record and verifies the checksums of its header and payload.
    ///
    /// - Throws: `damaged` when it is not what was written, `noRecord` when nothing starts there.
    public func read(_ location: RecordLocation) throws(StorageError) -> (RecordHeader, [UInt8]) {
        let (frame, header, file) = try readFrame(location)
        let path = path(location.segment)
        guard frame.payloadLength <= options.maxPayloadBytes else {
            throw .tooLarge(
                path: path, lengthBytes: UInt64(frame.payloadLength),
                limitBytes: UInt64(options.maxPayloadBytes))
        }
        let size = try calling(path) { () throws(SystemCallFailure) in try files.sizeBytes(file) }
        guard frame.payloadEnd <= size else {
            throw .damaged(.damagedPayload(location: location, header: header))
        }
        let start = location.offset + UInt64(Layout.frameBytes)
        let payload = try bytesOfFile(files, file, path, at: start, count: Int(frame.payloadLength))
        guard payload.count == Int(frame.payloadLength),
            payload.withUnsafeBytes({ Layout.checksum($0) }) == frame.payloadChecksum
        else { throw .damaged(.damagedPayload(location: location, header: header)) }
        return (header, payload)
    }

    /// Reads and verifies only the header of a record.
    public func readHeaderOnly(_ location: RecordLocation) throws(StorageError) -> RecordHeader {
        try readFrame(location).header
    }

    private func readFrame(_ location: RecordLocation) throws(StorageError) -> (
        frame: Frame, header: RecordHeader, file: OpenFile
    ) {
        try checkUsable()
        let path = path(location.segment)
        guard sealed[location.segment] != nil || active?.segment == location.segment else {
            throw .noRecord(path: directory, location: location)
        }
        if let active, active.segment == location.segment, location.offset >= active.end {
            throw .noRecord(path: path, location: location)
        }
        guard location.offset >= Layout.recordsStart, location.offset <= UInt64(Int64.max) >> 1,
            location.offset % Layout.alignment == 0
        else { throw .noRecord(path: path, location: location) }
        let file = try reader(location.segment)
        let bytes = try bytesOfFile(files, file, path, at: location.offset, count: Layout.frameBytes)
        switch bytes.withUnsafeBytes({ Frame.read($0) }) {
        case .frame(let frame):
            guard case .record(let header) = frame.content else {
                throw .noRecord(path: path, location: location)
            }
            guard frame.location == location, frame.storeID == storeID else {
                throw .damaged(.misdirected(location: location, claims: frame.location, header: header))
            }
            return (frame, header, file)
        case .unknown, .unreadable:
            throw .damaged(
                .damagedHeader(
                    location: location, lengthBytes: UInt64(Layout.frameBytes), acknowledged: true))
        }
    }

    /// An open file for reading; a few are kept open.
    func reader(_ segment: UInt64) throws(StorageError) -> OpenFile {
        if let active, active.segment == segment { return active.file }
        if let file = readers[segment] { return file }
        if readers.count >= Self.maxOpenReaders {
            for file in readers.values { files.close(file) }
            readers.removeAll()
        }
        let path = path(segment)
        let file = try calling(path) { () throws(SystemCallFailure) in try files.open(path, .readOnly) }
        readers[segment] = file
        return file
    }

    func dropReader(_ segment: UInt64) {
        if let file = readers.removeValue(forKey: segment) { files.close(file) }
    }

    /// Reads every byte of the log and reports all damage; `progress` is told bytes done and in all.
    ///
    /// A file that can't be read at all is a finding too (`missingSegment`), so that the rest is still checked.
    public func verifyAll(progress: (UInt64, UInt64) -> Void = { _, _ in }) throws(StorageError) -> [Finding]
    {
        try checkUsable()
        var findings: [Finding] = []
        var done: UInt64 = 0
        let total = bytesOnDisk
        for segment in segments {
            let length = active?.segment == segment ? active?.end : sealed[segment]?.lengthBytes
            do {
                findings.append(contentsOf: try verify(segment, lengthBytes: length ?? 0))
            } catch .system {
                findings.append(.missingSegment(segment: segment))
            } catch {
                throw error
            }
            done += length ?? 0
            progress(done, total)
        }
        return findings
    }

    private func verify(_ segment: UInt64, lengthBytes: UInt64) throws(StorageError) -> [Finding] {
        let (scan, damaged) = try scanVerified(segment)
        var found = scan.findings + damaged
        if !scan.headerIsSound { found.append(.damagedSegmentHeader(segment: segment)) }
        let location = RecordLocation(segment: segment, offset: scan.end)
        if scan.sizeBytes < lengthBytes, scan.end < lengthBytes {
            found.append(
                .missingBytes(segment: segment, fromOffset: scan.sizeBytes, toOffset: lengthBytes))
        } else if scan.end < lengthBytes, !scan.endIsForeign {
            found.append(
                .damagedHeader(location: location, lengthBytes: lengthBytes - scan.end, acknowledged: true))
        }
        return found
    }

    /// Scans a segment and verifies every payload; damaged payloads come as findings, catalogues as headers.
    func scanVerified(_ segment: UInt64) throws(StorageError) -> (scan: SegmentScan, damaged: [Finding]) {
        let path = path(segment)
        let file = try calling(path) { () throws(SystemCallFailure) in try files.open(path, .readOnly) }
        defer { files.close(file) }
        var scanner = try SegmentScanner(files: files, file: file, path: path)
        let scan = try scanner.scan(segment: segment, storeID: storeID)
        var damaged: [Finding] = []
        for frame in scan.frames where !(try scanner.payloadIsSound(frame)) {
            switch frame.content {
            case .record(let header):
                damaged.append(.damagedPayload(location: frame.location, header: header))
            case .catalogue:
                damaged.append(
                    .damagedHeader(
                        location: frame.location, lengthBytes: frame.end - frame.location.offset,
                        acknowledged: true))
            }
        }
        return (scan, damaged)
    }
}
