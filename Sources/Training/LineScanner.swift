/// Walks over the lines of a text, leaving out line ends (`\n` or `\r\n`) and an empty last line.
struct LineScanner {
    let bytes: [UInt8]
    /// The number of the line last returned, counted from 1.
    private(set) var line = 0
    private var position = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func next() -> Range<Int>? {
        guard position < bytes.count else { return nil }
        let start = position
        var end = start
        while end < bytes.count, bytes[end] != 10 { end += 1 }
        position = end + 1
        line += 1
        if end > start, bytes[end - 1] == 13 { end -= 1 }
        return start..<end
    }
}

/// What stands between the fields of a line of ratings.
enum Separator {
    case tab, colons, comma

    init(firstLine: ArraySlice<UInt8>) {
        if firstLine.contains(9) {
            self = .tab
        } else if firstLine.contains(58) {
            self = .colons
        } else {
            self = .comma
        }
    }

    var name: String {
        switch self {
        case .tab: "tabs"
        case .colons: "'::'"
        case .comma: "commas"
        }
    }
}

/// Reads the fields of one line, each with the separator behind it.
struct FieldScanner {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int
    private let separator: Separator

    init(bytes: [UInt8], range: Range<Int>, separator: Separator) {
        self.bytes = bytes
        (position, end) = (range.lowerBound, range.upperBound)
        self.separator = separator
    }

    /// A whole number below 2³¹ and the separator behind it.
    mutating func whole() -> UInt32? {
        guard let value = digits(limit: 1 << 31 - 1), skipSeparator() else { return nil }
        return UInt32(value)
    }

    /// A number like `4` or `3.5`, at most 100, and the separator behind it or the line's end.
    mutating func decimal() -> Float? {
        guard let units = digits(limit: 100) else { return nil }
        var (value, weight) = (Double(units), 0.1)
        if position < end, bytes[position] == 46 {
            position += 1
            let start = position
            while position < end, (48...57).contains(bytes[position]), position - start < 6 {
                value += Double(bytes[position] - 48) * weight
                weight /= 10
                position += 1
            }
            guard position > start else { return nil }
        }
        guard position == end || skipSeparator() else { return nil }
        return Float(value)
    }

    /// Whether only a whole number, or nothing, is left.
    mutating func restIsTimestamp() -> Bool {
        position == end || (digits(limit: 1 << 53) != nil && position == end)
    }

    private mutating func digits(limit: Int) -> Int? {
        let start = position
        var value = 0
        while position < end, (48...57).contains(bytes[position]) {
            value = value * 10 + Int(bytes[position] - 48)
            guard value <= limit else { return nil }
            position += 1
        }
        return position > start ? value : nil
    }

    private mutating func skipSeparator() -> Bool {
        let expected: [UInt8] =
            switch separator {
            case .tab: [9]
            case .colons: [58, 58]
            case .comma: [44]
            }
        for byte in expected {
            guard position < end, bytes[position] == byte else { return false }
            position += 1
        }
        return true
    }
}
