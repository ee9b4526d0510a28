// The bytes of a frame, as docs/formats/frame.md lays them down.

enum FrameFormat {
    static let magic: [UInt8] = [0x56, 0x4c, 0x43, 0x46]  // "VLCF"
    static let version: UInt8 = 5
    /// Magic, version, flags, length: what a frame's length can be read from.
    static let prefixBytes = 4 + 1 + 1 + 6
    static let checksumBytes = 8

    /// A delta; a base if not set.
    static let delta: UInt8 = 1
    /// The frame's sections are those of the state that it builds on.
    static let layoutInherited: UInt8 = 2
    /// Likewise its metadata.
    static let metadataInherited: UInt8 = 4
    /// The symbols of the frame before are needed.
    static let previousNeeded: UInt8 = 8
    /// The metadata begins and ends as that of the state that the frame builds on.
    static let metadataInPart: UInt8 = 16
    /// All that is known.
    static let flags: UInt8 = 31

    /// A base may yield this much, and `expansion` bytes more for each of its own.
    static let freeStateBytes = 64 << 20
    static let expansion = 16_384

    /// How an inherited layout's sections are grouped into scopes.
    enum Grouping: UInt8, CaseIterable {
        /// Those of floating formats, then the others.
        case byKind = 0
        /// Each of a floating format in a scope of its own, then the others together.
        case each = 1

        /// The sections with their scopes, in the base's order.
        func apply(_ sections: [SectionLayout]) -> [SectionLayout] {
            var sections = sections
            let floating = sections.indices.filter { sections[$0].format.isFloatingPoint }
            let others = self == .each ? floating.count : min(1, floating.count)
            for index in sections.indices { sections[index].scope = others }
            for (place, index) in floating.enumerated() { sections[index].scope = self == .each ? place : 0 }
            return sections
        }
    }

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
        guard bytes.count >= prefixBytes, bytes.prefix(4).elementsEqual(magic) else { return nil }
        return (6..<12).reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
    }
}

extension Frame {
    /// The bytes that a frame's length can be read from.
    public static let headerByteCount = FrameFormat.prefixBytes

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
    /// How the frame's layout follows from the one that is inherited, or nil.
    private func grouping() -> FrameFormat.Grouping? {
        guard let context, context.sections.count == sections.count else { return nil }
        if zip(sections, context.sections).allSatisfy({ $0 == $1 && $0.name.utf8.elementsEqual($1.name.utf8) }
        ) {
            return FrameFormat.Grouping.allCases.first { $0.apply(sections) == sections }
        }
        // By their bytes: names are different that look the same.
        func key(_ section: SectionLayout) -> [UInt8] { Array(section.name.utf8) }
        var own: [[UInt8]: SectionLayout] = [:]
        for section in sections { own[key(section)] = section }
        // The order matters only within a scope.
        var last: [Int: Int] = [:]
        var places: [[UInt8]: Int] = [:]
        for (place, section) in sections.enumerated() { places[key(section)] = place }
        for section in context.sections {
            guard let section = own[key(section)], let place = places[key(section)],
                place > last[section.scope] ?? -1
            else { return nil }
            last[section.scope] = place
        }
        return FrameFormat.Grouping.allCases.first { grouping in
            grouping.apply(context.sections).allSatisfy { own[key($0)] == $0 }
        }
    }

    /// Puts the frame together; the scopes are empty afterwards.
    mutating func assemble(stateDigest: Digest) -> [UInt8] {
        let grouping = grouping()
        var flags = kind == .delta ? FrameFormat.delta : 0
        if grouping != nil { flags |= FrameFormat.layoutInherited }
        let shared = MetadataPart(metadata, before: kind == .delta ? context?.metadata : nil)
        if let context, context.metadata == metadata {
            flags |= FrameFormat.metadataInherited
        } else if shared.isWorthwhile {
            flags |= FrameFormat.metadataInPart
        }
        if totals.usesPrevious { flags |= FrameFormat.previousNeeded }
        var bytes = FrameFormat.magic
        bytes.reserveCapacity(128 + scopes.reduce(metadata.count) { $0 + $1.byteCount + 10 })
        bytes.append(FrameFormat.version)
        bytes.append(flags)
        bytes.append(contentsOf: repeatElement(0, count: 6))
        bytes.append(varint: step)
        if let baseDigest { bytes.append(digest: baseDigest) }
        bytes.append(digest: stateDigest)
        if let grouping {
            bytes.append(grouping.rawValue)
        } else {
            bytes.append(contentsOf: FrameFormat.encode(layout: sections))
        }
        if flags & FrameFormat.metadataInPart != 0 {
            bytes.append(varint: UInt64(shared.prefix))
            bytes.append(varint: UInt64(shared.suffix))
            bytes.append(varint: UInt64(shared.rest.count))
            bytes.append(contentsOf: shared.rest)
        } else if flags & FrameFormat.metadataInherited == 0 {
            bytes.append(varint: UInt64(metadata.count))
            bytes.append(contentsOf: metadata)
        }
        bytes.append(varint: UInt64(scopes.count))
        var freed = 0
        for index in scopes.indices {
            bytes.append(varint: UInt64(scopes[index].byteCount))
            scopes[index].move(to: &bytes, freed: &freed)
        }
        if kind == .base {
            // A base of nothing but zeros would look like a bomb: it is padded up to what readers grant.
            var padding = 0
            if totals.rawBytes > FrameFormat.freeStateBytes {
                let needed = (totals.rawBytes - FrameFormat.freeStateBytes) / FrameFormat.expansion + 1
                padding = max(0, needed - bytes.count)
            }
            bytes.append(varint: UInt64(padding))
            bytes.append(contentsOf: repeatElement(0, count: padding))
        }
        let length = bytes.count + FrameFormat.checksumBytes
        for byte in 0..<6 { bytes[6 + byte] = UInt8(truncatingIfNeeded: length >> (8 * byte)) }
        bytes.append(littleEndian: bytes.withUnsafeBytes { checksum64($0) })
        return bytes
    }
}

/// Metadata that begins and ends as what was there before, as when a step's number changes in it.
private struct MetadataPart {
    let prefix: Int
    let suffix: Int
    let rest: ArraySlice<UInt8>

    /// - Parameter before: nil if there is none.
    init(_ metadata: [UInt8], before: [UInt8]?) {
        let before = before ?? []
        prefix = zip(metadata, before).prefix { $0 == $1 }.count
        let ends = zip(metadata[prefix...].reversed(), before[prefix...].reversed())
        suffix = ends.prefix { $0 == $1 }.count
        rest = metadata[prefix..<(metadata.count - suffix)]
    }

    /// What it saves exceeds the lengths that have to be said.
    var isWorthwhile: Bool { prefix + suffix > 8 }
}
