import CKernels

/// A section's live values and its reconstruction, as bytes of its format.
public struct SectionSource {
    /// UTF-8, unique within the state.
    public var name: String
    /// How the elements of both are stored.
    public var format: ElementFormat
    /// Live values.
    public var target: SectionBytes
    /// In: what a restore of the previous checkpoint yields; out: what a restore of this one does.
    /// As long as `target`; must not overlap it.
    public var reconstruction: SectionState

    /// A section wherever its bytes lie.
    public init(name: String, format: ElementFormat, target: SectionBytes, reconstruction: SectionState) {
        self.name = name
        self.format = format
        self.target = target
        self.reconstruction = reconstruction
    }

    /// A section in memory.
    public init(
        name: String, format: ElementFormat, target: UnsafeRawBufferPointer,
        reconstruction: UnsafeMutableRawBufferPointer
    ) {
        self.name = name
        self.format = format
        self.target = .memory(target)
        self.reconstruction = .memory(reconstruction)
    }
}

/// Writes one frame: one checkpoint of one state that is made of named sections.
///
/// Add every section of the state, then call `finish()`. The reconstructions are updated as sections are added,
/// by the same code that a restore runs, so writer and reader agree bit for bit. If `add` throws, its arguments
/// were wrong and no reconstruction has changed; or a source or sink threw, and the encoder and what it wrote must be dropped.
///
/// It can't be copied: a copy would keep the blocks that `finish()` gives back while it puts the frame together.
public struct FrameEncoder: ~Copyable {
    /// What is encoded: see `FrameKind`.
    public typealias Kind = FrameKind

    let kind: FrameKind
    let step: UInt64
    let baseDigest: Digest?
    let context: FrameContext?
    var sections: [SectionLayout] = []
    var names: Set<[UInt8]> = []
    var scopes: [ScopePayload] = []
    var histories: [[UInt8]?] = []
    var metadata: [UInt8] = []
    let keepsHistory: Bool
    let threads: Int
    var digest = StateDigestBuilder()
    var totals = ScopeTotals()

    /// - Parameters:
    ///   - baseDigest: the digest of the state that the delta builds on; nil for a base.
    ///   - inheriting: what the reader has from the frame before. The frame leaves out what is the same, and its
    ///     coders look at that frame's symbols if the context has them.
    ///   - chained: keep this frame's symbols for the next: a byte for each element.
    ///   - threads: how many may work on the frame, the caller's included. The bytes don't depend on it.
    ///
    /// - Precondition: `baseDigest` is given for a delta and only for a delta.
    public init(
        kind: Kind, step: UInt64, baseDigest: Digest?, inheriting context: FrameContext? = nil,
        chained: Bool = false, threads: Int = 1
    ) {
        precondition((kind == .delta) == (baseDigest != nil), "a delta names its base, a base has none")
        self.kind = kind
        self.step = step
        self.baseDigest = baseDigest
        self.context = kind == .delta ? context : nil
        keepsHistory = chained && kind == .delta
        self.threads = max(1, threads)
    }

    /// Encodes one Float32 section in a scope of its own.
    ///
    /// - Parameters:
    ///   - target: the live values `u_t`.
    ///   - reconstruction: in `ũ_{t−1}`, out `ũ_t`. For a base it becomes a copy of `target`.
    ///   - settings: a base is always `exact`, whatever the kind here; the entropy coder is heeded.
    public mutating func add(
        section name: String, target: UnsafeBufferPointer<Float>,
        reconstruction: UnsafeMutableBufferPointer<Float>, settings: CodecSettings
    ) throws(CodecError) {
        let source = SectionSource(
            name: name, format: .float32, target: UnsafeRawBufferPointer(target),
            reconstruction: UnsafeMutableRawBufferPointer(reconstruction))
        try add(scope: [source], settings: settings)
    }

