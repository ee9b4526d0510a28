// The bytes of a frame, as docs/formats/frame.md lays them down.

enum FrameFormat {
    static let magic: [UInt8] = [0x56, 0x4c, 0x43, 0x46]  // "VLCF"
    static let version: UInt8 = 1
    /// Magic, version, kind, flags, length, step, base digest, state digest.
    static let headerBytes = 4 + 1 + 1 + 2 + 8 + 8 + 16 + 16
    static let checksumBytes = 8

    /// The frame leaves its layout to its base and carries a checksum of it.
    static let layoutInherited: UInt16 = 1
    /// The frame's metadata is its base's.
    static let metadataInherited: UInt16 = 2

    static let exactCodec: UInt8 = 0
    static let lcCodec: UInt8 = 1

    /// A base may yield this much, and `expansion` bytes more for each of its own.
    static let freeStateBytes = 64 << 20
    static let expansion = 16_384

    /// The bytes of a layout.
    static func encode(layout: [SectionLayout]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(varint: UInt64(layout.count))
        for section in layout {
            bytes.append(section.format.rawValue)
            bytes.append(varint: UInt64(section.scope))
            bytes.append(varint: UInt64(section.elementCount))
            bytes.append(varint: UInt64(section.name.utf8.count))
            bytes.append(contentsOf: section.name.utf8)
        }
        return bytes
    }

    /// The length that the header at the front of `bytes` claims for its frame; nil if no frame begins there.
    static func claimedLength(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        guard bytes.count >= headerBytes, bytes.prefix(4).elementsEqual(magic) else { return nil }
        return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
}

extension Frame {
    /// The bytes that a frame's length can be read from.
    public static let headerByteCount = FrameFormat.headerBytes

    /// The length of the frame that begins with `bytes`, as its header claims it; nil if no frame begins there.
    ///
    /// For containers that hold frames one after the other: check the length against what is there.
    public static func claimedByteCount(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        FrameFormat.claimedLength(bytes)
    }

    /// Whether `bytes` begin like a frame.
    public static func hasMagic(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.prefix(4).elementsEqual(FrameFormat.magic)
    }
}

extension FrameEncoder {
    /// Puts the frame together.
    func assemble(stateDigest: Digest) -> [UInt8] {
        let layout = FrameFormat.encode(layout: sections)
        var flags: UInt16 = 0
        if let context {
            if FrameFormat.encode(layout: context.sections) == layout { flags |= FrameFormat.layoutInherited }
            if context.metadata == metadata { flags |= FrameFormat.metadataInherited }
        }
        var bytes = FrameFormat.magic
        bytes.reserveCapacity(FrameFormat.headerBytes + 64 + scopes.reduce(0) { $0 + $1.count + 10 })
        bytes.append(FrameFormat.version)
        bytes.append(kind.rawValue)
        bytes.append(littleEndian: flags)
        bytes.append(littleEndian: UInt64(0))
        bytes.append(littleEndian: step)
        bytes.append(digest: baseDigest ?? Digest(high: 0, low: 0))
        bytes.append(digest: stateDigest)
        if flags & FrameFormat.layoutInherited != 0 {
            bytes.append(littleEndian: layout.withUnsafeBytes { checksum64($0) })
        } else {
            bytes.append(contentsOf: layout)
        }
        if flags & FrameFormat.metadataInherited == 0 {
            bytes.append(varint: UInt64(metadata.count))
            bytes.append(contentsOf: metadata)
        }
        bytes.append(varint: UInt64(scopes.count))
        for scope in scopes {
            bytes.append(varint: UInt64(scope.count))
            bytes.append(contentsOf: scope)
        }
        // A base of nothing but zeros would look like a bomb: it is padded up to what readers grant.
        var padding = 0
        if kind == .base, totals.rawBytes > FrameFormat.freeStateBytes {
            let needed = (totals.rawBytes - FrameFormat.freeStateBytes) / FrameFormat.expansion + 1
            padding = max(0, needed - bytes.count)
        }
        bytes.append(varint: UInt64(padding))
        bytes.append(contentsOf: repeatElement(0, count: padding))
        let length = UInt64(bytes.count + FrameFormat.checksumBytes)
        withUnsafeBytes(of: length.littleEndian) { bytes.replaceSubrange(8..<16, with: $0) }
        bytes.append(littleEndian: bytes.withUnsafeBytes { checksum64($0) })
        return bytes
    }
}

/// A scope's payload: codec, element count, and what the codec says.
func encodeScope(
    _ sources: [SectionSource], settings: CodecSettings, isBase: Bool, totals: inout ScopeTotals
) -> [UInt8] {
    let elements = sources.reduce(0) { $0 + $1.target.count / $1.format.byteCount }
    totals.elements += elements
    totals.rawBytes += sources.reduce(0) { $0 + $1.target.count }
    var bytes: [UInt8] = []
    switch settings.kind {
    case .lc(let bits) where !isBase:
        bytes.append(FrameFormat.lcCodec)
        bytes.append(varint: UInt64(elements))
        encodeQuantized(sources, bits: bits, entropy: settings.entropy, totals: &totals, into: &bytes)
    case .lc, .exact:
        bytes.append(FrameFormat.exactCodec)
        bytes.append(varint: UInt64(elements))
        encodeExact(sources, isBase: isBase, entropy: settings.entropy, totals: &totals, into: &bytes)
    }
    return bytes
}
