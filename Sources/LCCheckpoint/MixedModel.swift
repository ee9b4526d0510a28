// The probabilities of quantized deltas: counters under several contexts, mixed.
//
// Each context's counter gives a probability that the next bit is 1. Their logits are summed with weights that learn
// online (Mahoney 2005, "Adaptive weighing of context models"). What an element is told from: the three before it, the
// activity of the recent past, and what happened to the same element in the frame before. Writer and reader run the
// same code in whole numbers.

/// What a symbol stands for: 0 nothing, 2k − 1 the level +k, 2k the level −k.
enum Level {
    /// Beyond this an element is carried as an exception.
    static let maximum = 16_383

    @inline(__always)
    static func magnitude(_ symbol: UInt16) -> Int { (Int(symbol) + 1) >> 1 }
    @inline(__always)
    static func isNegative(_ symbol: UInt16) -> Bool { symbol != 0 && symbol & 1 == 0 }
    @inline(__always)
    static func symbol(magnitude: Int, isNegative: Bool) -> UInt16 {
        magnitude == 0 ? 0 : UInt16(truncatingIfNeeded: 2 * magnitude - (isNegative ? 0 : 1))
    }
}

/// How much has lately happened: a fast and a slow decaying sum of magnitudes.
struct Activity {
    var fast: Int32 = 0
    var slow: Int32 = 0

    @inline(__always)
    mutating func note(_ magnitude: Int) {
        let weight = Int32(truncatingIfNeeded: min(magnitude, 15)) << 4
        fast = (fast &* 3) >> 2 &+ weight
        slow = slow &- slow >> 4 &+ weight
    }

    /// Eight zeros.
    @inline(__always)
    mutating func noteQuietGroup() {
        fast >>= 3
        slow = slow &- (slow &* 3) >> 3
    }

    /// 0 to 15.
    @inline(__always)
    var fastClass: Int { min(halfOctave(fast), 15) }
    /// 0 to 17.
    @inline(__always)
    var slowClass: Int { min(halfOctave(slow), 17) }
    /// Few enough nonzeros that eight elements are worth one question.
    @inline(__always)
    var isQuiet: Bool { slow < 16 }
}

/// 0 for 0, else 1 + two for each octave and one for its upper half.
@inline(__always)
func halfOctave(_ value: Int32) -> Int {
    guard value > 0 else { return 0 }
    let exponent = 31 - value.leadingZeroBitCount
    return exponent == 0 ? 1 : 1 + 2 * exponent + Int(value >> Int32(exponent - 1) & 1)
}

/// The counters and weights of one block.
struct MixedModel: ~Copyable {
    /// Elements that one question may cover.
    static let groupCount = 8
    /// Questions about an element: 0 is it nonzero, 1 is it negative, 2…13 is it beyond 1…12, 14 bits of an escape,
    /// 15 is there a nonzero in its group.
    private static let nodeCount = 16
    private static let groupNode = 15
    private static let escapeNode = 14
    private static let unaryEnd = 13

    private static let contextCounts = [64, 16 * 18, 5 * 9, 4 * 18]
    private static let base1 = 64 * nodeCount
    private static let base2 = base1 + 16 * 18 * nodeCount
    private static let base3 = base2 + 5 * 9 * nodeCount
    private static let counterLimit: UInt32 = 255

    private let counters: UnsafeMutablePointer<UInt32>
    private let counterCount: Int
    private let weights: UnsafeMutablePointer<Int32>
    private let stretch: UnsafeMutablePointer<Int16>
    private let squash: UnsafeMutablePointer<UInt16>
    private let reciprocals: UnsafeMutablePointer<Int64>
    private let hasPrevious: Bool

    /// Where each input's counters begin.
    private var place0 = 0
    private var place1 = 0
    private var place2 = 0
    private var place3 = 0

    private static let weightSets = 32

