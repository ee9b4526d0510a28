@testable import LCCheckpoint

/// Makes the parts of a frame right that a change of its bytes makes wrong: magic, version, length and checksum.
enum FrameRepair {
    private static let least = FrameFormat.prefixBytes + FrameFormat.checksumBytes

    /// The bytes as one frame; nil when they are too few.
    static func signed(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard bytes.count >= least else { return nil }
        var frame = Array(bytes)
        sign(&frame)
        return frame
    }

    private static func sign(_ frame: inout [UInt8]) {
        frame.replaceSubrange(0..<4, with: FrameFormat.magic)
        frame[4] = FrameFormat.version
        for byte in 0..<6 { frame[6 + byte] = UInt8(truncatingIfNeeded: frame.count >> (8 * byte)) }
        let end = frame.count - FrameFormat.checksumBytes
        frame.set(frame.withUnsafeBytes { checksum64(UnsafeRawBufferPointer(rebasing: $0[..<end])) }, at: end)
    }

    /// Frames end to end, each with the digests of what it builds on and of what it yields, as far as they can be read.
    static func chain(_ bytes: UnsafeRawBufferPointer, limits: FrameLimits) -> [UInt8] {
        var output: [UInt8] = []
        var state = ChainState()
        var rest = bytes
        while rest.count >= least {
            let claimed = Frame.claimedByteCount(rest).map { Int(min($0, UInt64(rest.count))) } ?? rest.count
            var frame = Array(rest.prefix(max(claimed, least)))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(frame.count))
            state.mend(&frame, limits: limits)
            output += frame
        }
        return output + Array(rest)
    }

    /// What the frames so far yield.
    private struct ChainState {
        var sections: [[UInt8]] = []
        var context: FrameContext?
        var digest: Digest?

        mutating func mend(_ frame: inout [UInt8], limits: FrameLimits) {
            var place = FrameFormat.prefixBytes
            while place < frame.count, frame[place] & 0x80 != 0 { place += 1 }
            place += 1
            let isDelta = frame[5] & FrameFormat.delta != 0
            guard place + (isDelta ? 32 : 16) <= frame.count - FrameFormat.checksumBytes else { return }
            if isDelta, let digest {
                put(digest, into: &frame, at: place)
                place += 16
            }
            sign(&frame)
            guard !isDelta || digest != nil, let yield = digest(of: frame, isDelta: isDelta, limits: limits)
            else { return }
            put(yield, into: &frame, at: place)
            sign(&frame)
            advance(by: frame, isDelta: isDelta, limits: limits)
        }

        private func put(_ digest: Digest, into frame: inout [UInt8], at place: Int) {
            frame.set(digest.high, at: place)
            frame.set(digest.low, at: place + 8)
        }

        private func parse(_ frame: [UInt8], isDelta: Bool, limits: FrameLimits) -> Frame? {
            frame.withUnsafeBytes {
                try? Frame(parsing: $0, inheriting: isDelta ? context : nil, limits: limits)
            }
        }

        /// What the frame is decoded onto; nil when it doesn't fit.
        private func memory(for frame: Frame, isDelta: Bool) -> SectionMemory? {
            let sizes = frame.header.sections.map(\.byteCount)
            guard isDelta else { return SectionMemory(sizes.map { [UInt8](repeating: 0, count: $0) }) }
            return sections.map(\.count) == sizes ? SectionMemory(sections) : nil
        }

        /// The digest of what the frame yields; nil when it can't be decoded.
        private func digest(of frame: [UInt8], isDelta: Bool, limits: FrameLimits) -> Digest? {
            guard let frame = parse(frame, isDelta: isDelta, limits: limits),
                let memory = memory(for: frame, isDelta: isDelta),
                !frame.header.sections.isEmpty || frame.scopes.isEmpty
            else { return nil }
            do {
                _ = try frame.decode(
                    memory.bytes.map { .memory($0) }, wanted: nil, keepsHistory: false, threads: 1)
            } catch {
                return nil
            }
            return StateDigest.of(
                sections: zip(frame.header.sections, memory.bytes).map {
                    ($0.name, $0.format, UnsafeRawBufferPointer($1))
                }, metadata: frame.header.metadata)
        }

        private mutating func advance(by frame: [UInt8], isDelta: Bool, limits: FrameLimits) {
            guard let frame = parse(frame, isDelta: isDelta, limits: limits),
                let memory = memory(for: frame, isDelta: isDelta),
                let next = try? frame.apply(
                    toBytes: memory.bytes, expectingBase: isDelta ? digest : nil, chained: true)
            else { fatalError("a frame that was decoded for its digest can't be applied") }
            sections = memory.bytes.map { Array($0) }
            digest = frame.header.stateDigest
            context = next
        }
    }
}

/// Sections in memory of their own, each of its exact size, so that a byte too far is found.
final class SectionMemory {
    let bytes: [UnsafeMutableRawBufferPointer]

    init(_ sections: [[UInt8]]) {
        bytes = sections.map { section in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: section.count, alignment: 16)
            memory.copyBytes(from: section)
            return memory
        }
    }

    deinit { for section in bytes { section.deallocate() } }
}
