import CKernels

// Where little is worth a level, the first pass over a vector packs what may be, and nothing that follows looks at the rest.

/// The groups of neighbours of a vector in which a delta is as large as a floor, packed piece by piece.
final class LoudGroups {
    /// Neighbours of a group.
    static let size = Int(CK_LOUD_GROUP)

    /// Deltas below it may be missing.
    let floor: Float
    let count: Int
    /// Elements that are packed.
    let packed: Int
    /// ‖δ‖² of the others, at most.
    let quietError: Double
    /// ‖δ‖² and ‖u‖².
    let energy: Double
    let norm: Double
    private let pieces: UnsafeMutableBufferPointer<ck_loud>
    /// What the groups are in, by worker.
    private let rooms: [ListRoom]

    /// Packs the groups of a vector of Float32; nil if they are more than `most`, or an element or a delta isn't finite.
    init?(_ vector: ScopeVector, floor: Float, most: Int, threads: Int) {
        let count = vector.layout.count
        let size = LoudGroups.size
        let pieceTotal = Pieces.total(of: count)
        let workers = max(1, min(threads, pieceTotal))
        let scratches = (0..<workers).map { _ in BlockScratch(count: 0) }
        let rooms = (0..<workers).map { _ in ListRoom(groups: (count + size - 1) / size) }
        let found = Results(count: workers, 0)
        let energies = Results(count: pieceTotal, 0.0)
        let pieces = UnsafeMutableBufferPointer<ck_loud>.allocate(capacity: pieceTotal)
        // In waves: where the sample misled that shows soon, whatever the number of threads.
        for wave in Pieces.waves(pieceTotal) {
            guard found.all.reduce(0, +) <= most else {
                pieces.deallocate()
                return nil
            }
            inParallel(wave.count, threads: threads) { index, worker in
                let piece = wave[index]
                let range = Pieces.range(piece, of: count)
                let room = scratches[worker].floats(2 * range.count)
                let target = vector.target(range, room)
                let previous = vector.reconstruction(range, room + range.count).floats
                var loud = rooms[worker].groups((range.count + size - 1) / size)
                // One that has met too many goes no further: all of them together have.
                if found[worker] <= most {
                    ck_list_loud(target, previous, range.count, floor, &loud)
                    rooms[worker].take(loud.count)
                    found[worker] += loud.count
                    energies[piece] = ck_deltas(loud.targets, loud.previous, size * loud.count, nil).error
                }
                (pieces.baseAddress.unsafelyUnwrapped + piece).initialize(to: loud)
            }
        }
        let met = found.all.reduce(0, +)
        // Deltas are rounded to Float32, by less than a part in 2²⁴: what they come to may be that much more.
        quietError = pieces.reduce(0) { $0 + $1.sums.error } * (1 + 0x1p-22)
        norm = pieces.reduce(0) { $0 + $1.sums.norm }
        energy = energies.all.reduce(quietError, +)
        self.floor = floor
        self.count = count
        packed = size * met
        self.pieces = pieces
        self.rooms = rooms
        guard met <= most, energy.isFinite, norm.isFinite else { return nil }
    }

    deinit { pieces.deallocate() }

    /// What is packed of a piece.
    func elements(_ piece: Int) -> UniformElements {
        let loud = pieces[piece]
        return UniformElements(
            target: UnsafePointer(loud.targets), previous: UnsafePointer(loud.previous),
            symbols: loud.symbols, count: LoudGroups.size * loud.count)
    }

    /// Where a packed element of a piece is in the vector.
    func place(_ index: Int, in piece: Int) -> Int {
        let group = Int(pieces[piece].groups[index / LoudGroups.size])
        return piece * Pieces.count + LoudGroups.size * group + index % LoudGroups.size
    }

    func forEachDelta(_ body: (Float) -> Void) {
        for loud in pieces {
            for index in 0..<(LoudGroups.size * loud.count) {
                body(loud.targets[index] - loud.previous[index])
            }
        }
    }

