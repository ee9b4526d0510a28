// A scope's sections end to end, as one vector of Float32 that is looked at in pieces.

/// The buffer as floats, if it needs no conversion.
func floats(_ format: ElementFormat, _ bytes: UnsafeRawBufferPointer) -> UnsafePointer<Float>? {
    guard format == .float32, Int(bitPattern: bytes.baseAddress) % MemoryLayout<Float>.alignment == 0 else {
        return nil
    }
    return bytes.baseAddress?.assumingMemoryBound(to: Float.self)
}

/// A part of a vector that lies in one section.
struct VectorPart {
    var member: Int
    /// Within the section.
    var elements: Range<Int>
    /// Within the piece that was asked for.
    var offset: Int
}

/// Which elements of a vector lie in which section.
struct VectorLayout: Sendable {
    let formats: [ElementFormat]
    /// Where each section begins, and the end.
    let starts: [Int]
    /// The vector is that of the elements' square roots.
    var isRoot: Bool

    var count: Int { starts[formats.count] }
    /// Elements need neither be widened nor rounded.
    var isFloat32: Bool { formats.allSatisfy { $0 == .float32 } }

    init(_ sections: [(format: ElementFormat, elementCount: Int)], isRoot: Bool = false) {
        self.isRoot = isRoot
        formats = sections.map(\.format)
        var starts = [0]
        for section in sections { starts.append(starts[starts.count - 1] + section.elementCount) }
        self.starts = starts
    }

    /// The section of an element.
    func member(of element: Int) -> Int {
        var low = 0
        var high = formats.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if starts[middle] <= element { low = middle } else { high = middle - 1 }
        }
        return low
    }

    func parts(of range: Range<Int>) -> [VectorPart] {
        guard !range.isEmpty else { return [] }
        var parts: [VectorPart] = []
        var member = member(of: range.lowerBound)
        while member < formats.count, starts[member] < range.upperBound {
            let own = range.clamped(to: starts[member]..<starts[member + 1])
            if !own.isEmpty {
                parts.append(
                    VectorPart(
                        member: member,
                        elements: (own.lowerBound - starts[member])..<(own.upperBound - starts[member]),
                        offset: own.lowerBound - range.lowerBound))
            }
            member += 1
        }
        return parts
    }
}

/// A vector's sections: what is to be encoded, if there is anything, and the reconstruction; in memory, or passing through it.
struct ScopeVector {
    private(set) var layout: VectorLayout
    private let targets: [SectionBytes]
    /// Nil for a section that isn't wanted.
    private let states: [SectionState?]
    /// What went wrong with sections that aren't in memory.
    let failure: StreamFailure

    init(_ sources: [SectionSource], isRoot: Bool = false, failure: StreamFailure = StreamFailure()) {
        self.failure = failure
        layout = VectorLayout(
            sources.map { ($0.format, $0.target.count / $0.format.byteCount) }, isRoot: isRoot)
        targets = sources.map(\.target)
        states = sources.map(\.reconstruction)
    }

    /// The same memory as the elements themselves.
    var withoutRoots: ScopeVector {
        var plain = self
        plain.layout.isRoot = false
        return plain
    }

    init(_ members: [ScopeMember], isRoot: Bool = false) {
        failure = StreamFailure()
        layout = VectorLayout(members.map { ($0.format, $0.elementCount) }, isRoot: isRoot)
        targets = []
        states = members.map(\.state)
    }

    /// The targets of some elements: where they lie if they can be used as they are, else converted into `scratch`.
    func target(_ range: Range<Int>, _ scratch: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
        let parts = layout.parts(of: range)
        for part in parts {
            if let direct = load(targets[part.member], part, isWhole: parts.count == 1, into: scratch) {
                return direct
            }
        }
        return UnsafePointer(scratch)
    }

    /// The reconstruction of some elements, likewise; `isDirect` when changing it changes the sections.
    func reconstruction(
        _ range: Range<Int>, _ scratch: UnsafeMutablePointer<Float>
    ) -> (floats: UnsafeMutablePointer<Float>, isDirect: Bool) {
        let parts = layout.parts(of: range)
        for part in parts {
            guard let state = states[part.member] else { continue }
            let direct = load(state.bytes, part, isWhole: parts.count == 1, into: scratch)
            if let direct { return (UnsafeMutablePointer(mutating: direct), true) }
        }
        return (scratch, false)
    }

    /// Converts a part of a section into `scratch`, unless it is all that was asked for and can be used where it lies.
    private func load(
        _ section: SectionBytes, _ part: VectorPart, isWhole: Bool, into scratch: UnsafeMutablePointer<Float>
    ) -> UnsafePointer<Float>? {
        let format = layout.formats[part.member]
        let width = format.byteCount
        let values = UnsafeMutableBufferPointer(start: scratch + part.offset, count: part.elements.count)
        let place = (part.elements.lowerBound * width)..<(part.elements.upperBound * width)
        switch section {
        case .memory(let bytes):
            let own = UnsafeRawBufferPointer(rebasing: bytes[place])
            if isWhole, !layout.isRoot, let direct = floats(format, own) { return direct }
            format.widen(own, into: values)
        case .source(let source, let offset, _) where format == .float32:
            source.read(at: offset + place.lowerBound, into: UnsafeMutableRawBufferPointer(values), failure)
        case .source(let source, let offset, _):
            withCopy(of: source, at: offset, place) {
                format.widen(UnsafeRawBufferPointer(start: $0, count: place.count), into: values)
            }
        }
        if layout.isRoot { for index in values.indices { values[index] = root(values[index]) } }
        return nil
    }