    /// Encodes sections that share one bucket table, end to end as one vector.
    ///
    /// `lc` takes floating formats only: elements are widened to Float32 for the delta, and the reconstruction is
    /// rounded back to the section's format.
    public mutating func add(scope sources: [SectionSource], settings: CodecSettings) throws(CodecError) {
        try check(sources, settings)
        let digests = SectionDigests(sources.map { ($0.format, $0.reconstruction) })
        let scope = scopes.count
        try encode(sources, settings, digests)
        for source in sources {
            sections.append(
                SectionLayout(
                    name: source.name, format: source.format,
                    elementCount: source.target.count / source.format.byteCount, scope: scope))
            names.insert(Array(source.name.utf8))
        }
        for (index, source) in sources.enumerated() {
            digest.add(
                name: source.name, format: source.format, byteCount: source.target.count,
                digest: digests.digest(ofSection: index, threads: threads))
        }
    }

    /// Sets the opaque bytes that the frame carries, covered by the digest: at most 1 MiB.
    public mutating func add(metadata bytes: [UInt8]) throws(CodecError) {
        guard bytes.count <= FrameLimits.metadataBytes else {
            throw CodecError(
                .limitExceeded,
                "metadata has \(bytes.count) bytes and a frame carries at most \(FrameLimits.metadataBytes)")
        }
        metadata = bytes
    }

    /// Closes the frame.
    public consuming func finish() -> EncodedFrame {
        let stateDigest = digest.finish(metadata: metadata)
        let bytes = assemble(stateDigest: stateDigest)
        var context = FrameContext(sections: sections, metadata: metadata)
        if keepsHistory { context.history = SymbolHistory(state: stateDigest, scopes: histories) }
        return EncodedFrame(
            bytes: bytes, stateDigest: stateDigest, payloadDigest: bytes.withUnsafeBytes { Digest.of($0) },
            statistics: totals.statistics(encodedBytes: bytes.count), context: context)
    }

    /// Appends a scope's payload: codec, element count, and what the codec says.
    private mutating func encode(
        _ sources: [SectionSource], _ settings: CodecSettings, _ digests: SectionDigests
    ) throws(CodecError) {
        let vector = ScopeVector(sources)
        let elements = vector.layout.count
        totals.elements += elements
        totals.rawBytes += sources.reduce(0) { $0 + $1.target.count }
        var payload = ScopePayload()
        var history: [UInt8]?
        switch settings.kind {
        case .lc(let bits) where kind == .delta:
            let (buckets, few) = BucketTable.listing(vector, bits: bits, threads: threads)
            try vector.failure.check()
            // Of a model that has gone astray next to nothing is finite, and exceptions take more than all bits do.
            if buckets.nonfinite <= elements / 2 {
                history = try encode(vector, buckets, few, settings.entropy, digests, into: &payload)
            }
        case .auto(let wanted) where kind == .delta:
            let isRoot = settings.domain == .squareRoots
            let own = ScopeVector(sources, isRoot: isRoot)
            // Deltas are of binary32: what that costs wider elements is part of the error.
            let error = wanted - narrowingError(sources, vector)
            if error > wanted / 2 {
                history = try encode(own, error: error, settings.entropy, digests, into: &payload)
            }
        case .lc, .exact, .auto: break
        }
        // For what is no delta, or where nothing but the exact bits is near enough.
        if payload.head.isEmpty {
            ScopeTag(.exact).write(elements: elements, into: &payload.head)
            encodeExact(
                sources, vector, isBase: kind == .base, entropy: settings.entropy, digests, threads: threads,
                totals: &totals, into: &payload)
        }
        try vector.failure.check()
        scopes.append(payload)
        histories.append(history)
    }

    /// Encodes a vector by buckets; returns its symbols for the next frame.
    private mutating func encode(
        _ vector: ScopeVector, _ buckets: BucketTable, _ few: FewDeltas?, _ entropy: CodecSettings.Entropy,
        _ digests: SectionDigests, into payload: inout ScopePayload
    ) throws(CodecError) -> [UInt8]? {
        let previous = context?.history?.symbols(
            scope: scopes.count, count: vector.layout.count, of: baseDigest)
        var next: [UInt8]?
        if keepsHistory { next = [UInt8](repeating: 0, count: vector.layout.count) }
        try withPointer(to: previous) { (previous) throws(CodecError) in
            try withMutablePointer(to: &next) { (next) throws(CodecError) in
                let encoder = QuantizedEncoder(
                    vector: vector, buckets: buckets, few: few, entropy: entropy, previous: previous,
                    history: next, threads: threads, digests: digests)
                try encoder.encode(totals: &totals, into: &payload)
            }
        }
        return next
    }