    /// Quantizes what is packed, as if it were still among the others.
    ///
    /// - Precondition: the rule sends nothing below the floor.
    func quantize(
        _ rule: UniformRule, writes: Bool, countsKinds: Bool = false, threads: Int
    ) -> UniformOutcome {
        precondition(!rule.isPatient && rule.lowest >= floor)
        let begun = rule.pieceCount / LoudGroups.size
        var outcome = rule.outcome(blocks: pieces.count, threads: threads) { piece, _, kernel, tally in
            let groups = (Pieces.range(piece, of: count).count + LoudGroups.size - 1) / LoudGroups.size
            for first in stride(from: 0, to: groups, by: begun) {
                ck_quantize_loud(
                    &pieces[piece], first, min(first + begun, groups), &kernel, writes, countsKinds, &tally)
            }
        }
        outcome.error += quietError
        return outcome
    }

    /// How often each symbol occurs in the vector.
    func histogram(alphabet: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: alphabet)
        for piece in pieces.indices {
            let own = elements(piece)
            for index in 0..<own.count { counts[Int(own.symbols[index])] += 1 }
        }
        counts[0] = count - counts.dropFirst().reduce(0, +)
        return counts
    }

    /// The symbols in their places, as far as they aren't zero.
    ///
    /// - Parameter symbols: has room for whole groups; is used by the view.
    func view(
        _ symbols: UnsafeMutablePointer<UInt16>, previous: UnsafePointer<UInt8>?, threads: Int
    ) -> SymbolView {
        let scratch = BlockScratch(count: count)
        scratch.words.update(repeating: 0, count: ck_mask_words(count))
        inParallel(pieces.count, threads: threads) { piece, _ in
            let start = piece * Pieces.count
            ck_spread_loud(&pieces[piece], symbols + start, scratch.words + start / 64)
        }
        return SymbolView(
            UnsafeBufferPointer(start: symbols, count: count), previous: previous,
            nonzero: .init(scratch.words), owner: scratch)
    }

    /// Adds a piece's values to its reconstruction.
    ///
    /// - Parameter history: where the vector's symbols are left, clipped to 255; zeros before.
    func apply(
        _ piece: Int, _ values: [Float], to restored: UnsafeMutablePointer<Float>,
        history: UnsafeMutablePointer<UInt8>?
    ) {
        ck_apply_loud(
            &pieces[piece], values, restored, Pieces.range(piece, of: count).count)
        guard let history else { return }
        let own = elements(piece)
        for index in 0..<own.count where own.symbols[index] != 0 {
            history[place(index, in: piece)] = UInt8(min(255, own.symbols[index]))
        }
    }
}

extension LoudGroups {
    /// Smaller vectors are quicker looked at whole.
    private static let least = 1 << 17
    /// Of a vector's groups one in so many may be loud: of more there is less to gain, and they take ten bytes and a half an element.
    private static let sparseness = 16
    /// A sample's step may be larger than that of all by so much.
    private static let margin: Float = 0.8

    static func most(of count: Int) -> Int { count / size / sparseness }

    /// Packs what may have to be sent to keep to an error, where a sample says that it is little.
    static func listing(_ vector: ScopeVector, error: Double, threads: Int) -> LoudGroups? {
        let count = vector.layout.count
        guard count >= least, !vector.layout.isRoot,
            vector.layout.isFloat32
        else { return nil }
        let runs = SampleRuns(count: count, most: min(SampleRuns.most, count / 16))
        let sample = UnsafeMutableBufferPointer<Float>.allocate(capacity: runs.elements)
        let room = UnsafeMutablePointer<Float>.allocate(capacity: 2 * runs.length)
        defer {
            sample.deallocate()
            room.deallocate()
        }
        var norm = 0.0
        var next = sample.baseAddress.unsafelyUnwrapped
        for range in runs.ranges {
            let target = vector.target(range, room)
            let previous = vector.reconstruction(range, room + runs.length).floats
            let sums = ck_deltas(target, previous, runs.length, next)
            guard sums.error.isFinite, sums.norm.isFinite else { return nil }
            norm += sums.norm
            next += runs.length
        }
        guard let rule = ErrorCurve(UnsafeBufferPointer(sample)).rule(budget: error * error * norm)
        else { return nil }
        let floor = margin * UniformRule.lowestThreshold * rule.step
        let loud = stride(from: 0, to: sample.count, by: size).reduce(0) { met, start in
            met + (sample[start..<(start + size)].contains { $0.magnitude >= floor } ? 1 : 0)
        }
        guard loud <= most(of: sample.count) else { return nil }
        return LoudGroups(vector, floor: floor, most: most(of: count), threads: threads)
    }
}
