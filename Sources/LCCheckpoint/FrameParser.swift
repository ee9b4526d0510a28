/// Reads a frame from front to back. Nothing is believed before it is checked: magic and version, then length, then
/// the checksum over everything, then each size against the bytes that are there and the limits.
struct FrameParser {
    let bytes: UnsafeRawBufferPointer
    let context: FrameContext?
    let limits: FrameLimits

    func parse() throws(CodecError) -> (header: FrameHeader, scopes: [ScopeLayout]) {
        try checkEnvelope()
        var reader = ByteReader(
            UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - FrameFormat.checksumBytes)]))
        _ = try reader.bytes(5, "magic and version")
        let flags = try reader.byte("flags")
        let kind: FrameKind = flags & FrameFormat.delta == 0 ? .base : .delta
        guard flags <= FrameFormat.flags, kind == .delta || flags == 0 else {
            throw CodecError(.unsupported, "frame has flags \(flags), which this version doesn't know")
        }
        _ = try reader.bytes(6, "length")
        let step = try reader.varint("step")
        let base = kind == .delta ? try reader.digest("base digest") : nil
        let state = try reader.digest("state digest")
        let inherits = flags & FrameFormat.layoutInherited != 0
        let sections = try readLayout(&reader, inherited: inherits)
        let metadata = try readMetadata(&reader, flags)
        let scopes = try readScopes(&reader, kind: kind)
        if kind == .base { try readPadding(&reader) }
        guard reader.isAtEnd else { throw .malformed("frame is damaged: bytes after its last scope") }
        guard scopes.contains(where: \.usesPrevious) == (flags & FrameFormat.previousNeeded != 0) else {
            throw .malformed("frame is damaged: it contradicts itself on what it needs")
        }
        if !inherits || context != nil { try check(sections, against: scopes, kind: kind) }
        let header = FrameHeader(
            kind: kind, step: step, baseDigest: base, stateDigest: state, sections: sections,
            scopes: scopes.map(\.kind), metadata: metadata,
            needsPrevious: flags & FrameFormat.previousNeeded != 0)
        return (header, scopes)
    }

    private func checkEnvelope() throws(CodecError) {
        guard bytes.count >= FrameFormat.prefixBytes + FrameFormat.checksumBytes else {
            throw .malformed("frame is cut short: \(bytes.count) bytes are less than its header")
        }
        guard Frame.hasMagic(bytes) else { throw .malformed("not a frame: it doesn't begin with VLCF") }
        guard bytes[4] == FrameFormat.version else {
            throw CodecError(
                .unsupported, "frame is of version \(bytes[4]) and this program reads \(FrameFormat.version)")
        }
        guard bytes.count <= limits.maximumFrameBytes else {
            throw CodecError(
                .limitExceeded, "frame has \(bytes.count) bytes and the limit is \(limits.maximumFrameBytes)")
        }
        let length = FrameFormat.claimedLength(bytes) ?? 0
        guard length == UInt64(bytes.count) else {
            throw .malformed("frame is damaged: it has \(bytes.count) bytes and claims \(length)")
        }
        let end = bytes.count - FrameFormat.checksumBytes
        let checksum = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: end, as: UInt64.self))
        guard checksum64(UnsafeRawBufferPointer(rebasing: bytes[..<end])) == checksum else {
            throw CodecError(.checksumMismatch, "frame is damaged: its checksum doesn't hold")
        }
    }

    private func readLayout(
        _ reader: inout ByteReader, inherited: Bool
    ) throws(CodecError) -> [SectionLayout] {
        if inherited {
            let code = try reader.byte("grouping")
            guard let grouping = FrameFormat.Grouping(rawValue: code) else {
                throw CodecError(
                    .unsupported, "frame groups its sections by \(code), unknown to this version")
            }
            return context.map { grouping.apply($0.sections) } ?? []
        }
        let most = min(limits.maximumSections, reader.rest.count)
        let count = try reader.count("section count", atMost: most)
        var sections: [SectionLayout] = []
        var names: Set<[UInt8]> = []
        for _ in 0..<count {
            let code = try reader.byte("format")
            guard let format = ElementFormat(rawValue: code) else {
                throw CodecError(
                    .unsupported, "frame has elements of format \(code), unknown to this version")
            }
            let scope = try reader.count("scope index", atMost: count - 1)
            let elements = try reader.count(
                "element count", atMost: limits.maximumStateBytes / format.byteCount)
            let length = try reader.count("name length", atMost: FrameLimits.nameBytes)
            let bytes = try reader.bytes(length, "name")
            guard let name = String(validating: bytes, as: UTF8.self), names.insert(Array(bytes)).inserted
            else {
                throw .malformed("frame is damaged: a section's name comes twice or isn't UTF-8")
            }
            sections.append(SectionLayout(name: name, format: format, elementCount: elements, scope: scope))
        }
        return sections
    }

    private func readMetadata(_ reader: inout ByteReader, _ flags: UInt8) throws(CodecError) -> [UInt8] {
        let before = context?.metadata ?? []
        let most = min(limits.maximumMetadataBytes, FrameLimits.metadataBytes)
        switch (flags & FrameFormat.metadataInherited != 0, flags & FrameFormat.metadataInPart != 0) {
        case (true, true): throw .malformed("frame is damaged: metadata that is the same and isn't")
        case (true, false): return before
        case (false, false):
            let count = try reader.count("metadata length", atMost: most)
            return Array(try reader.bytes(count, "metadata"))
        case (false, true):
            let prefix = try reader.count("metadata prefix", atMost: most)
            let suffix = try reader.count("metadata suffix", atMost: most - prefix)
            let count = try reader.count("metadata length", atMost: most - prefix - suffix)
            let own = try reader.bytes(count, "metadata")
            // Without the frame before there is no telling.
            guard context != nil else { return [] }
            guard prefix + suffix <= before.count else {
                throw .malformed("frame is damaged: it shares more metadata than there is")
            }
            return before.prefix(prefix) + Array(own) + before.suffix(suffix)
        }
    }

    private func readScopes(_ reader: inout ByteReader, kind: FrameKind) throws(CodecError) -> [ScopeLayout] {
        let most = min(limits.maximumSections, reader.rest.count)
        let count = try reader.count("scope count", atMost: most)
        var scopes: [ScopeLayout] = []
        for _ in 0..<count {
            let length = try reader.count("scope length", atMost: reader.rest.count)
            var scope = ByteReader(try reader.bytes(length, "scope"))
            let end = bytes.count - FrameFormat.checksumBytes - reader.rest.count
            let tag = try ScopeTag(&scope)
            let elements = try scope.count("element count", atMost: limits.maximumStateBytes)
            var own = ScopeLayout(
                kind: .exact, elementCount: elements, byteCount: length, content: .exact(ExactScope()))
            switch tag.codec {
            case .exact:
                own.content = .exact(try ExactScope(&scope, elementCount: elements, end: end))
            case .lc where kind == .delta:
                own.kind = .lc(bits: tag.bits)
                let buckets = try BucketValues(&scope, bits: tag.bits)
                own.content = .quantized(
                    try QuantizedScope(
                        &scope, .buckets(buckets), hasExceptions: tag.hasExceptions, elementCount: elements,
                        end: end))
            case .auto where kind == .delta:
                let head = try UniformHead(&scope)
                own.kind = .auto(error: Double(head.error))
                own.content = .quantized(
                    try QuantizedScope(
                        &scope, .levels(head), hasExceptions: tag.hasExceptions, elementCount: elements,
                        end: end))
            case .lc, .auto:
                throw .malformed("frame is damaged: a base has a scope of deltas")
            }
            guard scope.isAtEnd else {
                throw .malformed("frame is damaged: a scope has \(scope.rest.count) bytes too many")
            }
            scopes.append(own)
        }
        return scopes
    }

    private func readPadding(_ reader: inout ByteReader) throws(CodecError) {
        let count = try reader.count("padding", atMost: reader.rest.count)
        guard try reader.bytes(count, "padding").allSatisfy({ $0 == 0 }) else {
            throw .malformed("frame is damaged: something stands where padding should")
        }
    }

    private func check(
        _ sections: [SectionLayout], against scopes: [ScopeLayout], kind: FrameKind
    ) throws(CodecError) {
        var elements = [Int](repeating: 0, count: scopes.count)
        var members = elements
        var stateBytes = 0
        for section in sections {
            guard section.scope < scopes.count else {
                throw .malformed("frame is damaged: section \(section.name) is in no scope")
            }
            if case .quantized = scopes[section.scope].content, !section.format.isFloatingPoint {
                throw .malformed("frame is damaged: section \(section.name) can't be quantized")
            }
            members[section.scope] += 1
            // Each count is at most the limit, so the sums don't overflow.
            elements[section.scope] += section.elementCount
            stateBytes += section.byteCount
            guard stateBytes <= limits.maximumStateBytes else {
                throw CodecError(
                    .limitExceeded,
                    "frame claims a state beyond the limit of \(limits.maximumStateBytes) bytes")
            }
        }
        for (index, scope) in scopes.enumerated() {
            guard members[index] > 0, elements[index] == scope.elementCount else {
                throw .malformed("frame is damaged: scope \(index) doesn't have the elements of its sections")
            }
        }
        if kind == .base, stateBytes > FrameFormat.freeStateBytes,
            (stateBytes - FrameFormat.freeStateBytes) / FrameFormat.expansion > bytes.count
        {
            throw CodecError(
                .limitExceeded,
                "frame of \(bytes.count) bytes claims a state of \(stateBytes): refused as a bomb")
        }
    }
}

/// A scope whose heads were read and checked; its blocks are not.
struct ScopeLayout: Sendable {
    enum Content: Sendable {
        case exact(ExactScope)
        case quantized(QuantizedScope)
    }

    var kind: CodecSettings.Kind
    var elementCount: Int
    var byteCount: Int
    var content: Content

    var usesPrevious: Bool {
        switch content {
        case .exact: false
        case .quantized(let scope): scope.stream.usesPrevious
        }
    }
}