    init(hasPrevious: Bool) {
        self.hasPrevious = hasPrevious
        counterCount = MixedModel.contextCounts.reduce(0, +) * MixedModel.nodeCount
        counters = .allocate(capacity: counterCount)
        // One half, never seen.
        counters.initialize(repeating: 0x8000_0000, count: counterCount)
        weights = .allocate(capacity: 4 * MixedModel.weightSets)
        weights.initialize(repeating: hasPrevious ? 19_660 : 32_768, count: 4 * MixedModel.weightSets)
        let tables = LogisticTables.shared
        stretch = .allocate(capacity: 4096)
        for index in 0..<4096 { (stretch + index).initialize(to: tables.stretch[index]) }
        squash = .allocate(capacity: 4096)
        for index in 0..<4096 { (squash + index).initialize(to: tables.squash[index]) }
        reciprocals = .allocate(capacity: 256)
        for count in 0..<256 { (reciprocals + count).initialize(to: Int64(131_072 / (2 * count + 3))) }
    }

    deinit {
        counters.deallocate()
        weights.deallocate()
        stretch.deallocate()
        squash.deallocate()
        reciprocals.deallocate()
    }

    /// Codes a bit under the contexts at hand.
    @inline(__always)
    private mutating func code<Port: BitPort>(
        _ bit: UInt32, node: Int, set: Int, _ port: inout Port
    ) -> UInt32 {
        let c0 = counters + (place0 + node)
        let c1 = counters + (place1 + node)
        let s0 = Int32(stretch[Int(c0.pointee >> 20)])
        let s1 = Int32(stretch[Int(c1.pointee >> 20)])
        let w = weights + 4 * set
        var dot = Int64(w[0]) &* Int64(s0) &+ Int64(w[1]) &* Int64(s1)
        if hasPrevious {
            let c2 = counters + (place2 + node)
            let c3 = counters + (place3 + node)
            let s2 = Int32(stretch[Int(c2.pointee >> 20)])
            let s3 = Int32(stretch[Int(c3.pointee >> 20)])
            dot = dot &+ Int64(w[2]) &* Int64(s2) &+ Int64(w[3]) &* Int64(s3)
            let (coded, miss) = exchange(bit, dot, &port)
            w[2] = w[2] &+ ((s2 &* miss &+ 0x2000) >> 14)
            w[3] = w[3] &+ ((s3 &* miss &+ 0x2000) >> 14)
            learn(c2, coded)
            learn(c3, coded)
            w[0] = w[0] &+ ((s0 &* miss &+ 0x2000) >> 14)
            w[1] = w[1] &+ ((s1 &* miss &+ 0x2000) >> 14)
            learn(c0, coded)
            learn(c1, coded)
            return coded
        }
        let (coded, miss) = exchange(bit, dot, &port)
        w[0] = w[0] &+ ((s0 &* miss &+ 0x2000) >> 14)
        w[1] = w[1] &+ ((s1 &* miss &+ 0x2000) >> 14)
        learn(c0, coded)
        learn(c1, coded)
        return coded
    }

    /// Codes a bit with the mixed probability; returns it and by how much the probability missed it.
    @inline(__always)
    private func exchange<Port: BitPort>(
        _ bit: UInt32, _ dot: Int64, _ port: inout Port
    ) -> (coded: UInt32, miss: Int32) {
        let logit = Int(min(max(dot >> 16, -2047), 2047))
        let probability = UInt32(squash[logit + 2048])
        let coded = port.code(bit, probability: probability)
        return (coded, Int32(truncatingIfNeeded: coded << 16) &- Int32(truncatingIfNeeded: probability))
    }

    /// Moves a counter (22 bits of probability, 10 of how often it was seen) towards what happened.
    @inline(__always)
    private func learn(_ counter: UnsafeMutablePointer<UInt32>, _ bit: UInt32) {
        let seen = counter.pointee & 0x3ff
        let probability = Int64(counter.pointee >> 10)
        let goal: Int64 = bit != 0 ? 0x3f_ffff : 0
        let moved = probability &+ ((goal &- probability) &* reciprocals[Int(seen)]) >> 16
        counter.pointee =
            UInt32(truncatingIfNeeded: moved) << 10 | min(seen + 1, MixedModel.counterLimit)
    }

