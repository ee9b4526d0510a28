/// A frame that was parsed and checked: magic, version, sizes and checksum hold.
///
/// Holds a copy of the encoded bytes, so the buffer that it was parsed from may go.
public struct Frame: Sendable {
    public let header: FrameHeader
    let bytes: [UInt8]
    let scopes: [ScopeLayout]

    /// Parses a frame that fills `bytes`.
    ///
    /// - Parameters:
    ///   - inheriting: what the base has: needed to apply a frame that leaves its layout or metadata to its base.
    ///   - limits: checked before anything is allocated.
    public init(
        parsing bytes: UnsafeRawBufferPointer, inheriting context: FrameContext? = nil,
        limits: FrameLimits = .default
    ) throws(CodecError) {
        let parts = try FrameParser(bytes: bytes, context: context, limits: limits).parse()
        header = parts.header
        scopes = parts.scopes
        self.bytes = Array(bytes)
    }

    /// What deltas on top of this frame may leave out.
    public var context: FrameContext {
        FrameContext(sections: header.sections, metadata: header.metadata)
    }

    /// Turns the reconstruction of the previous checkpoint into this one's.
    ///
    /// A base overwrites the sections. On an error the sections are in no defined state and must be dropped.
    ///
    /// - Parameter sections: the reconstructions, in the frame's order and with its counts.
    public func apply(to sections: [UnsafeMutableBufferPointer<Float>]) throws(CodecError) {
        for (section, layout) in zip(sections, header.sections) where layout.format != .float32 {
            throw CodecError(
                .layoutMismatch,
                "section \(layout.name) is \(layout.format) and \(section.count) floats are given")
        }
        try apply(toBytes: sections.map { UnsafeMutableRawBufferPointer($0) })
    }

    /// The same, after checking that the frame builds on the state that the caller has.
    ///
    /// - Parameter digest: the digest of the caller's state; nil when it has none, which only a base accepts.
    public func apply(
        to sections: [UnsafeMutableBufferPointer<Float>], expectingBase digest: Digest?
    ) throws(CodecError) {
        try check(base: digest)
        try apply(to: sections)
    }

    /// As `apply(to:expectingBase:)`, for sections of any format.
    public func apply(
        toBytes sections: [UnsafeMutableRawBufferPointer], expectingBase digest: Digest?
    ) throws(CodecError) {
        try check(base: digest)
        try apply(toBytes: sections)
    }

    /// As `apply(to:)`, for sections of any format.
    public func apply(toBytes sections: [UnsafeMutableRawBufferPointer]) throws(CodecError) {
        guard !header.sections.isEmpty || scopes.isEmpty else {
            throw CodecError(
                .layoutMismatch, "the frame leaves its layout to its base: parse it with the base's")
        }
        guard sections.count == header.sections.count else {
            throw CodecError(
                .layoutMismatch,
                "the frame has \(header.sections.count) sections and \(sections.count) are given")
        }
        for (section, layout) in zip(sections, header.sections) where section.count != layout.byteCount {
            throw CodecError(
                .layoutMismatch,
                "section \(layout.name) has \(layout.byteCount) bytes and \(section.count) are given")
        }
        var members = [[ScopeMember]](repeating: [], count: scopes.count)
        for (section, layout) in zip(sections, header.sections) {
            members[layout.scope].append(ScopeMember(format: layout.format, bytes: section))
        }
        for (scope, members) in zip(scopes, members) { try decode(scope, into: members) }
        var digest = StateDigestBuilder()
        for (section, layout) in zip(sections, header.sections) {
            digest.add(name: layout.name, format: layout.format, bytes: UnsafeRawBufferPointer(section))
        }
        guard digest.finish(metadata: header.metadata) == header.stateDigest else {
            throw CodecError(
                .stateMismatch, "the reconstruction of step \(header.step) isn't what was written")
        }
    }

    private func check(base digest: Digest?) throws(CodecError) {
        guard let expected = header.baseDigest, expected != digest else { return }
        let given = digest.map { "\($0)" } ?? "none"
        throw CodecError(
            .baseMismatch,
            "the frame of step \(header.step) builds on state \(expected) and \(given) is given")
    }
}

/// A section's reconstruction while its scope is decoded.
struct ScopeMember {
    var format: ElementFormat
    var bytes: UnsafeMutableRawBufferPointer
    var elementCount: Int { bytes.count / format.byteCount }
}
