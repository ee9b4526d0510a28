import CKernels

// Where only few deltas will be kept, the first pass over a vector lists them, and nothing that follows looks at the others.

/// The deltas of a vector that aren't small, piece by piece.
final class FewDeltas {
    /// By piece; once a piece is quantized, with symbols for deltas.
    private(set) var pieces: UnsafeMutableBufferPointer<ck_few>
    /// What the lists are in, by worker.
    private let rooms: [ListRoom]
    private let count: Int

    /// Deltas that are listed, over all pieces.
    var listed: Int { pieces.reduce(0) { $0 + $1.count } }

    /// Lists the deltas whose exponent is `floor` or more.
    ///
    /// Pieces are listed in waves: after each of them it is known better which exponents may be kept, so that less is listed
    /// in vain. Waves are the same for any number of threads, and so are the sums.
    ///
    /// - Parameters:
    ///   - ranges: become those of the deltas that are listed; complete from the last floor on.
    ///   - floor: becomes the last one.
    ///   - nextFloor: the floor that ranges so far allow, which are complete from a floor on.
    init(
        _ vector: ScopeVector, floor: inout Int, threads: Int, ranges: inout ck_ranges,
        nextFloor: (ck_ranges, Int) -> Int
    ) {
        let count = vector.layout.count
        let pieceTotal = Pieces.total(of: count)
        let workers = max(1, min(threads, pieceTotal))
        let scratches = (0..<workers).map { _ in BlockScratch(count: 0) }
        let rooms = (0..<workers).map { _ in ListRoom(count: count) }
        let found = Results(count: workers, ck_ranges())
        let pieces = UnsafeMutableBufferPointer<ck_few>.allocate(capacity: pieceTotal)
        for wave in Pieces.waves(pieceTotal) {
            for worker in 0..<workers { found.change(worker) { ck_ranges_clear(&$0) } }
            let own = UInt32(floor)
            inParallel(wave.count, threads: threads) { index, worker in
                let few = found.list(
                    vector, Pieces.range(wave[index], of: count), floor: own, worker, scratches[worker],
                    rooms[worker])
                (pieces.baseAddress.unsafelyUnwrapped + wave[index]).initialize(to: few)
            }
            for worker in 0..<workers { found.change(worker) { ck_ranges_merge(&ranges, &$0) } }
            floor = max(floor, nextFloor(ranges, floor))
        }
        self.pieces = pieces
        self.rooms = rooms
        self.count = count
    }

    /// The symbols of some elements, in pieces that aren't quantized yet, as far as they aren't zero; their places, counted from `place`
    /// on, are marked in `nonzero`.
    func put(
        _ range: Range<Int>, byKey: [UInt16], at place: Int, into symbols: UnsafeMutablePointer<UInt16>,
        _ nonzero: UnsafeMutablePointer<UInt64>
    ) {
        for piece in (range.lowerBound / Pieces.count)..<pieces.count {
            let few = pieces[piece]
            let start = piece * Pieces.count
            guard start < range.upperBound else { break }
            for listed in few.first(
                from: range.lowerBound - start)..<few.first(from: range.upperBound - start)
            {
                let symbol = byKey[Int(few.deltas[listed] >> 23)]
                guard symbol != 0 else { continue }
                let index = place + start + Int(few.places[listed]) - range.lowerBound
                symbols[index] = symbol
                nonzero.setBit(index)
            }
        }
    }

    /// The symbols of a piece that was quantized, clipped to 255, where they aren't zero.
    func mark(_ piece: Int, in history: UnsafeMutablePointer<UInt8>) {
        let few = pieces[piece]
        for index in 0..<few.count { history[Int(few.places[index])] = UInt8(min(255, few.deltas[index])) }
    }

    /// The symbols of a piece that was quantized, as far as they aren't zero; their places are marked in `nonzero`.
    func put(
        _ piece: Int, into symbols: UnsafeMutablePointer<UInt16>, _ nonzero: UnsafeMutablePointer<UInt64>
    ) {
        let few = pieces[piece]
        for index in 0..<few.count {
            let place = Int(few.places[index])
            symbols[place] = UInt16(few.deltas[index])
            nonzero.setBit(place)
        }
    }

