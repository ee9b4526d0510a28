// Frequencies on a logarithmic scale: eight steps an octave where alphabets are large, four where a table's own bytes
// count. The most frequent symbol gets what is left of 4096 and so bears no error.

/// ⌊2^(k/8) + ½⌋ for k from 0 to 96.
let frequencySteps: [Int] = {
    // The eighth roots of two in 2^-52, exactly rounded.
    let roots: [Double] = [
        1, 1.0905077326652577, 1.189207115002721, 1.2968395546510096, 1.4142135623730951, 1.5422108254079407,
        1.6817928305074292, 1.8340080864093424,
    ]
    return (0...96).map { Int(roots[$0 % 8] * Double(1 << ($0 / 8)) + 0.5) }
}()

/// Bits that a symbol takes, by its frequency.
private let frequencyCosts: [Double] = (0...4096).map { $0 == 0 ? 0 : 12 - log2(Double($0)) }

/// The frequencies of one table, as they are written.
struct FrequencyTable {
    /// Steps between the frequencies that can be written: 1 (an eighth of an octave) or 2.
    let stride: Int
    /// For each symbol 0 when it is absent, or one more than its frequency's number.
    private(set) var codes: [Int]
    /// What gets the rest.
    private(set) var main: Int
    private(set) var frequencies: [UInt16]

    /// - Parameter present: symbols that get the least frequency if they weren't counted; may be empty.
    init(counts: UnsafeBufferPointer<UInt32>, stride: Int, present: [Bool]) {
        self.stride = stride
        codes = [Int](repeating: 0, count: counts.count)
        main = 0
        var total = 0.0
        for symbol in counts.indices {
            total += Double(counts[symbol])
            if counts[symbol] > counts[main] { main = symbol }
        }
        var sum = 0
        for symbol in counts.indices
        where symbol != main && (counts[symbol] > 0 || (!present.isEmpty && present[symbol])) {
            let wanted = total == 0 ? 0 : Double(counts[symbol]) * 4096 / total
            codes[symbol] = 1 + FrequencyTable.nearest(wanted, stride: stride)
            sum += frequencySteps[(codes[symbol] - 1) * stride]
        }
        // Rounding may leave too little: the largest of the others give way.
        while sum > 4095 {
            var largest = main == 0 ? 1 : 0
            for symbol in codes.indices where symbol != main && codes[symbol] > codes[largest] {
                largest = symbol
            }
            sum -= frequencySteps[(codes[largest] - 1) * stride]
            codes[largest] -= 1
            sum += codes[largest] > 0 ? frequencySteps[(codes[largest] - 1) * stride] : 0
        }
        frequencies = []
        settle(4096 - sum)
    }

    private static func nearest(_ wanted: Double, stride: Int) -> Int {
        var low = 0
        var high = 96 / stride - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if Double(frequencySteps[middle * stride]) <= wanted { low = middle } else { high = middle - 1 }
        }
        let (below, above) = (
            Double(frequencySteps[low * stride]), Double(frequencySteps[(low + 1) * stride])
        )
        return wanted * wanted > below * above && low + 1 < 96 / stride ? low + 1 : low
    }

    /// Fills in what follows from the codes: the main symbol's code is the last whose frequency it reaches.
    private mutating func settle(_ rest: Int) {
        let stride = stride
        frequencies = codes.map { $0 == 0 ? 0 : UInt16(frequencySteps[($0 - 1) * stride]) }
        frequencies[main] = UInt16(rest)
        var code = 0
        while (code + 1) * stride <= 96, frequencySteps[(code + 1) * stride] <= rest { code += 1 }
        codes[main] = code + 1
    }

    private static func zigzag(_ value: Int) -> UInt64 { UInt64(value < 0 ? -2 * value - 1 : 2 * value) }

    private func bits(from previous: FrequencyTable?) -> Int {
        var bits = 0
        var last = 0
        for symbol in codes.indices where symbol != main {
            let difference = FrequencyTable.zigzag(codes[symbol] - (previous?.codes[symbol] ?? last)) + 1
            bits += 2 * (63 - difference.leadingZeroBitCount) + 1
            last = codes[symbol]
        }
        return bits
    }

    /// Bits of the table as it is written.
    func bits(after previous: FrequencyTable?) -> Int {
        let own = bits(from: nil)
        let head = FrequencyTable.indexBits(codes.count) + (previous == nil ? 0 : 1)
        return head + (previous.map { min(own, bits(from: $0)) } ?? own)
    }

    /// Bits that symbols take, which all have a frequency.
    func cost(of counts: UnsafeBufferPointer<UInt32>) -> Double {
        var bits = 0.0
        for symbol in counts.indices where counts[symbol] > 0 {
            bits += Double(counts[symbol]) * frequencyCosts[Int(frequencies[symbol])]
        }
        return bits
    }

    /// The same for an alphabet with symbols that don't occur behind these.
    func padded(to alphabet: Int) -> FrequencyTable {
        var padded = self
        let missing = alphabet - codes.count
        padded.codes += Array(repeating: 0, count: missing)
        padded.frequencies += Array(repeating: 0, count: missing)
        return padded
    }

    /// The main symbol; whether what follows is told from the table before; each other symbol's difference.
    func write(after previous: FrequencyTable?, into writer: inout BitWriter) {
        writer.append(UInt64(main), count: FrequencyTable.indexBits(codes.count))
        var from: FrequencyTable?
        if let previous {
            if bits(from: previous) < bits(from: nil) { from = previous }
            writer.append(from == nil ? 0 : 1, count: 1)
        }
        var last = 0
        for symbol in codes.indices where symbol != main {
            let before = from?.codes[symbol] ?? last
            writer.append(gamma: FrequencyTable.zigzag(codes[symbol] - before) + 1)
            last = codes[symbol]
        }
    }

    /// Bits of a symbol's number.
    static func indexBits(_ alphabet: Int) -> Int {
        alphabet <= 1 ? 0 : Int.bitWidth - (alphabet - 1).leadingZeroBitCount
    }

    init(
        _ reader: inout BitReader, alphabet: Int, stride: Int, after previous: FrequencyTable?
    ) throws(CodecError) {
        self.stride = stride
        main = Int(try reader.read(FrequencyTable.indexBits(alphabet), "frequency"))
        guard main < alphabet else { throw .malformed("frame is damaged: a frequency of no symbol") }
        var from: FrequencyTable?
        if let previous, try reader.read(1, "frequency") == 1 { from = previous }
        codes = [Int](repeating: 0, count: alphabet)
        var last = 0
        var sum = 0
        for symbol in codes.indices where symbol != main {
            let value = Int(try reader.gamma(below: 9, "frequency")) - 1
            let code = (from?.codes[symbol] ?? last) + (value & 1 == 0 ? value / 2 : -(value + 1) / 2)
            guard code >= 0, code <= 96 / stride else {
                throw .malformed("frame is damaged: a frequency that can't be")
            }
            codes[symbol] = code
            if code > 0 { sum += frequencySteps[(code - 1) * stride] }
            last = code
        }
        guard sum < 4096 else { throw .malformed("frame is damaged: frequencies exceed their sum") }
        frequencies = []
        settle(4096 - sum)
    }
}