    /// Encodes a vector to an error, if that can be done; returns its symbols for the next frame.
    private mutating func encode(
        _ vector: ScopeVector, error: Double, _ entropy: CodecSettings.Entropy, _ digests: SectionDigests,
        into payload: inout ScopePayload
    ) throws(CodecError) -> [UInt8]? {
        let count = vector.layout.count
        let previous = context?.history?.symbols(scope: scopes.count, count: count, of: baseDigest)
        var next: [UInt8]?
        if keepsHistory { next = [UInt8](repeating: 0, count: count) }
        let findings = withPointer(to: previous) { previous in
            withMutablePointer(to: &next) { next in
                encodeUniform(
                    vector, error: error, previous: previous, history: next, digests, threads: threads)
            }
        }
        try vector.failure.check()
        switch findings {
        case .levels(let result):
            ScopeTag(.auto, hasExceptions: !result.exceptions.isEmpty)
                .write(elements: count, into: &payload.head)
            result.head.write(into: &payload.head)
            write(result.exceptions, vector.layout, into: &payload.head)
            payload.append(result.stream)
            totals.entropyBits += result.entropyBits
            totals.error += result.error
            totals.norm += result.norm
            if result.usesPrevious { totals.usesPrevious = true }
            return next
        case .buckets(let buckets):
            return try encode(
                vector, buckets, nil, entropy == .quick ? .quick : .best, digests, into: &payload)
        case .neither(let mostBits):
            // Where deltas are very small buckets may keep to an error that uniform steps don't.
            guard !vector.layout.isRoot,
                let buckets = fewestBuckets(
                    vector, error: error, budget: nil, mostBits: mostBits, threads: threads)
            else { return nil }
            return try encode(
                vector, buckets, nil, entropy == .quick ? .quick : .best, digests, into: &payload)
        }
    }

    private func check(_ sources: [SectionSource], _ settings: CodecSettings) throws(CodecError) {
        var added: Set<[UInt8]> = []
        guard !sources.isEmpty else { throw CodecError(.invalidArgument, "a scope needs a section") }
        guard sections.count + sources.count <= FrameLimits.default.maximumSections else {
            throw CodecError(
                .limitExceeded, "a frame holds at most \(FrameLimits.default.maximumSections) sections")
        }
        if case .lc(let bits?) = settings.kind, !(1...16).contains(bits) {
            throw CodecError(.invalidArgument, "bits is \(bits) and must be 1 to 16, or all")
        }
        if case .auto(let error) = settings.kind, !(error > 0 && error < 1) {
            throw CodecError(.invalidArgument, "error is \(error) and must lie between 0 and 1")
        }
        for source in sources {
            let name = Array(source.name.utf8)
            guard name.count <= FrameLimits.nameBytes, !names.contains(name), added.insert(name).inserted
            else {
                throw CodecError(
                    .invalidArgument, "section \(source.name) comes twice or its name is too long")
            }
            guard source.target.count == source.reconstruction.count,
                source.target.count % source.format.byteCount == 0
            else {
                throw CodecError(
                    .layoutMismatch,
                    "section \(source.name) has \(source.target.count) bytes and its reconstruction \(source.reconstruction.count)"
                )
            }
            if case .passing = source.reconstruction, settings.domain == .squareRoots {
                throw CodecError(
                    .invalidArgument, "section \(source.name) must be in memory for square roots")
            }
            if settings.kind != .exact, !source.format.isFloatingPoint, kind == .delta {
                throw CodecError(.invalidArgument, "section \(source.name) isn't floating-point: use exact")
            }
        }
    }
}