    /// The symbols of a piece that was quantized.
    func spread(_ piece: Int, into symbols: UnsafeMutablePointer<UInt16>) {
        let few = pieces[piece]
        symbols.update(repeating: 0, count: Pieces.range(piece, of: count).count)
        for index in 0..<few.count { symbols[Int(few.places[index])] = UInt16(few.deltas[index]) }
    }

    deinit { pieces.deallocate() }
}

extension ck_few {
    /// The first that is listed whose place isn't before one.
    fileprivate func first(from place: Int) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if Int(places[middle]) < place { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension Results<ck_ranges> {
    /// Lists a piece's deltas, adding them to a worker's ranges.
    fileprivate func list(
        _ vector: ScopeVector, _ range: Range<Int>, floor: UInt32, _ worker: Int, _ scratch: BlockScratch,
        _ lists: ListRoom
    ) -> ck_few {
        let room = scratch.floats(2 * range.count)
        let target = vector.target(range, room)
        let previous = vector.reconstruction(range, room + range.count).floats
        var few = lists.list(range.count)
        change(worker) { ck_list(target, previous, range.count, floor, &$0, &few) }
        lists.take(few.count)
        return few
    }
}

extension BucketTable {
    /// Listed deltas cost more than others: beyond this share it is quicker to look at all.
    private static let mostListed = 1.0 / 6

    /// Finds the buckets of a vector, without changing it, and lists the deltas if they seem to be few.
    static func listing(
        _ vector: ScopeVector, bits: Int?, threads: Int
    ) -> (buckets: BucketTable, few: FewDeltas?) {
        let count = vector.layout.count
        let whole = { (BucketTable(vector, bits: bits, threads: threads), nil as FewDeltas?) }
        guard let bits, count > SampleRuns.least, !vector.layout.isRoot,
            vector.layout.isFloat32
        else { return whole() }
        // What the sample's largest deltas are; those of the whole vector can only be larger.
        let wanted = bits >= 9 ? 512 : 1 << bits - 1
        let sample = SampleRuns(count: count, most: max(SampleRuns.least, min(SampleRuns.most, count / 16)))
        var window = wanted / 2
        var floor = 1
        while true {
            let ranges = sample.scan(vector, window: window)
            floor = max(1, Int(ranges.top) - window)
            let keys = presentKeys(ranges, from: Int(ranges.top), to: floor)
            if keys.count >= wanted || floor == 1 {
                let share = Double(tally(ranges, keys)) / Double(sample.elements)
                guard share < mostListed else { return whole() }
                break
            }
            window = 2 * window + 4
        }
        var ranges = ck_ranges()
        ck_ranges_clear(&ranges)
        let few = FewDeltas(vector, floor: &floor, threads: threads, ranges: &ranges) { ranges, floor in
            // The exponent of the last bucket that would be kept.
            let keys = presentKeys(ranges, from: Int(ranges.top), to: floor).prefix(wanted)
            return keys.count == wanted ? (keys.last ?? 0) & 255 : 1
        }
        let keys = presentKeys(ranges, from: Int(ranges.top), to: floor).prefix(wanted)
        guard keys.count == wanted || floor == 1 else { return whole() }
        let buckets = BucketTable(ranges, keys: keys, elements: count, bits: bits)
        return (buckets, Double(few.listed) < 2 * mostListed * Double(count) ? few : nil)
    }
}

extension SampleRuns {
    /// The ranges of its deltas.
    fileprivate func scan(_ vector: ScopeVector, window: Int) -> ck_ranges {
        let room = UnsafeMutablePointer<Float>.allocate(capacity: 2 * length)
        defer { room.deallocate() }
        var found = ck_ranges()
        ck_ranges_clear(&found)
        for range in ranges {
            let target = vector.target(range, room)
            let previous = vector.reconstruction(range, room + length).floats
            ck_scan(target, previous, length, UInt32(min(window, 255)), &found)
        }
        return found
    }
}
