/// What an `auto` scope says before its symbols.
struct UniformHead {
    /// √(‖u − ũ‖² / ‖u‖²) as the writer found it, rounded up.
    var error: Float
    /// The error is measured, and the deltas are taken, between square roots.
    var isRoot: Bool
    var values: UniformValues
    /// The symbols of levels that occur, if they are numbered: ascending, without zero's.
    var listed: [Int]?

    /// Symbols that there may be in the stream.
    var alphabet: Int { 1 + (listed?.count ?? 2 * values.highest) }

    /// Value by symbol, or by a symbol's number.
    var table: [Float] {
        let all = values.table
        return listed.map { [0] + $0.map { all[$0] } } ?? all
    }

    func write(into output: inout [UInt8]) {
        output.append((isRoot ? 1 : 0) | (listed == nil ? 0 : 2))
        output.append(littleEndian: error.bitPattern)
        values.write(into: &output)
        guard let listed else { return }
        var writer = BitWriter()
        writer.append(gamma: UInt64(listed.count))
        var last = 0
        for symbol in listed {
            writer.append(gamma: UInt64(symbol - last))
            last = symbol
        }
        output += writer.finish()
    }

    init(error: Double, isRoot: Bool, values: UniformValues, listed: [Int]?) {
        let nearest = Float(error)
        self.error = Double(nearest) < error ? nearest.nextUp : nearest
        self.isRoot = isRoot
        self.values = values
        self.listed = listed
    }

    init(_ reader: inout ByteReader) throws(CodecError) {
        let flags = try reader.byte("domain")
        guard flags < 4 else {
            throw CodecError(.unsupported, "frame has deltas of kind \(flags), unknown to this version")
        }
        isRoot = flags & 1 != 0
        error = Float(bitPattern: try reader.integer(UInt32.self, "relative error"))
        guard error >= 0, error < .infinity else {
            throw .malformed("frame is damaged: a relative error of \(error)")
        }
        values = try UniformValues(&reader)
        listed = flags & 2 == 0 ? nil : try UniformHead.list(&reader, highest: values.highest)
    }

    private static func list(_ reader: inout ByteReader, highest: Int) throws(CodecError) -> [Int] {
        var bits = BitReader(reader.rest)
        var listed: [Int] = []
        var last = 0
        for _ in 0..<(try bits.gamma(below: 10, "levels")) {
            last += Int(try bits.gamma(below: 16, "level"))
            guard last <= 2 * highest else {
                throw .malformed("frame is damaged: a level beyond its highest")
            }
            listed.append(last)
        }
        guard bits.paddingIsZero else { throw .malformed("frame is damaged: bits after the levels") }
        _ = try reader.bytes(bits.bytesRead, "levels")
        return listed
    }
}
