// What the levels of the dead-zone quantizer stand for.

/// A step and, for each level, where in its interval the members lie.
///
/// Level k covers deltas of about k steps; its value is their centroid, to a 256th of a step for the first eight levels
/// and one place for all above.
struct UniformValues: Equatable {
    /// Levels with a place of their own.
    static let ownPlaces = 8

    /// Steps below this would lose bits when they are cut into 256.
    static let smallestStep: Float = 0x1p-118

    var step: Float
    /// The largest level.
    var highest: Int
    /// 256ths of a step, added to the level: of levels 1 to 8, then of all above; as many as `highest` needs.
    var places: [Int8]

    static func placeCount(highest: Int) -> Int { min(highest, ownPlaces + 1) }

    /// The magnitude of a level, in Float32: (256·level + place) · (step / 256), rounded once.
    func magnitude(_ level: Int) -> Float {
        let place = places[min(level, UniformValues.ownPlaces + 1) - 1]
        return Float(256 * level + Int(place)) * (step / 256)
    }

    /// Value by symbol; symbol 0 is +0.
    var table: [Float] {
        var values: [Float] = [0]
        values.reserveCapacity(2 * highest + 1)
        for level in 0..<highest {
            let value = magnitude(level + 1)
            values.append(value)
            values.append(-value)
        }
        return values
    }

    func write(into output: inout [UInt8]) {
        output.append(varint: UInt64(highest))
        guard highest > 0 else { return }
        output.append(littleEndian: step.bitPattern)
        for place in places { output.append(UInt8(bitPattern: place)) }
    }

    init(step: Float, highest: Int, places: [Int8]) {
        self.step = step
        self.highest = highest
        self.places = places
    }

    init(_ rule: UniformRule, _ outcome: UniformOutcome) {
        self.init(
            step: rule.step, highest: outcome.highest,
            places: Array(outcome.places.prefix(UniformValues.placeCount(highest: outcome.highest))))
    }

    /// Reads and checks: a finite positive step whose largest value is finite.
    init(_ reader: inout ByteReader) throws(CodecError) {
        highest = try reader.count("highest level", atMost: Level.maximum)
        step = 0
        places = []
        guard highest > 0 else { return }
        step = Float(bitPattern: try reader.integer(UInt32.self, "step"))
        for byte in try reader.bytes(UniformValues.placeCount(highest: highest), "places of levels") {
            places.append(Int8(bitPattern: byte))
        }
        guard step >= UniformValues.smallestStep, step.isFinite,
            (1...min(highest, UniformValues.ownPlaces + 1)).allSatisfy({ magnitude($0).isFinite }),
            magnitude(highest).isFinite
        else { throw .malformed("frame is damaged: a step of \(step) for \(highest) levels") }
    }
}
