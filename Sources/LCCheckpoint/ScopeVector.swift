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

/// A vector's memory: what is to be encoded, if there is anything, and the reconstruction.
struct ScopeVector {
    private(set) var layout: VectorLayout
    private let targets: [UnsafeRawBufferPointer]
    /// Nil for a section that isn't wanted.
    let reconstructions: [UnsafeMutableRawBufferPointer?]

    init(_ sources: [SectionSource], isRoot: Bool = false) {
        layout = VectorLayout(
            sources.map { ($0.format, $0.target.count / $0.format.byteCount) }, isRoot: isRoot)
        targets = sources.map(\.target)
        reconstructions = sources.map(\.reconstruction)
    }

    /// The same memory as the elements themselves.
    var withoutRoots: ScopeVector {
        var plain = self
        plain.layout.isRoot = false
        return plain
    }

    init(_ members: [ScopeMember], isRoot: Bool = false) {
        layout = VectorLayout(members.map { ($0.format, $0.elementCount) }, isRoot: isRoot)
        targets = []
        reconstructions = members.map(\.bytes)
    }

    private func bytes(
        _ buffer: UnsafeRawBufferPointer, _ format: ElementFormat, _ elements: Range<Int>
    ) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            rebasing: buffer[
                (elements.lowerBound * format.byteCount)..<(elements.upperBound * format.byteCount)])
    }

    /// The targets of some elements: where they lie if they can be used as they are, else converted into `scratch`.
    func target(_ range: Range<Int>, _ scratch: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
        let parts = layout.parts(of: range)
        for part in parts {
            let format = layout.formats[part.member]
            let source = bytes(targets[part.member], format, part.elements)
            if parts.count == 1, !layout.isRoot, let direct = floats(format, source) { return direct }
            let values = UnsafeMutableBufferPointer(start: scratch + part.offset, count: part.elements.count)
            format.widen(source, into: values)
            if layout.isRoot { for index in values.indices { values[index] = root(values[index]) } }
        }
        return UnsafePointer(scratch)
    }

    /// The reconstruction of some elements, likewise; `isDirect` when changing it changes the sections.
    func reconstruction(
        _ range: Range<Int>, _ scratch: UnsafeMutablePointer<Float>
    ) -> (floats: UnsafeMutablePointer<Float>, isDirect: Bool) {
        let parts = layout.parts(of: range)
        for part in parts {
            guard let own = reconstructions[part.member] else { continue }
            let format = layout.formats[part.member]
            let source = bytes(UnsafeRawBufferPointer(own), format, part.elements)
            if parts.count == 1, !layout.isRoot, let direct = floats(format, source) {
                return (UnsafeMutablePointer(mutating: direct), true)
            }
            let values = UnsafeMutableBufferPointer(start: scratch + part.offset, count: part.elements.count)
            format.widen(source, into: values)
            if layout.isRoot { for index in values.indices { values[index] = root(values[index]) } }
        }
        return (scratch, false)
    }

    /// Rounds a reconstruction to what its sections hold.
    func round(_ range: Range<Int>, _ floats: UnsafeMutablePointer<Float>) {
        for part in layout.parts(of: range) {
            let values = UnsafeMutableBufferPointer(start: floats + part.offset, count: part.elements.count)
            if layout.isRoot { for index in values.indices { values[index] = square(values[index]) } }
            layout.formats[part.member].round(values)
        }
    }

    /// Writes a reconstruction that isn't direct back to its sections.
    func store(_ range: Range<Int>, _ floats: UnsafeMutablePointer<Float>) {
        for part in layout.parts(of: range) {
            guard let own = reconstructions[part.member] else { continue }
            let format = layout.formats[part.member]
            let width = format.byteCount
            format.narrow(
                UnsafeBufferPointer(start: floats + part.offset, count: part.elements.count),
                into: UnsafeMutableRawBufferPointer(
                    rebasing: own[(part.elements.lowerBound * width)..<(part.elements.upperBound * width)]))
        }
    }

    /// The bits of a target's element.
    func pattern(_ element: Int) -> UInt64 {
        let member = layout.member(of: element)
        let width = layout.formats[member].byteCount
        var pattern: UInt64 = 0
        for byte in 0..<width {
            let value = targets[member][(element - layout.starts[member]) * width + byte]
            pattern |= UInt64(value) << UInt64(8 * byte)
        }
        return pattern
    }

    /// Sets the bits of a reconstruction's element.
    func set(_ element: Int, _ pattern: UInt64) {
        let member = layout.member(of: element)
        guard let own = reconstructions[member] else { return }
        let width = layout.formats[member].byteCount
        for byte in 0..<width {
            own[(element - layout.starts[member]) * width + byte] = UInt8(
                truncatingIfNeeded: pattern >> UInt64(8 * byte))
        }
    }
}

/// The square root, correctly rounded.
@inline(__always)
func root(_ value: Float) -> Float { value.squareRoot() }

/// What a root stands for: nothing below zero.
@inline(__always)
func square(_ root: Float) -> Float { root > 0 ? root * root : 0 }
