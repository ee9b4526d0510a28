// A scope carried bit for bit: the XOR with the previous state, cut into planes of bytes of the same significance,
// each plane a block of symbols. Neighbouring sections of one element width share their planes.

/// Sections next to each other whose elements are equally wide.
private struct PlaneRun {
    var width: Int
    var sections: Range<Int>
    var elementCount: Int

    static func split(_ sections: [(width: Int, elementCount: Int)]) -> [PlaneRun] {
        var runs: [PlaneRun] = []
        for (index, section) in sections.enumerated() {
            if let last = runs.last, last.width == section.width {
                runs[runs.count - 1].sections = last.sections.lowerBound..<(index + 1)
                runs[runs.count - 1].elementCount += section.elementCount
            } else {
                runs.append(
                    PlaneRun(
                        width: section.width, sections: index..<(index + 1),
                        elementCount: section.elementCount))
            }
        }
        return runs
    }
}

/// Appends an `exact` scope's payload and makes the reconstructions copies of the targets.
///
/// - Parameter isBase: the previous state is taken as zero bytes.
func encodeExact(
    _ sources: [SectionSource], isBase: Bool, entropy: CodecSettings.Entropy, totals: inout ScopeTotals,
    into output: inout [UInt8]
) {
    let runs = PlaneRun.split(
        sources.map { ($0.format.byteCount, $0.target.count / $0.format.byteCount) })
    for source in sources where source.format.isFloatingPoint { addNorm(source, &totals) }
    for run in runs {
        let symbols = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: run.elementCount)
        defer { symbols.deallocate() }
        for plane in 0..<run.width {
            var index = 0
            for source in sources[run.sections] {
                let target = source.target
                let previous = UnsafeRawBufferPointer(source.reconstruction)
                let count = target.count / run.width
                let part = UnsafeMutableBufferPointer(rebasing: symbols[index..<(index + count)])
                if isBase {
                    for element in 0..<count { part[element] = UInt16(target[element &* run.width &+ plane]) }
                } else {
                    for element in 0..<count {
                        let offset = element &* run.width &+ plane
                        part[element] = UInt16(target[offset] ^ previous[offset])
                    }
                }
                index += count
            }
            let counts = histogram(UnsafeBufferPointer(symbols), alphabet: 256)
            totals.entropyBits += entropyBits(counts)
            encodeSymbols(UnsafeBufferPointer(symbols), counts: counts, entropy: entropy, into: &output)
        }
    }
    for source in sources { source.reconstruction.copyMemory(from: source.target) }
}

/// Adds ‖u‖² of a floating section, whose error is nothing.
private func addNorm(_ source: SectionSource, _ totals: inout ScopeTotals) {
    let count = source.target.count / source.format.byteCount
    let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: min(count, 4096))
    defer { floats.deallocate() }
    var start = 0
    while start < count {
        let part = UnsafeMutableBufferPointer(rebasing: floats[..<min(4096, count - start)])
        let width = source.format.byteCount
        source.format.widen(
            UnsafeRawBufferPointer(rebasing: source.target[(start * width)..<((start + part.count) * width)]),
            into: part)
        for value in part where value.isFinite { totals.norm += Double(value) * Double(value) }
        start += part.count
    }
}

/// Decodes an `exact` scope's payload on top of the previous reconstructions, or over them for a base.
func decodeExact(_ reader: inout ByteReader, isBase: Bool, into members: [ScopeMember]) throws(CodecError) {
    if isBase {
        for member in members { _ = member.bytes.initializeMemory(as: UInt8.self, repeating: 0) }
    }
    for run in PlaneRun.split(members.map { ($0.format.byteCount, $0.elementCount) }) {
        let symbols = UnsafeMutableBufferPointer<UInt16>.allocate(capacity: run.elementCount)
        defer { symbols.deallocate() }
        for plane in 0..<run.width {
            try decodeSymbols(&reader, alphabet: 256, into: symbols)
            var index = 0
            for member in members[run.sections] {
                let part = UnsafeBufferPointer(rebasing: symbols[index..<(index + member.elementCount)])
                for element in part.indices {
                    member.bytes[element &* run.width &+ plane] ^= UInt8(truncatingIfNeeded: part[element])
                }
                index += part.count
            }
        }
    }
}
