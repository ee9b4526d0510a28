extension SegmentLogOn {
    /// Writes a record at the end of the log; it is durable only after the next `sync()`.
    ///
    /// Several appends before one sync are a group commit. `header.payloadLength` must be the payload's length.
    /// After `noSpace` the log is as it was before the call and stays usable.
    public func append(_ header: RecordHeader, payload: UnsafeRawBufferPointer) throws(StorageError)
        -> RecordLocation
    {
        try appendRecord(header, payload: payload).location
    }

    /// As `append`, and tells the record's place in the history too, for the index.
    public func appendRecord(_ header: RecordHeader, payload: UnsafeRawBufferPointer) throws(StorageError)
        -> StoredRecord
    {
        try checkWritable()
        guard Int(header.payloadLength) == payload.count else {
            throw .invalidArgument(
                "the header says \(header.payloadLength) payload bytes and \(payload.count) were given")
        }
        guard header.payloadLength <= options.maxPayloadBytes else {
            throw .tooLarge(
                path: directory, lengthBytes: UInt64(payload.count),
                limitBytes: UInt64(options.maxPayloadBytes))
        }
        return try appendCopy(header, payload: payload, order: nil)
    }

    /// Appends a record under a given place in the history, or under the next one.
    func appendCopy(_ header: RecordHeader, payload: UnsafeRawBufferPointer, order: UInt64?)
        throws(StorageError) -> StoredRecord
    {
        let needed = Layout.aligned(UInt64(Layout.frameBytes + payload.count))
        if active == nil {
            try beginSegment()
        } else if let current = active, current.records > 0, current.end + needed > options.segmentBytes {
            try rotate()
        }
        let reserve =
            switch header.kind {
            case .base, .delta, .manifest: options.headroomBytes
            case .promise, .drop, .pin, .unpin: UInt64(0)
            }
        let location = try write(
            .record(header), payload: payload, order: order ?? nextOrder, reserve: reserve)
        let stored = StoredRecord(header: header, location: location, order: order ?? nextOrder)
        if order == nil { nextOrder += 1 }
        active?.records += 1
        return stored
    }

    /// Writes one frame at the end of the active segment; on failure the end is zeros again.
    func write(_ content: Frame.Content, payload: UnsafeRawBufferPointer, order: UInt64, reserve: UInt64)
        throws(StorageError) -> RecordLocation
    {
        guard let current = active else { throw .closed(path: directory) }
        let location = RecordLocation(segment: current.segment, offset: current.end)
        let frame = Frame(
            content: content, payloadLength: UInt32(payload.count), location: location, order: order,
            syncedTo: current.syncedTo, payloadChecksum: Layout.checksum(payload), storeID: storeID)
        try reserveSpace(upTo: frame.end, reserve: reserve)
        frame.encode(into: scratch)
        do {
            try writeFully(
                current.file, UnsafeRawBufferPointer(scratch), payload, at: location.offset)
        } catch {
            try undoTornWrite()
            throw StorageError(path: path(current.segment), call: error.call, code: error.code)
        }
        active?.end = frame.end
        let allocated = active?.allocated ?? 0
        active?.allocated = max(allocated, frame.payloadEnd)
        return location
    }

    private func writeFully(
        _ file: OpenFile, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, at offset: UInt64
    ) throws(SystemCallFailure) {
        var done = 0
        while done < first.count + second.count {
            let head = UnsafeRawBufferPointer(rebasing: first[min(done, first.count)...])
            let tail = UnsafeRawBufferPointer(rebasing: second[max(0, done - first.count)...])
            let count =
                head.isEmpty
                ? try files.write(
                    file, tail, UnsafeRawBufferPointer(rebasing: tail[..<0]), at: offset + UInt64(done))
                : try files.write(file, head, tail, at: offset + UInt64(done))
            // A write of nothing would repeat for ever; POSIX does not say why it happens, so it is an EIO.
            guard count > 0 else { throw SystemCallFailure(call: "pwrite", code: ioErrorCode) }
            done += count
        }
    }

    /// Extends the active segment with zeros when a frame would not fit, less finely where there is room.
    private func reserveSpace(upTo end: UInt64, reserve: UInt64) throws(StorageError) {
        guard let current = active, !current.growsByWriting, end + reserve > current.allocated else { return }
        let file = current.file
        let piece = max(options.preallocateBytes, 1)
        let wanted = max(
            end + reserve, min(current.allocated + piece, max(options.segmentBytes, end + reserve)))
        var failure: SystemCallFailure?
        for target in [wanted, end + reserve] {
            do {
                // A failure before this one may have cut the file.
                let from = active?.allocated ?? current.allocated
                try files.allocate(file, from: from, lengthBytes: target - from)
                active?.allocated = target
                return
            } catch {
                failure = error
                if isUnsupported(error.code) {
                    active?.growsByWriting = true
                    return
                }
                // A failed fallocate may have extended the file; the size must stay what we think it is.
                try undoTornWrite()
            }
        }
        if let failure {
            throw StorageError(path: path(current.segment), call: failure.call, code: failure.code)
        }
    }

    /// Brings the file back to what was appended in full, whatever a failed call left behind.
    private func undoTornWrite() throws(StorageError) {
        guard let current = active else { return }
        let size = min(current.end, current.allocated)
        try poisoning(path(current.segment)) { () throws(SystemCallFailure) in
            try files.truncate(current.file, toBytes: size)
        }
        active?.allocated = size
    }

    /// Forces everything that was appended to the disk; when it returns, it is durable.
    ///
    /// - Throws: after a failed fsync the kernel may have dropped the data and still report success the next
    ///   time, so the log is poisoned and fsync is never tried again.
    public func sync() throws(StorageError) {
        try checkWritable()
        guard let current = active, current.syncedTo < current.end else { return }
        if options.fsync == .real {
            try poisoning(path(current.segment)) { () throws(SystemCallFailure) in
                try files.syncData(current.file)
            }
        }
        active?.syncedTo = current.end
        try writeWatermark()
    }

    /// Notes how far the segment is durable. It need not be durable itself: it survives the process at once,
    /// and a loss of power from the next sync on; every record carries it too.
    private func writeWatermark() throws(StorageError) {
        guard let current = active else { return }
        let mark = Watermark(storeID: storeID, segment: current.segment, syncedTo: current.syncedTo)
        let bytes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<Layout.watermarkBytes])
        mark.encode(into: bytes)
        let offset = current.watermarkTurn ? Layout.watermarkOffsets.1 : Layout.watermarkOffsets.0
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        try poisoning(path(current.segment)) { () throws(SystemCallFailure) in
            try writeFully(current.file, UnsafeRawBufferPointer(bytes), none, at: offset)
        }
        active?.watermarkTurn.toggle()
    }
}

/// EIO, which Glibc's module spells differently on every platform.
var ioErrorCode: Int32 { 5 }
