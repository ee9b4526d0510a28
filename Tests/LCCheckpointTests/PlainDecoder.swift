/// A second decoder of frames, written from docs/formats/frame.md: slow, and with nothing shared with the library.
/// Checks checksum and digests, and else little: it is for good frames.
struct PlainDecoder {
    struct Refused: Error {}
    var bytes: [UInt8]
    var at = 0
    /// The symbols that stand above a stream's: the previous frame's of this scope, or the plane's before.
    var previous: [Int]
    /// Whether a stream's contexts looked at them.
    var usesPrevious = false
    var coders: Set<UInt8> = []

    init(_ bytes: [UInt8], previous: [Int] = []) {
        self.bytes = bytes
        self.previous = previous
    }

    static func decode(_ frame: [UInt8], onto state: [Float]) throws -> [Float] {
        var previous: [Int] = []
        return try decode(frame, onto: state, symbols: &previous)
    }

    /// Decodes a frame of one Float32 section.
    ///
    /// - Parameter symbols: those of the frame before, empty if there are none; then this frame's.
    static func decode(_ frame: [UInt8], onto previous: [Float], symbols: inout [Int]) throws -> [Float] {
        let bytes = previous.withUnsafeBytes { Array($0) }
        let section = PlainState.Section(name: Array("p".utf8), format: 0, bytes: bytes)
        let state = try decode(frame, onto: PlainState(sections: [section], symbols: [symbols]))
        guard state.sections.count == 1, state.sections[0].format == 0 else { throw Refused() }
        symbols = state.symbols[0]
        return (0..<state.sections[0].count).map { state.sections[0].float($0) }
    }

    /// Decodes any frame. A base doesn't look at the state.
    static func decode(_ frame: [UInt8], onto state: PlainState) throws -> PlainState {
        var reader = PlainDecoder(Array(frame.dropLast(8)))
        guard try reader.take(5) == [0x56, 0x4c, 0x43, 0x46, 5] else { throw Refused() }
        let flags = try reader.take(1)[0]
        let isBase = flags & 1 == 0
        guard flags < 32, flags & 20 != 20, !isBase || flags == 0, try reader.number(6) == frame.count else {
            throw Refused()
        }
        var end = PlainDecoder(Array(frame.suffix(8)))
        guard PlainDigest.of64(reader.bytes) == (try end.number(8) as UInt64) else { throw Refused() }
        _ = try reader.varint()
        if !isBase { guard try reader.take(16) == state.digest.bytes else { throw Refused() } }
        let digest = try reader.take(16)
        var result = PlainState(sections: state.sections)
        if flags & 2 != 0 {
            result.group(try reader.take(1)[0])
        } else {
            result.sections = try reader.layout(isBase ? nil : state)
        }
        let before = state.metadata
        if flags & 16 != 0 {
            let (prefix, suffix) = (try reader.varint(), try reader.varint())
            let own = try reader.take(try reader.varint())
            guard prefix + suffix <= before.count else { throw Refused() }
            result.metadata = before.prefix(prefix) + own + before.suffix(suffix)
        } else {
            result.metadata = flags & 4 != 0 ? before : try reader.take(try reader.varint())
        }
        for index in 0..<(try reader.varint()) {
            let symbols = state.symbols.indices.contains(index) ? state.symbols[index] : []
            var scope = PlainDecoder(try reader.take(try reader.varint()), previous: symbols)
            try scope.scope(index, of: &result, isBase)
            guard scope.at == scope.bytes.count else { throw Refused() }
            if scope.usesPrevious { reader.usesPrevious = true }
            result.coders.formUnion(scope.coders)
        }
        let padding = isBase ? try reader.take(try reader.varint()) : []
        guard padding.allSatisfy({ $0 == 0 }), reader.at == reader.bytes.count,
            reader.usesPrevious == (flags & 8 != 0),
            result.digest.bytes == digest
        else { throw Refused() }
        return result
    }

    mutating func take(_ count: Int) throws -> [UInt8] {
        guard count >= 0, at + count <= bytes.count else { throw Refused() }
        defer { at += count }
        return Array(bytes[at..<(at + count)])
    }

    mutating func number<Number: FixedWidthInteger>(_ count: Int) throws -> Number {
        try take(count).reversed().reduce(0) { $0 << 8 | Number($1) }
    }

    mutating func varint() throws -> Int {
        let byte = Int(try take(1)[0])
        return byte < 128 ? byte : (byte - 128) + 128 * (try varint())
    }

    /// - Parameter state: what a delta builds on.
    private mutating func layout(_ state: PlainState?) throws -> [PlainState.Section] {
        try (0..<(try varint())).map { _ in
            let format = try take(1)[0]
            let (scope, count) = (try varint(), try varint())
            let name = try take(try varint())
            let size = count * PlainState.Section.width(format)
            var section = PlainState.Section(
                name: name, format: format, bytes: Array(repeating: 0, count: size), scope: scope)
            guard let state else { return section }
            guard let own = state.sections.first(where: { $0.name == name }), own.format == format,
                own.bytes.count == size
            else { throw Refused() }
            section.bytes = own.bytes
            return section
        }
    }

    /// Decodes a scope's elements in place.
    private mutating func scope(_ index: Int, of state: inout PlainState, _ isBase: Bool) throws {
        let first = try take(1)[0]
        let codec = first & 3
        let hasExceptions = first & 4 != 0
        let elements = state.elements(ofScope: index)
        guard try varint() == elements.count, codec < 3, codec == 0 || !isBase, codec == 1 || first < 8 else {
            throw Refused()
        }
        if previous.count != elements.count { previous = [] }
        var symbols: [Int] = []
        switch codec {
        case 0: try exact(&state, elements, isBase)
        case 1: symbols = try lc(&state, elements, hasExceptions)
        default: symbols = try auto(&state, elements, hasExceptions)
        }
        state.symbols.append(symbols)
    }

