/// A frame that was parsed and checked: magic, version, sizes and checksum hold.
///
/// Holds a copy of the encoded bytes, so the buffer that it was parsed from may go; or their owner, if it was named.
public struct Frame: Sendable {
    /// What the frame says of itself.
    public let header: FrameHeader
    private let storage: Storage
    let scopes: [ScopeLayout]
    private let previous: SymbolHistory?

    /// Parses a frame that fills `bytes`.
    ///
    /// - Parameters:
    ///   - inheriting: what the base has: needed to apply a frame that leaves its layout or metadata to its base.
    ///   - limits: checked before anything is allocated.
    ///   - owner: keeps the bytes in place and unchanged as long as it lives; nil to have them copied.
    public init(
        parsing bytes: UnsafeRawBufferPointer, inheriting context: FrameContext? = nil,
        limits: FrameLimits = .default, keptBy owner: (any AnyObject & Sendable)? = nil
    ) throws(CodecError) {
        let parts = try FrameParser(bytes: bytes, context: context, limits: limits).parse()
        header = parts.header
        scopes = parts.scopes
        storage = owner.map { .kept(bytes, by: $0) } ?? .copied(Array(bytes))
        previous = context?.history
    }

    /// What deltas on top of this frame may leave out, but for its symbols: those come with `apply`.
    public var context: FrameContext {
        FrameContext(sections: header.sections, metadata: header.metadata)
    }

    /// Turns the reconstruction of the previous checkpoint into this one's.
    ///
    /// A base overwrites the sections. On an error the sections are in no defined state and must be dropped.
    ///
    /// - Parameters:
    ///   - sections: the reconstructions, in the frame's order and with its counts.
    ///   - digest: the digest of the caller's state; nil when it has none, which only a base accepts.
    ///   - chained: keep this frame's symbols, which the next frame may need: a byte for each element.
    ///   - threads: how many may work on it, the caller's included.
    /// - Returns: what to parse the chain's next frame with.
    @discardableResult
    public func apply(
        to sections: [UnsafeMutableBufferPointer<Float>], expectingBase digest: Digest?,
        chained: Bool = false, threads: Int = 1
    ) throws(CodecError) -> FrameContext {
        for (section, layout) in zip(sections, header.sections) where layout.format != .float32 {
            throw CodecError(
                .layoutMismatch,
                "section \(layout.name) is \(layout.format) and \(section.count) floats are given")
        }
        return try apply(
            toBytes: sections.map { UnsafeMutableRawBufferPointer($0) }, expectingBase: digest,
            chained: chained, threads: threads)
    }

    /// The same for sections of any format.
    @discardableResult
    public func apply(
        toBytes sections: [UnsafeMutableRawBufferPointer], expectingBase digest: Digest?,
        chained: Bool = false, threads: Int = 1
    ) throws(CodecError) -> FrameContext {
        try apply(
            toStates: sections.map { .memory($0) }, expectingBase: digest, chained: chained, threads: threads)
    }

    /// The same for sections that memory needn't hold. What was handed on counts only if this returns.
    @discardableResult
    public func apply(
        toStates sections: [SectionState], expectingBase digest: Digest?, chained: Bool = false,
        threads: Int = 1
    ) throws(CodecError) -> FrameContext {
        try check(base: digest)
        try check(sections)
        var members = [[(ElementFormat, SectionState)]](repeating: [], count: scopes.count)
        for (section, layout) in zip(sections, header.sections) {
            members[layout.scope].append((layout.format, section))
        }
        let digests = members.map { SectionDigests($0) }
        let history = try decode(
            sections, wanted: nil, keepsHistory: chained && header.kind == .delta, digests: digests,
            threads: threads)
        var builder = StateDigestBuilder()
        var places = [Int](repeating: 0, count: scopes.count)
        for (section, layout) in zip(sections, header.sections) {
            let digest = digests[layout.scope].digest(ofSection: places[layout.scope], threads: threads)
            places[layout.scope] += 1
            builder.add(
                name: layout.name, format: layout.format, byteCount: section.count, digest: digest)
        }
        guard builder.finish(metadata: header.metadata) == header.stateDigest else {
            throw CodecError(
                .stateMismatch, "the reconstruction of step \(header.step) isn't what was written")
        }
        var context = context
        context.history = history
        return context
    }

