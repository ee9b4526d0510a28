import Glibc

extension SegmentLogOn {
    /// Seals the active segment and begins a new one, so that compaction can consider what was written so far.
    ///
    /// Does nothing when the active segment holds no record.
    public func rotate() throws(StorageError) {
        try checkWritable()
        guard let current = active, current.records > 0 else { return }
        // The old segment is durable before a new one exists: a log has at most one torn end.
        try sync()
        try poisoning(path(current.segment)) { () throws(SystemCallFailure) in
            try files.truncate(current.file, toBytes: current.end)
            if options.fsync == .real { try files.syncData(current.file) }
        }
        active?.allocated = current.end
        try beginSegment(sealing: active)
    }

    /// Creates the next segment with a catalogue of all others, complete and durable before it has its name.
    func beginSegment(sealing old: Active? = nil) throws(StorageError) {
        let segment = (segments.last ?? 0) + 1
        var catalogue = sealedCatalogue()
        if let old { catalogue.entries.append(.init(segment: old.segment, lengthBytes: old.end)) }
        let temporary = path(segment) + Layout.newSuffix
        let file = try create(temporary)
        do {
            active = Active(
                segment: segment, file: file, end: Layout.recordsStart, allocated: 0, syncedTo: 0, records: 0)
            try fillNewSegment(catalogue)
            try calling(temporary) { () throws(SystemCallFailure) in
                try files.rename(temporary, to: path(segment))
            }
        } catch {
            active = old
            files.close(file)
            try? files.remove(temporary)
            throw error
        }
        try syncDirectory()
        if let old {
            files.close(old.file)
            sealed[old.segment] = Sealed(lengthBytes: old.end, hasDamage: false)
        }
    }

    private func create(_ path: String) throws(StorageError) -> OpenFile {
        try calling(path) { () throws(SystemCallFailure) in
            do throws(SystemCallFailure) {
                return try files.open(path, .createNew)
            } catch {
                guard error.code == EEXIST else { throw error }
                // Only a failed attempt of this very log can have left it: the directory is locked.
                try files.remove(path)
                return try files.open(path, .createNew)
            }
        }
    }

    private func fillNewSegment(_ catalogue: Catalogue) throws(StorageError) {
        guard let current = active else { return }
        let header = SegmentHeader(version: Layout.version, storeID: storeID, segment: current.segment)
        let bytes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<Layout.segmentHeaderBytes])
        header.encode(into: bytes)
        try calling(path(current.segment)) { () throws(SystemCallFailure) in
            let count = try files.write(
                current.file, UnsafeRawBufferPointer(bytes), UnsafeRawBufferPointer(start: nil, count: 0),
                at: 0)
            if count != bytes.count { throw SystemCallFailure(call: "pwrite", code: ENOSPC) }
        }
        active?.allocated = UInt64(Layout.segmentHeaderBytes)
        try appendCatalogue(catalogue)
        try sync()
    }

    /// The catalogue of the sealed segments, in order.
    func sealedCatalogue(without removed: Set<UInt64> = []) -> Catalogue {
        Catalogue(
            entries: sealed.filter { !removed.contains($0.key) }.sorted { $0.key < $1.key }
                .map { .init(segment: $0.key, lengthBytes: $0.value.lengthBytes) })
    }

    /// Appends a catalogue, the log's own record of which segments exist.
    func appendCatalogue(_ catalogue: Catalogue) throws(StorageError) {
        let bytes = catalogue.encode()
        let result: Result<RecordLocation, StorageError> = bytes.withUnsafeBytes { bytes in
            do throws(StorageError) {
                return .success(try write(.catalogue, payload: bytes, order: nextOrder, reserve: 0))
            } catch {
                return .failure(error)
            }
        }
        _ = try result.get()
        nextOrder += 1
    }
}

func isUnsupported(_ code: Int32) -> Bool {
    code == EOPNOTSUPP || code == ENOSYS
}