    private mutating func exact(
        _ state: inout PlainState, _ elements: [PlainState.Element], _ isBase: Bool
    ) throws {
        var runs: [(width: Int, count: Int)] = []
        for _ in 0..<(try varint()) { runs.append((Int(try take(1)[0]), try varint())) }
        guard runs.reduce(0, { $0 + $1.count }) == elements.count else { throw Refused() }
        var start = 0
        for (index, (width, count)) in runs.enumerated() {
            let own = elements[start..<(start + count)]
            start += count
            guard own.allSatisfy({ state.sections[$0.section].width == width }) else { throw Refused() }
            var words = [UInt64](repeating: 0, count: count)
            previous = []
            for plane in (0..<width).reversed() {
                let symbols = try stream(count, 256, isLast: index == runs.count - 1 && plane == 0)
                for (index, symbol) in symbols.enumerated() {
                    words[index] |= UInt64(symbol) << UInt64(8 * plane)
                }
                previous = symbols
            }
            for (word, element) in zip(words, own) {
                let difference = word & 1 == 0 ? word / 2 : ~(word / 2)
                state[element] = isBase ? word : state[element] &+ difference
            }
        }
        // The planes' contexts aren't the previous frame's symbols.
        usesPrevious = false
    }

    private mutating func lc(
        _ state: inout PlainState, _ elements: [PlainState.Element], _ hasExceptions: Bool
    ) throws -> [Int] {
        let count = try varint()
        var bits = Bits(self)
        var values: [Float] = [0]
        var ranks: [Int] = []
        for bucket in 0..<count {
            ranks.append(bucket == 0 ? bits.read(9) : ranks[bucket - 1] + bits.gamma())
        }
        let zeros = count > 1 ? bits.gamma() - 1 : 0
        guard zeros <= 23 else { throw Refused() }
        for rank in ranks {
            let exponent = 254 - rank / 2
            let digits = min(23, exponent - (254 - ranks[count - 1] / 2) + 23 - zeros)
            let pattern = (rank % 2) << 31 | exponent << 23 | bits.read(digits) << (23 - digits)
            values.append(Float(bitPattern: UInt32(pattern)))
        }
        _ = try take(bits.byteCount)
        return try quantized(&state, elements, values, hasExceptions) { $0 + $1 }
    }

    private mutating func auto(
        _ state: inout PlainState, _ elements: [PlainState.Element], _ hasExceptions: Bool
    ) throws -> [Int] {
        let flags = try take(1)[0]
        let isRoot = flags & 1 != 0
        _ = try take(4)
        let highest = try varint()
        var values: [Float] = [0]
        if highest > 0 {
            let step = Float(bitPattern: try number(4))
            let places = try take(min(highest, 9)).map { Int(Int8(bitPattern: $0)) }
            for level in 1...highest {
                let value = Float(256 * level + places[min(level, 9) - 1]) * (step / 256)
                values += [value, -value]
            }
        }
        if flags & 2 != 0 {
            var bits = Bits(self)
            var listed = [0]
            for _ in 0..<bits.gamma() { listed.append(listed[listed.count - 1] + bits.gamma()) }
            _ = try take(bits.byteCount)
            values = listed.map { values[$0] }
        }
        return try quantized(&state, elements, values, hasExceptions) { old, value in
            guard isRoot else { return old + value }
            let root = old.squareRoot() + value
            return root > 0 ? root * root : 0
        }
    }

    /// Reads exceptions and symbols, and applies the symbols' values, then the exceptions.
    private mutating func quantized(
        _ state: inout PlainState, _ elements: [PlainState.Element], _ values: [Float], _ hasExceptions: Bool,
        _ sum: (Float, Float) -> Float
    ) throws -> [Int] {
        var exceptions: [(PlainState.Element, UInt64)] = []
        var next = 0
        let count = hasExceptions ? try varint() : 0
        let length = count > 0 ? try varint() : 0
        let end = at + length
        for _ in 0..<count {
            next += try varint()
            guard next < elements.count else { throw Refused() }
            exceptions.append((elements[next], try number(state.sections[elements[next].section].width)))
            next += 1
        }
        guard at == end else { throw Refused() }
        let symbols = try stream(elements.count, values.count, isLast: true)
        for (element, symbol) in zip(elements, symbols) {
            let old = state.sections[element.section].float(element.index)
            state.sections[element.section].set(element.index, sum(old, values[symbol]))
        }
        for (element, bits) in exceptions { state[element] = bits }
        return symbols
    }
}

extension PlainState {
    struct Element {
        var section: Int
        var index: Int
    }

    /// A scope's vector.
    func elements(ofScope scope: Int) -> [Element] {
        sections.indices.filter { sections[$0].scope == scope }
            .flatMap { section in (0..<sections[section].count).map { Element(section: section, index: $0) } }
    }

    subscript(element: Element) -> UInt64 {
        get { sections[element.section][element.index] }
        set { sections[element.section][element.index] = newValue }
    }

    /// Gives sections their scopes where a layout is inherited.
    mutating func group(_ grouping: UInt8) {
        var floating = 0
        for index in sections.indices where sections[index].isFloating {
            sections[index].scope = grouping == 1 ? floating : 0
            floating += 1
        }
        let others = grouping == 1 ? floating : min(floating, 1)
        for index in sections.indices where !sections[index].isFloating { sections[index].scope = others }
    }
}
