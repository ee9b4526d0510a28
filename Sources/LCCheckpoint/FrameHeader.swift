/// What a frame holds: the full state, or a step from one state to the next.
public enum FrameKind: UInt8, Hashable, Sendable {
    /// The exact full state; builds on nothing.
    case base = 0
    /// A change of the state that `FrameHeader.baseDigest` names.
    case delta = 1
}

/// A named vector of a state, and the scope (the group with one bucket table) that it is encoded in.
public struct SectionLayout: Hashable, Sendable {
    /// UTF-8, unique within a state; at most `FrameLimits.nameBytes` bytes.
    public var name: String
    /// How its elements are stored.
    public var format: ElementFormat
    /// Elements, not bytes.
    public var elementCount: Int
    /// Index into `FrameHeader.scopes`.
    public var scope: Int

    /// A section of `elementCount` elements.
    public init(name: String, format: ElementFormat, elementCount: Int, scope: Int) {
        self.name = name
        self.format = format
        self.elementCount = elementCount
        self.scope = scope
    }

    /// Bytes of the section in memory.
    public var byteCount: Int { elementCount * format.byteCount }
}

/// What a delta frame may leave out because the reader has it from the frame before.
public struct FrameContext: Sendable {
    /// The sections of the frame before, in order.
    public var sections: [SectionLayout]
    /// The opaque bytes of the frame before.
    public var metadata: [UInt8]
    var history: SymbolHistory?

    /// A context without symbols: what follows is coded, and read, on its own.
    public init(sections: [SectionLayout], metadata: [UInt8]) {
        self.sections = sections
        self.metadata = metadata
    }
}

/// What a frame says of itself, checked.
public struct FrameHeader: Hashable, Sendable {
    /// Full state or change.
    public var kind: FrameKind
    /// The training step after which the state stood.
    public var step: UInt64
    /// The state that a delta builds on; nil for a base.
    public var baseDigest: Digest?
    /// The state that the frame yields.
    public var stateDigest: Digest
    /// The sections; empty when the frame leaves them to its base and no context was given.
    public var sections: [SectionLayout]
    /// One for each scope.
    public var scopes: [CodecSettings.Kind]
    /// Opaque bytes that the frame carries; the state's digest covers them. Empty when the frame leaves them, or a part of them, to its
    /// base and no context was given.
    public var metadata: [UInt8]
    /// The symbols of the frame before are needed: this one can't be applied to its base alone.
    public var needsPrevious: Bool
}

/// Bounds that a reader sets before it believes a frame.
public struct FrameLimits: Hashable, Sendable {
    /// The longest frame, in bytes.
    public var maximumFrameBytes: Int
    /// The largest state, in bytes.
    public var maximumStateBytes: Int
    /// The most sections of a state.
    public var maximumSections: Int
    /// The most opaque bytes.
    public var maximumMetadataBytes: Int

    /// Limits; by default 64 GiB for frame and state, 65,536 sections, 1 MiB of metadata.
    public init(
        maximumFrameBytes: Int = 1 << 36, maximumStateBytes: Int = 1 << 36, maximumSections: Int = 1 << 16,
        maximumMetadataBytes: Int = FrameLimits.metadataBytes
    ) {
        self.maximumFrameBytes = maximumFrameBytes
        self.maximumStateBytes = maximumStateBytes
        self.maximumSections = maximumSections
        self.maximumMetadataBytes = maximumMetadataBytes
    }

    /// The limits of `init()`.
    public static let `default` = FrameLimits()
    /// The most metadata that a frame may carry.
    public static let metadataBytes = 1 << 20
    /// The most bytes in a section's name.
    public static let nameBytes = 4096
}

/// What encoding a frame came to.
public struct FrameStatistics: Hashable, Sendable {
    /// Elements of all sections.
    public var elements: Int
    /// Bytes of the state in memory.
    public var rawBytes: Int
    /// Bytes of the frame, header and checksum included.
    public var encodedBytes: Int
    /// Order-0 entropy of the symbols, in bits per element.
    public var entropyBits: Double
    /// ‖u − ũ‖₂ / ‖u‖₂ over the finite floating-point elements.
    public var relativeError: Double
    /// `rawBytes / encodedBytes`.
    public var ratio: Double { encodedBytes == 0 ? 0 : Double(rawBytes) / Double(encodedBytes) }

    /// Statistics that were gathered elsewhere.
    public init(elements: Int, rawBytes: Int, encodedBytes: Int, entropyBits: Double, relativeError: Double) {
        self.elements = elements
        self.rawBytes = rawBytes
        self.encodedBytes = encodedBytes
        self.entropyBits = entropyBits
        self.relativeError = relativeError
    }
}

/// A finished frame.
public struct EncodedFrame: Sendable {
    /// The frame, checksum included.
    public var bytes: [UInt8]
    /// Digest of the reconstructed sections and the metadata.
    public var stateDigest: Digest
    /// Digest of `bytes`.
    public var payloadDigest: Digest
    /// Sizes, entropy and error.
    public var statistics: FrameStatistics
    /// What the next frame of the chain may leave out.
    public var context: FrameContext
}