    private func check(_ sections: [SectionState]) throws(CodecError) {
        guard !header.sections.isEmpty || scopes.isEmpty else {
            throw CodecError(
                .layoutMismatch, "the frame leaves its layout to its base: parse it with the base's")
        }
        guard sections.count == header.sections.count else {
            throw CodecError(
                .layoutMismatch,
                "the frame has \(header.sections.count) sections and \(sections.count) are given")
        }
        for (section, layout) in zip(sections, header.sections) {
            guard section.count != layout.byteCount else { continue }
            throw CodecError(
                .layoutMismatch,
                "section \(layout.name) has \(layout.byteCount) bytes and \(section.count) are given")
        }
    }

    /// Decodes scope by scope.
    ///
    /// - Parameters:
    ///   - sections: nil for one that isn't wanted.
    ///   - wanted: for each scope the elements that are; nil for all.
    ///   - digests: by scope, where all elements are wanted.
    /// - Returns: this frame's symbols, if they are to be kept.
    func decode(
        _ sections: [SectionState?], wanted: [Range<Int>]?, keepsHistory: Bool,
        digests: [SectionDigests]? = nil, threads: Int
    ) throws(CodecError) -> SymbolHistory? {
        var members = [[ScopeMember]](repeating: [], count: scopes.count)
        for (section, layout) in zip(sections, header.sections) {
            members[layout.scope].append(
                ScopeMember(format: layout.format, elementCount: layout.elementCount, state: section))
        }
        var histories: [[UInt8]?] = []
        for (index, scope) in scopes.enumerated() {
            var history: [UInt8]?
            let elements = wanted?[index] ?? 0..<scope.elementCount
            switch scope.content {
            case .exact(let exact):
                try withBytes { (frame) throws(CodecError) in
                    try exact.apply(
                        to: members[index], of: frame, isBase: header.kind == .base, elements: elements,
                        digests: digests?[index], threads: threads)
                }
            case .quantized(let quantized):
                if keepsHistory { history = [UInt8](repeating: 0, count: scope.elementCount) }
                let size = quantized.stream.blockSize
                let blocks =
                    elements.isEmpty
                    ? 0..<0
                    : (elements.lowerBound >> size.log2)..<((elements.upperBound - 1) >> size.log2 + 1)
                let symbols = previousSymbols(scope: index, count: scope.elementCount)
                if scope.usesPrevious, symbols == nil {
                    throw CodecError(
                        .baseMismatch,
                        "the frame of step \(header.step) needs the symbols of the frame before it: restore from the chain's base"
                    )
                }
                let vector = ScopeVector(members[index], isRoot: quantized.isRoot)
                try withPointer(to: symbols) { (symbols) throws(CodecError) in
                    try withMutablePointer(to: &history) { (history) throws(CodecError) in
                        try withBytes { (frame) throws(CodecError) in
                            try quantized.apply(
                                to: vector, of: frame, blocks: blocks, previous: symbols, history: history,
                                digests: digests?[index], threads: threads)
                        }
                    }
                }
            }
            histories.append(history)
        }
        return keepsHistory ? SymbolHistory(state: header.stateDigest, scopes: histories) : nil
    }

    /// The symbols of the frame before, if they are at hand.
    func previousSymbols(scope: Int, count: Int) -> [UInt8]? {
        previous?.symbols(scope: scope, count: count, of: header.baseDigest)
    }

    /// Calls `body` with the frame's bytes.
    func withBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws(CodecError) -> Result
    ) throws(CodecError) -> Result {
        switch storage {
        case .kept(let bytes, by: let owner):
            defer { withExtendedLifetime(owner) {} }
            return try body(bytes)
        case .copied(let bytes):
            let outcome: Swift.Result<Result, CodecError> = bytes.withUnsafeBytes { bytes in
                do throws(CodecError) {
                    return .success(try body(bytes))
                } catch {
                    return .failure(error)
                }
            }
            return try outcome.get()
        }
    }

    // Unchecked because of the pointer: nobody writes what it points to.
    private enum Storage: @unchecked Sendable {
        case copied([UInt8])
        case kept(UnsafeRawBufferPointer, by: any AnyObject & Sendable)
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
    var elementCount: Int
    /// Nil when it isn't wanted.
    var state: SectionState?
}
