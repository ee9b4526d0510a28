/// Restores one section of a chain, or a slice of it, without decoding what else its frames hold.
///
/// Frames are independent blocks of elements: only those that the slice touches are decoded. Each frame's checksum is
/// checked, and that each builds on the one before; the digest of the reconstruction covers the whole state and can't be.
public struct ChainSlice {
    /// What the last frame says of the section.
    public private(set) var section: SectionLayout
    /// The elements that were asked for.
    public let elements: Range<Int>
    /// Their bytes, once every frame was applied.
    public private(set) var bytes: [UInt8]
    /// The last frame's metadata.
    public let metadata: [UInt8]

    /// - Parameters:
    ///   - name: the section.
    ///   - elements: of the section; nil for all.
    ///   - frames: a base and the deltas after it, in order; each is called for twice, and must stay in place until the
    ///     next one is.
    ///   - count: the number of frames.
    /// - Throws: when a frame is damaged or doesn't follow the one before it, or when there is no such section.
    public init(
        of name: String, elements: Range<Int>? = nil, count: Int, threads: Int = 1,
        limits: FrameLimits = .default, frames: (_ index: Int) -> UnsafeRawBufferPointer
    ) throws(CodecError) {
        var place = 0
        var window = 0..<0
        var section: SectionLayout?
        // First what must be decoded: blocks differ in size from frame to frame, and a frame's block may need the symbols
        // that the frame before it has for all of the block.
        var log2 = BlockSize.smallest
        var context: FrameContext?
        var state: Digest?
        // What `frames` hands out stays while it is looked at: no copy is needed.
        let caller = Caller()
        for index in 0..<count {
            let frame = try Frame(
                parsing: frames(index), inheriting: context, limits: limits, keptBy: caller)
            guard frame.header.baseDigest == state else {
                throw CodecError(.baseMismatch, "frame \(index) doesn't build on the one before it")
            }
            guard
                let found = frame.header.sections.firstIndex(where: {
                    // By bytes: strings are equal that look the same.
                    $0.name.utf8.elementsEqual(name.utf8)
                })
            else {
                throw CodecError(.invalidArgument, "there is no section \(name)")
            }
            if let section, section.format != frame.header.sections[found].format || place != found {
                throw CodecError(.layoutMismatch, "section \(name) changes within the chain")
            }
            place = found
            section = frame.header.sections[found]
            log2 = max(log2, frame.scopes.map(\.blockLog2).max() ?? log2)
            context = frame.context
            state = frame.header.stateDigest
        }
        guard let section else { throw CodecError(.invalidArgument, "a chain without frames") }
        window = elements ?? 0..<section.elementCount
        guard window.lowerBound >= 0, window.upperBound <= section.elementCount else {
            throw CodecError(
                .invalidArgument, "section \(name) has \(section.elementCount) elements, not \(window)")
        }
        var memory = [UInt8](repeating: 0, count: section.byteCount)
        context = nil
        for index in 0..<count {
            let frame = try Frame(
                parsing: frames(index), inheriting: context, limits: limits, keptBy: caller)
            context = try frame.apply(
                section: place, elements: window, blockLog2: log2, to: &memory, isLast: index == count - 1,
                threads: threads)
        }
        self.section = section
        self.elements = window
        metadata = context?.metadata ?? []
        let width = section.format.byteCount
        // Where all were asked for they are there.
        memory.removeSubrange((window.upperBound * width)...)
        memory.removeSubrange(..<(window.lowerBound * width))
        bytes = memory
    }
}

/// Stands for whoever calls, and has the bytes.
private final class Caller: Sendable {}

extension ScopeLayout {
    /// Of the largest blocks.
    fileprivate var blockLog2: Int {
        switch content {
        case .exact: BlockSize.smallest
        case .quantized(let scope):
            scope.stream.bodies.isEmpty ? BlockSize.smallest : scope.stream.blockSize.log2
        }
    }
}

extension Frame {
    /// Applies what touches some elements of one section.
    fileprivate func apply(
        section place: Int, elements: Range<Int>, blockLog2: Int, to memory: inout [UInt8], isLast: Bool,
        threads: Int
    ) throws(CodecError) -> FrameContext {
        let scope = header.sections[place].scope
        let start = header.sections[..<place].reduce(0) { $0 + ($1.scope == scope ? $1.elementCount : 0) }
        var wanted = [Range<Int>](repeating: 0..<0, count: scopes.count)
        if !elements.isEmpty {
            let first = ((start + elements.lowerBound) >> blockLog2) << blockLog2
            let last = ((start + elements.upperBound - 1) >> blockLog2) + 1
            wanted[scope] = first..<min(last << blockLog2, scopes[scope].elementCount)
        }
        // withUnsafeMutableBytes knows only untyped errors.
        let outcome: Result<SymbolHistory?, CodecError> = memory.withUnsafeMutableBytes { memory in
            var sections = [SectionState?](repeating: nil, count: header.sections.count)
            sections[place] = .memory(memory)
            do throws(CodecError) {
                return .success(
                    try decode(
                        sections, wanted: wanted, keepsHistory: header.kind == .delta && !isLast,
                        threads: threads))
            } catch {
                return .failure(error)
            }
        }
        var context = context
        context.history = try outcome.get()
        return context
    }
}