    /// Rounds a reconstruction to what its sections hold.
    func round(_ range: Range<Int>, _ floats: UnsafeMutablePointer<Float>) {
        for part in layout.parts(of: range) {
            let values = UnsafeMutableBufferPointer(start: floats + part.offset, count: part.elements.count)
            if layout.isRoot { for index in values.indices { values[index] = square(values[index]) } }
            layout.formats[part.member].round(values)
        }
    }

    /// Makes some elements of the sections what was reconstructed, and exceptions what they are. What passes through memory is
    /// digested and handed on, which must be done once for each element.
    ///
    /// - Parameter exceptions: of this range, in order.
    func store(
        _ range: Range<Int>, _ floats: UnsafeMutablePointer<Float>, isDirect: Bool,
        exceptions: ArraySlice<ExceptionalElement>, digests: SectionDigests?
    ) {
        for part in isDirect && exceptions.isEmpty ? [] : layout.parts(of: range) {
            guard let state = states[part.member] else { continue }
            let format = layout.formats[part.member]
            let width = format.byteCount
            let start = layout.starts[part.member]
            let own = UnsafeBufferPointer(start: floats + part.offset, count: part.elements.count)
            let place = (part.elements.lowerBound * width)..<(part.elements.upperBound * width)
            func finish(_ bytes: UnsafeMutableRawBufferPointer, isThere: Bool) {
                if !isThere { format.narrow(own, into: bytes) }
                let elements = (start + part.elements.lowerBound)..<(start + part.elements.upperBound)
                for exception in exceptions.within(elements) {
                    let offset = (exception.index - start) * width - place.lowerBound
                    for byte in 0..<width {
                        bytes[offset + byte] = UInt8(
                            truncatingIfNeeded: exception.pattern >> UInt64(8 * byte))
                    }
                }
            }
            switch state {
            case .memory(let bytes):
                finish(UnsafeMutableRawBufferPointer(rebasing: bytes[place]), isThere: isDirect)
            case .passing where format == .float32:
                let bytes = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(mutating: own))
                finish(bytes, isThere: true)
                handOn(part.member, place, UnsafeRawBufferPointer(bytes), digests)
            case .passing:
                withUnsafeTemporaryAllocation(byteCount: place.count, alignment: 8) { raw in
                    finish(raw, isThere: false)
                    handOn(part.member, place, UnsafeRawBufferPointer(raw), digests)
                }
            }
        }
    }

    /// Digests bytes of a reconstruction that passes through memory, and lets them go.
    func handOn(
        _ member: Int, _ place: Range<Int>, _ bytes: UnsafeRawBufferPointer, _ digests: SectionDigests?
    ) {
        guard case .passing(_, _, _, let sink) = states[member] else { return }
        digests?.feed(section: member, at: place.lowerBound, bytes)
        guard let sink else { return }
        do throws(CodecError) {
            try sink.sink.write(bytes, at: sink.offset + place.lowerBound)
        } catch {
            failure.note(error)
        }
    }

    /// Some bytes of a section's target, where they lie or copied.
    func withTarget(_ member: Int, _ place: Range<Int>, _ body: (UnsafePointer<UInt8>) -> Void) {
        switch targets[member] {
        case .memory(let bytes):
            if let start = bytes.baseAddress {
                body((start + place.lowerBound).assumingMemoryBound(to: UInt8.self))
            }
        case .source(let source, let offset, _):
            withCopy(of: source, at: offset, place) { body(UnsafePointer($0)) }
        }
    }

    /// Some bytes of a section's reconstruction likewise; nothing where it isn't wanted.
    func withState(_ member: Int, _ place: Range<Int>, _ body: (UnsafeMutablePointer<UInt8>) -> Void) {
        switch states[member] {
        case .memory(let bytes):
            if let start = bytes.baseAddress {
                body((start + place.lowerBound).assumingMemoryBound(to: UInt8.self))
            }
        case .passing(let source, let offset, _, _): withCopy(of: source, at: offset, place, body)
        case nil: break
        }
    }

    private func withCopy(
        of source: any ByteSource, at offset: Int, _ place: Range<Int>,
        _ body: (UnsafeMutablePointer<UInt8>) -> Void
    ) {
        withUnsafeTemporaryAllocation(byteCount: place.count, alignment: 8) { raw in
            source.read(at: offset + place.lowerBound, into: raw, failure)
            if let start = raw.baseAddress { body(start.assumingMemoryBound(to: UInt8.self)) }
        }
    }

    /// Makes bytes of a section's reconstruction what they are elsewhere.
    func replace(
        _ member: Int, _ place: Range<Int>, with bytes: UnsafePointer<UInt8>, _ digests: SectionDigests?
    ) {
        let bytes = UnsafeRawBufferPointer(start: bytes, count: place.count)
        if case .memory(let own) = states[member] {
            UnsafeMutableRawBufferPointer(rebasing: own[place]).copyMemory(from: bytes)
        } else {
            handOn(member, place, bytes, digests)
        }
    }

    /// The bits of a target's element.
    func pattern(_ element: Int) -> UInt64 {
        let member = layout.member(of: element)
        let width = layout.formats[member].byteCount
        let offset = (element - layout.starts[member]) * width
        var pattern: UInt64 = 0
        withTarget(member, offset..<(offset + width)) { bytes in
            for byte in 0..<width { pattern |= UInt64(bytes[byte]) << UInt64(8 * byte) }
        }
        return pattern
    }
}

/// The square root, correctly rounded.
@inline(__always)
func root(_ value: Float) -> Float { value.squareRoot() }

/// What a root stands for: nothing below zero.
@inline(__always)
func square(_ root: Float) -> Float { root > 0 ? root * root : 0 }
