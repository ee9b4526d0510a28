extension SegmentLogOn {
    /// Removes sealed segments of which nothing is to be kept, and moves the rest of mostly dead ones.
    ///
    /// Live records are copied to the end of the log and synced; then a catalogue without the old segments is
    /// written and synced; only then are their files removed. A crash in between leaves either both copies,
    /// of which opening returns one, or files that opening removes.
    ///
    /// A tombstone (`drop`, `unpin`) that `keep` gives up is carried on as long as a dead record older than it
    /// stays on disk, so that nothing comes back to life when the index is rebuilt.
    /// - Parameters:
    ///   - rewriteBelow: a segment is rewritten when less than this part of its bytes is live.
    ///   - discardDamaged: also removes segments with damage, once their records were fetched from peers.
    ///   - keep: whether a record is still of use; called once for each record.
    public func compact(
        rewriteBelow liveFraction: Double = 0.5, discardDamaged: Bool = false, keep: (StoredRecord) -> Bool
    ) throws(StorageError) -> CompactionResult {
        try checkWritable()
        var result = CompactionResult()
        let plan = try planCompaction(liveFraction, discardDamaged, keep, &result)
        guard !plan.victims.isEmpty else { return result }
        let before = bytesOnDisk
        for record in plan.copies {
            let (header, payload) = try read(record.location)
            let copied: Result<StoredRecord, StorageError> = payload.withUnsafeBytes { bytes in
                do throws(StorageError) {
                    return .success(try appendCopy(header, payload: bytes, order: record.order))
                } catch {
                    return .failure(error)
                }
            }
            result.moved.append(MovedRecord(from: record.location, to: try copied.get()))
        }
        try sync()
        if active == nil { try beginSegment() }
        try appendCatalogue(sealedCatalogue(without: plan.victims))
        try sync()
        for segment in plan.victims.sorted() {
            dropReader(segment)
            try calling(path(segment)) { () throws(SystemCallFailure) in try files.remove(path(segment)) }
            sealed[segment] = nil
            result.removedSegments.append(segment)
        }
        try syncDirectory()
        result.removed = plan.removed
        result.reclaimedBytes = Int64(before) - Int64(bytesOnDisk)
        return result
    }

    private struct Plan {
        var victims: Set<UInt64> = []
        var copies: [StoredRecord] = []
        var removed: [StoredRecord] = []
    }

    private func planCompaction(
        _ liveFraction: Double, _ discardDamaged: Bool, _ keep: (StoredRecord) -> Bool,
        _ result: inout CompactionResult
    ) throws(StorageError) -> Plan {
        var bySegment: [UInt64: [StoredRecord]] = [:]
        var damagedSegments: Set<UInt64> = []
        var damagedPlaces: Set<RecordLocation> = []
        for segment in segments {
            let (scan, damaged) = try scanVerified(segment)
            result.findings.append(contentsOf: scan.findings + damaged)
            if sealed[segment]?.hasDamage == true || !(scan.findings + damaged).isEmpty {
                damagedSegments.insert(segment)
            }
            for case .damagedPayload(let location, _) in damaged { damagedPlaces.insert(location) }
            bySegment[segment] = scan.frames.compactMap { frame in
                guard case .record(let header) = frame.content else { return nil }
                return StoredRecord(header: header, location: frame.location, order: frame.order)
            }
        }
        let readable = bySegment.values.joined().filter { !damagedPlaces.contains($0.location) }
        let live = Set(inOrder(Array(readable)).filter(keep).map(\.location))
        var plan = Plan()
        for (segment, state) in sealed where discardDamaged || !damagedSegments.contains(segment) {
            let kept = (bySegment[segment] ?? []).filter { live.contains($0.location) }
            let bytes = kept.reduce(UInt64(0)) {
                $0 + UInt64(Layout.frameBytes) + UInt64($1.header.payloadLength)
            }
            let isDamaged = damagedSegments.contains(segment)
            if kept.isEmpty || isDamaged || Double(bytes) < liveFraction * Double(state.lengthBytes) {
                plan.victims.insert(segment)
            }
        }
        choose(bySegment, live, damagedPlaces, &plan)
        return plan
    }

    /// Sorts the records of the victims into those that move and those that go.
    private func choose(
        _ bySegment: [UInt64: [StoredRecord]], _ live: Set<RecordLocation>, _ damaged: Set<RecordLocation>,
        _ plan: inout Plan
    ) {
        // The oldest dead record of each shard that stays on disk: younger tombstones are still needed.
        var oldestDead: [UInt32: UInt64] = [:]
        for (segment, records) in bySegment where !plan.victims.contains(segment) {
            for record in records where !live.contains(record.location) {
                let shard = record.header.shard
                oldestDead[shard] = min(oldestDead[shard] ?? .max, record.order)
            }
        }
        for segment in plan.victims {
            for record in bySegment[segment] ?? [] {
                let guards =
                    switch record.header.kind {
                    case .drop, .unpin: (oldestDead[record.header.shard] ?? .max) < record.order
                    case .base, .delta, .manifest, .promise, .pin: false
                    }
                if live.contains(record.location) || (guards && !damaged.contains(record.location)) {
                    plan.copies.append(record)
                } else {
                    plan.removed.append(record)
                }
            }
        }
        plan.copies.sort { $0.order < $1.order }
        plan.removed.sort { $0.order < $1.order }
    }
}