    /// Codes a block: a writer gives the symbols, a reader gets them.
    ///
    /// - Parameters:
    ///   - previous: the same elements' symbols in the frame before, clipped to 255.
    ///   - highest: the largest magnitude that may occur; a reader stops at one beyond.
    /// - Returns: false when a magnitude is beyond `highest`.
    mutating func code<Port: BitPort>(
        _ symbols: UnsafeMutableBufferPointer<UInt16>, previous: UnsafeBufferPointer<UInt8>?, highest: Int,
        _ port: inout Port
    ) -> Bool {
        let (base1, base2, base3) = (MixedModel.base1, MixedModel.base2, MixedModel.base3)
        var activity = Activity()
        // The symbols of the last three elements.
        var (last, last2, last3): (UInt16, UInt16, UInt16) = (0, 0, 0)
        var index = 0
        var groupEnd = 0
        while index < symbols.count {
            let slow = activity.slowClass
            let fast = activity.fastClass
            let recent =
                min(Level.magnitude(last), 3) << 4 | min(Level.magnitude(last2), 3) << 2
                | min(Level.magnitude(last3), 3)
            place0 = recent * MixedModel.nodeCount
            place1 = base1 + (fast * 18 + slow) * MixedModel.nodeCount
            if index >= groupEnd, activity.isQuiet, index + MixedModel.groupCount <= symbols.count {
                groupEnd = index + MixedModel.groupCount
                var isBusy: UInt32 = 0
                for place in index..<groupEnd where symbols[place] != 0 { isBusy = 1 }
                if let previous {
                    var before = 0
                    for place in index..<groupEnd where previous[place] != 0 { before += 1 }
                    place2 = base2 + min(before, 4) * 9 * MixedModel.nodeCount
                    place3 = base3 + (min(before, 3) * 18 + slow) * MixedModel.nodeCount
                }
                if code(isBusy, node: MixedModel.groupNode, set: 31, &port) == 0 {
                    for place in index..<groupEnd { symbols[place] = 0 }
                    activity.noteQuietGroup()
                    (last, last2, last3) = (0, 0, 0)
                    index = groupEnd
                    continue
                }
            }
            var own = 0
            var ownIsNegative = false
            if let previous {
                own = Level.magnitude(UInt16(previous[index]))
                ownIsNegative = Level.isNegative(UInt16(previous[index]))
                let before = index > 0 ? Level.magnitude(UInt16(previous[index - 1])) : 0
                let after = index + 1 < previous.count ? Level.magnitude(UInt16(previous[index + 1])) : 0
                let around = halfOctave(Int32(truncatingIfNeeded: min(before, 7) + min(after, 7)))
                place2 = base2 + (min(own, 4) * 9 + around) * MixedModel.nodeCount
                place3 = base3 + (min(own, 3) * 18 + slow) * MixedModel.nodeCount
            }
            let symbol = symbols[index]
            var magnitude = Level.magnitude(symbol)
            var isNegative: UInt32 = Level.isNegative(symbol) ? 1 : 0
            if code(magnitude != 0 ? 1 : 0, node: 0, set: min(slow, 15), &port) == 0 {
                magnitude = 0
            } else {
                magnitude = codeMagnitude(magnitude, after: Level.magnitude(last), &port)
                guard magnitude <= highest else { return false }
                // Signs have contexts of their own, in the same tables.
                let (one, two) = (side(last), side(last2))
                place0 = (one * 3 + two) * MixedModel.nodeCount
                place1 = base1 + (one * 4 + min(Level.magnitude(last), 3)) * MixedModel.nodeCount
                if hasPrevious {
                    let mine = own == 0 ? 1 : (ownIsNegative ? 0 : 2)
                    place2 = base2 + (mine * 2 + (own > 1 ? 1 : 0)) * MixedModel.nodeCount
                    place3 = base3 + (mine * 3 + one) * MixedModel.nodeCount
                }
                isNegative = code(isNegative, node: 1, set: 17, &port)
            }
            last3 = last2
            last2 = last
            last = Level.symbol(magnitude: magnitude, isNegative: isNegative != 0)
            symbols[index] = last
            activity.note(magnitude)
            index += 1
        }
        return true
    }

    /// 0 for a negative level, 1 for none, 2 for a positive one.
    @inline(__always)
    private func side(_ symbol: UInt16) -> Int { symbol == 0 ? 1 : (symbol & 1 == 0 ? 0 : 2) }

    /// Codes how large a level is that isn't 0: one question a step up to 12, then a number of bits and the bits.
    ///
    /// - Parameter last: the level of the element before.
    @inline(__always)
    private mutating func codeMagnitude<Port: BitPort>(
        _ magnitude: Int, after last: Int, _ port: inout Port
    ) -> Int {
        var node = 2
        while node <= MixedModel.unaryEnd {
            if code(magnitude >= node ? 1 : 0, node: node, set: 16 + node, &port) == 0 { return node - 1 }
            node += 1
        }
        return codeEscape(magnitude - MixedModel.unaryEnd + 1, after: last, &port) + MixedModel.unaryEnd - 1
    }

