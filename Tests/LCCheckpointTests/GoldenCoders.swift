@testable import LCCheckpoint

/// Coders that an encoder wouldn't choose for states as small as golden ones.
enum GoldenCoder: Sendable {
    case groups
    case gaps
    case counted
    case mixed
    case scaled
    /// Of the sets of contexts that a survey of the symbols comes up with, the first that will do.
    case contexts(@Sendable (SymbolContexts) -> Bool)

    static let byName: [String: GoldenCoder] = [
        "lc3-groups": .groups, "lc3-gaps": .gaps, "lc1-gaps": .gaps, "lc3-counted": .counted,
        "all-counted": .counted, "lc3-mixed-runs": .mixed, "lc3-chain-mixed-runs": .mixed,
        "auto-scaled": .scaled, "auto-chain-scaled": .scaled,
        "lc2-one-lane": .contexts { $0.left.layout == .each && $0.wide },
        "lc3-four-lanes": .contexts { $0.left.layout == .zero && !$0.wide },
        "lc3-runs": .contexts { $0.left.layout == .none && !$0.wide },
        "lc3-hot-runs": .contexts { $0.left.layout == .zero && $0.wide },
        "lc3-chain": .contexts { $0.left.layout == .zero && $0.above.layout == .each && $0.wide },
        "lc3-chain-runs": .contexts { $0.left.layout == .none && $0.above.layout == .zero && $0.wide },
        "all": .contexts { $0.left.layout == .listed && !$0.wide },
    ]

    /// Encodes a frame of one section with this coder.
    ///
    /// - Parameters:
    ///   - first: the chain's frame before it.
    ///   - state: what the frame builds on; becomes what it yields.
    func encode(
        _ target: [Float], after first: EncodedFrame?, onto state: inout [Float], _ settings: CodecSettings
    ) throws -> EncodedFrame {
        let base = digest(state)
        var encoder = FrameEncoder(
            kind: .delta, step: 7, baseDigest: base, inheriting: first?.context, chained: true)
        try target.withUnsafeBufferPointer { target in
            try state.withUnsafeMutableBufferPointer { state in
                try encoder.add(section: "p", target: target, reconstruction: state, settings: settings)
            }
        }
        let previous = first?.context.history?.symbols(scope: 0, count: target.count, of: base)
        encoder.totals.usesPrevious = try withPointer(to: previous) { previous in
            try recode(&encoder.scopes[0], count: target.count, previous: previous)
        }
        return encoder.finish()
    }

    /// Codes a scope's symbols anew; says whether those of the frame before are used.
    private func recode(
        _ payload: inout ScopePayload, count: Int, previous: UnsafePointer<UInt8>?
    ) throws -> Bool {
        let bytes = payload.head + payload.blocks.flatMap { $0 }
        var coder = BlockCoder.raw
        payload = try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            let tag = try ScopeTag(&reader)
            _ = try reader.varint("elements")
            let alphabet =
                tag.codec == .auto
                ? try UniformHead(&reader).alphabet
                : try BucketValues(&reader, bits: tag.bits).values.count
            if tag.hasExceptions {
                _ = try reader.varint("exceptions")
                _ = try reader.bytes(try reader.count("length", atMost: bytes.count), "exceptions")
            }
            var payload = ScopePayload()
            payload.head = Array(bytes[..<(bytes.count - reader.rest.count)])
            var symbols = [UInt16](repeating: 0, count: count)
            try symbols.withUnsafeMutableBufferPointer {
                try decodeSymbols(&reader, alphabet: alphabet, previous: previous, into: $0)
            }
            let blockSize = BlockSize(symbols: count, estimatedBytes: 0)
            try symbols.withUnsafeBufferPointer { symbols in
                coder = try self.coder(symbols, previous, alphabet: alphabet, blockSize)
                payload.append(
                    encodeBlocks(SymbolView(symbols, previous: previous), coder, blockSize, threads: 1))
            }
            return payload
        }
        return coder.usesPrevious
    }

    private func coder(
        _ symbols: UnsafeBufferPointer<UInt16>, _ previous: UnsafePointer<UInt8>?, alphabet: Int,
        _ blockSize: BlockSize
    ) throws -> BlockCoder {
        let counts = histogram(symbols, alphabet: alphabet)
        switch self {
        case .groups:
            guard let code = GroupCode.best(counts: counts)?.code else { throw PlainDecoder.Refused() }
            return .groups(code)
        case .gaps:
            guard let sample = GapCode.Sample(SymbolView(symbols, previous: nil)) else {
                throw PlainDecoder.Refused()
            }
            return .gaps(GapCode.best(sample, alphabet: alphabet).code)
        case .counted: return .counted(alphabet: alphabet)
        case .mixed: return .mixed(usesPrevious: previous != nil)
        case .scaled:
            return .scaled(ScaledModel.best(SymbolView(symbols, previous: previous), counts: counts).model)
        case .contexts(let isWanted):
            let survey = ContextSurvey(
                SymbolView(symbols, previous: previous), counts: counts, blockSize: blockSize, isBlind: false)
            guard let contexts = survey.candidates().map(\.contexts).first(where: isWanted) else {
                throw PlainDecoder.Refused()
            }
            return .contexts(survey.model(contexts).0)
        }
    }
}
