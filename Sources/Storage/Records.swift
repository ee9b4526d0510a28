/// A 128-bit digest as two halves, so that it is compared and copied without an allocation.
public struct Digest128: Sendable, Hashable, CustomStringConvertible {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public static let zero = Digest128(high: 0, low: 0)

    public var description: String { hex(high) + hex(low) }
}

/// What the log and the index know of a record without its payload.
///
/// The log interprets none of it but `payloadLength`, and `kind` to know tombstones: which epoch may write
/// and what may be dropped is decided by the caller.
public struct RecordHeader: Sendable, Hashable {
    public enum Kind: UInt8, Sendable, CaseIterable {
        case base = 1
        case delta = 2
        case manifest = 3
        case promise = 4
        /// A tombstone: older records of its shard and step no longer count.
        case drop = 5
        case pin = 6
        case unpin = 7
    }

    public var kind: Kind
    public var shard: UInt32
    public var step: UInt64
    /// The epoch of the writer.
    public var epoch: UInt64
    /// The timeline: the epoch of the last rollback.
    public var line: UInt64
    /// The step that a delta builds on.
    public var baseStep: UInt64
    /// Digest of the state that a delta builds on.
    public var baseDigest: Digest128
    /// Digest of the reconstructed state.
    public var stateDigest: Digest128
    /// Digest of the payload, as the writer of the payload computed it.
    public var payloadDigest: Digest128
    /// Size of the state uncompressed.
    public var rawBytes: UInt64
    /// `‖u − ũ‖ / ‖u‖` of the reconstruction.
    public var relativeError: Double
    /// Length of the payload in bytes.
    public var payloadLength: UInt32

    public init(
        kind: Kind, shard: UInt32, step: UInt64, epoch: UInt64, line: UInt64 = 0, baseStep: UInt64 = 0,
        baseDigest: Digest128 = .zero, stateDigest: Digest128 = .zero, payloadDigest: Digest128 = .zero,
        rawBytes: UInt64 = 0, relativeError: Double = 0, payloadLength: UInt32 = 0
    ) {
        self.kind = kind
        self.shard = shard
        self.step = step
        self.epoch = epoch
        self.line = line
        self.baseStep = baseStep
        self.baseDigest = baseDigest
        self.stateDigest = stateDigest
        self.payloadDigest = payloadDigest
        self.rawBytes = rawBytes
        self.relativeError = relativeError
        self.payloadLength = payloadLength
    }
}

/// Where a record starts: the sequence number of its segment and the byte offset in that file.
public struct RecordLocation: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var segment: UInt64
    public var offset: UInt64

    public init(segment: UInt64, offset: UInt64) {
        self.segment = segment
        self.offset = offset
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.segment, left.offset) < (right.segment, right.offset)
    }

    public var description: String { "segment \(hex(segment)) offset \(offset)" }
}

/// A record that the log holds.
public struct StoredRecord: Sendable, Hashable {
    public var header: RecordHeader
    public var location: RecordLocation
    /// Position in the history of appends; a record keeps it when compaction moves it.
    ///
    /// Records are replayed in this order, so that a moved `pin` does not overtake a later `unpin`.
    public var order: UInt64

    public init(header: RecordHeader, location: RecordLocation, order: UInt64) {
        self.header = header
        self.location = location
        self.order = order
    }
}

/// A record that compaction copied: what it was, and where it is now.
public struct MovedRecord: Sendable, Hashable {
    public var from: RecordLocation
    public var to: StoredRecord

    public init(from: RecordLocation, to: StoredRecord) {
        self.from = from
        self.to = to
    }
}

/// What a compaction did.
public struct CompactionResult: Sendable, Hashable {
    /// Records that live on at a new place; update the index from these.
    public var moved: [MovedRecord] = []
    /// Records that are no longer on disk; remove them from the index.
    public var removed: [StoredRecord] = []
    public var removedSegments: [UInt64] = []
    /// Bytes that the removed files took, less those that the copies take.
    public var reclaimedBytes: Int64 = 0
    /// Damage that was met on the way; a segment with damage is left in place.
    public var findings: [Finding] = []

    public init() {}
}