    /// Codes a number from 1 on by how many bits it has, each of which is a question of its own, the first bit after its leading
    /// one, which is a question too, and the others as they are.
    private mutating func codeEscape<Port: BitPort>(
        _ number: Int, after last: Int, _ port: inout Port
    ) -> Int {
        let width = number > 0 ? Int.bitWidth - 1 - number.leadingZeroBitCount : 0
        let lastWidth = last > 0 ? Int.bitWidth - last.leadingZeroBitCount : 0
        func look(_ context: Int, _ row: Int) {
            place0 = context * MixedModel.nodeCount
            place1 = MixedModel.base1 + (18 * row + lastWidth) * MixedModel.nodeCount
            place2 = MixedModel.base2 + context * MixedModel.nodeCount
            place3 = MixedModel.base3 + context * MixedModel.nodeCount
        }
        var zeros = 0
        // No level is wider than 13 bits; a reader that is told more stops here and refuses what comes out.
        while zeros < 13 {
            look(zeros, zeros)
            guard code(zeros < width ? 1 : 0, node: MixedModel.escapeNode, set: 30, &port) != 0 else { break }
            zeros += 1
        }
        guard zeros > 0 else { return 1 }
        look(16 + zeros, 15)
        var value =
            2 | Int(code(UInt32(number >> (zeros - 1) & 1), node: MixedModel.escapeNode, set: 30, &port))
        for bit in stride(from: zeros - 2, through: 0, by: -1) {
            value = value << 1 | Int(port.code(UInt32(number >> bit & 1), probability: 0x8000))
        }
        return value
    }
}

extension MixedModel {
    /// About the bits that symbols take if nothing is known of their order: those of the levels' classes, and the bits within them.
    static func bits(of counts: [Int]) -> Double {
        // By sign, and up to 12 by level, beyond by the number of bits.
        var classes = [Int](repeating: 0, count: 64)
        var plain = 0.0
        for symbol in counts.indices where counts[symbol] > 0 {
            let level = Level.magnitude(UInt16(symbol))
            var own = level
            if level >= unaryEnd {
                let width = Int.bitWidth - 1 - (level - unaryEnd + 1).leadingZeroBitCount
                own = unaryEnd + width
                plain += Double(counts[symbol] * width)
            }
            classes[2 * own + (Level.isNegative(UInt16(symbol)) ? 1 : 0)] += counts[symbol]
        }
        return entropyBits(classes) + plain
    }
}

/// Codes a block of levels; without what it was preceded by, a reader needs the same.
func encodeLevels(_ symbols: UnsafeBufferPointer<UInt16>, previous: UnsafePointer<UInt8>?) -> [UInt8] {
    var model = MixedModel(hasPrevious: previous != nil)
    var writer = ArithmeticWriter()
    // The model hands back what it was given: nothing is written through this pointer but what is there.
    let same = UnsafeMutableBufferPointer(mutating: symbols)
    let isWhole = model.code(
        same, previous: previous.map { UnsafeBufferPointer(start: $0, count: symbols.count) },
        highest: Level.maximum, &writer)
    precondition(isWhole, "levels are at most \(Level.maximum)")
    return writer.finish()
}

/// Reads a block of levels.
func decodeLevels(
    _ body: UnsafeRawBufferPointer, alphabet: Int, previous: UnsafePointer<UInt8>?,
    into symbols: UnsafeMutableBufferPointer<UInt16>
) throws(CodecError) {
    var model = MixedModel(hasPrevious: previous != nil)
    var reader = ArithmeticReader(body)
    // The model looks at what it is given also where it reads.
    symbols.initialize(repeating: 0)
    let isWhole = model.code(
        symbols, previous: previous.map { UnsafeBufferPointer(start: $0, count: symbols.count) },
        highest: alphabet / 2, &reader)
    // An even alphabet lacks the negative of its highest level.
    guard isWhole, alphabet % 2 == 1 || symbols.allSatisfy({ Int($0) < alphabet }) else {
        throw .malformed("frame is damaged: a level beyond its highest")
    }
    guard reader.isAtEnd else { throw .malformed("frame is damaged: bytes after the last level") }
}
