/// Reads MovieLens ratings: `u.data` (tabs), `ratings.dat` (`::`) or `ratings.csv` (commas, one header line).
///
/// Rows of users and items count up from 0 in ascending order of the ids in the whole file. A rating is held out when
/// a hash of the seed and its two ids says so, one in ten; so the split doesn't depend on the order of the lines.
func loadRatings(path: String, seed: UInt64) throws(DataError) -> RatingDataset {
    let file = try findRatings(path)
    let bytes = try FileBytes.read(file, limit: 1 << 31)
    return try RatingLines.dataset(RatingLines.parse(bytes, path: file), path: file, seed: seed)
}

private func findRatings(_ path: String) throws(DataError) -> String {
    switch FileBytes.sort(of: path) {
    case .file:
        return path
    case .folder:
        for name in ["u.data", "ratings.dat", "ratings.csv"] {
            let file = "\(path)/\(name)"
            if FileBytes.sort(of: file) == .file { return file }
        }
        throw .missing("\(path) has no u.data, ratings.dat or ratings.csv; put one there or set data.path")
    case .nothing:
        throw .missing(
            "\(path) isn't there; set data.path to u.data, ratings.dat, ratings.csv or their folder")
    }
}

/// The ratings of a file as they stand in it.
struct RatingLines {
    var users: [UInt32] = []
    var items: [UInt32] = []
    var ratings: [Float] = []

    /// Parses all lines; the separator is told by the first line.
    ///
    /// - Throws: `DataError.malformed` with the file and the line.
    static func parse(_ bytes: [UInt8], path: String) throws(DataError) -> RatingLines {
        var lines = RatingLines()
        lines.reserve(bytes.count / 20)
        var scanner = LineScanner(bytes: bytes)
        guard let first = scanner.next() else { throw .malformed("\(path) is empty; fetch it again") }
        let separator = Separator(firstLine: bytes[first])
        // A header starts with a letter; only the form with commas has one.
        let hasHeader = separator == .comma && !(bytes[first].first.map { (48...57).contains($0) } ?? false)
        if !hasHeader { try lines.append(bytes, first, separator, path, line: 1) }
        while let range = scanner.next() {
            try lines.append(bytes, range, separator, path, line: scanner.line)
        }
        guard !lines.ratings.isEmpty else { throw .malformed("\(path) has no ratings; fetch it again") }
        return lines
    }

    private mutating func reserve(_ count: Int) {
        users.reserveCapacity(count)
        items.reserveCapacity(count)
        ratings.reserveCapacity(count)
    }

    private mutating func append(
        _ bytes: [UInt8], _ range: Range<Int>, _ separator: Separator, _ path: String, line: Int
    ) throws(DataError) {
        var fields = FieldScanner(bytes: bytes, range: range, separator: separator)
        guard let user = fields.whole(), let item = fields.whole(), let rating = fields.decimal(),
            fields.restIsTimestamp()
        else {
            throw .malformed(
                "\(path), line \(line): expected user, item, rating and time with \(separator.name) between them"
            )
        }
        users.append(user)
        items.append(item)
        ratings.append(rating)
    }

    /// Numbers the rows, splits, and takes the mean.
    static func dataset(_ lines: RatingLines, path: String, seed: UInt64) throws(DataError) -> RatingDataset {
        let (users, items) = (RowNumbers(ids: lines.users), RowNumbers(ids: lines.items))
        var training: (users: [Int32], items: [Int32], ratings: [Float]) = ([], [], [])
        var heldOut = training
        var sum = 0.0
        for index in 0..<lines.ratings.count {
            let (user, item) = (users.row(lines.users[index]), items.row(lines.items[index]))
            let pair = UInt64(lines.users[index]) << 32 | UInt64(lines.items[index])
            if isHeldOut(pair: pair, seed: seed) {
                heldOut.users.append(user)
                heldOut.items.append(item)
                heldOut.ratings.append(lines.ratings[index])
            } else {
                training.users.append(user)
                training.items.append(item)
                training.ratings.append(lines.ratings[index])
                sum += Double(lines.ratings[index])
            }
        }
        guard !training.ratings.isEmpty else {
            throw .malformed(
                "\(path) has \(lines.ratings.count) ratings, too few to hold some out; use a larger file")
        }
        return RatingDataset(
            training: RatingSamples(users: training.users, items: training.items, ratings: training.ratings),
            heldOut: RatingSamples(users: heldOut.users, items: heldOut.items, ratings: heldOut.ratings),
            userCount: users.count, itemCount: items.count, mean: Float(sum / Double(training.ratings.count)))
    }

    static func isHeldOut(pair: UInt64, seed: UInt64) -> Bool {
        var generator = SplitMix64(seed: seed, stream: pair)
        return generator.below(10) == 0
    }
}

/// Row numbers of ids: their places in ascending order.
struct RowNumbers {
    private let sorted: [UInt32]
    /// The row of each id, when the ids are small enough for a table.
    private let table: [Int32]

    init(ids: [UInt32]) {
        let largest = Int(ids.max() ?? 0)
        // Not for a few ids with large gaps: memory stays in proportion to the file.
        if largest < max(1 << 16, 16 * ids.count) {
            var table = [Int32](repeating: -1, count: largest + 1)
            for id in ids { table[Int(id)] = 0 }
            var sorted: [UInt32] = []
            for id in 0...largest where table[id] == 0 {
                table[id] = Int32(sorted.count)
                sorted.append(UInt32(id))
            }
            (self.sorted, self.table) = (ids.isEmpty ? [] : sorted, table)
        } else {
            var sorted: [UInt32] = []
            for id in ids.sorted() where id != sorted.last { sorted.append(id) }
            (self.sorted, table) = (sorted, [])
        }
    }

    var count: Int { sorted.count }

    /// - Precondition: The id was among those given.
    func row(_ id: UInt32) -> Int32 {
        if !table.isEmpty { return table[Int(id)] }
        var (low, high) = (0, sorted.count)
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < id { low = middle + 1 } else { high = middle }
        }
        return Int32(low)
    }
}
