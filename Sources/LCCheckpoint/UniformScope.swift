import CKernels

// The symbols of a scope that is encoded to an error: found, restored, stored.

/// Memory for a whole vector of numbers, given back by `ck_free`.
private func allocateLarge<Number: BitwiseCopyable>(_ count: Int) -> UnsafeMutablePointer<Number> {
    guard let memory = ck_allocate(count * MemoryLayout<Number>.stride) else {
        fatalError("no memory for \(count) numbers")
    }
    return memory.bindMemory(to: Number.self, capacity: count)
}

extension ScopeVector {
    /// Some elements' targets and reconstructions, which last until `room` is used again.
    func targetAndReconstruction(
        _ range: Range<Int>, into room: BlockScratch
    ) -> (target: UnsafePointer<Float>, previous: UnsafePointer<Float>?) {
        let floats = room.floats(2 * range.count)
        return (
            target(range, floats), UnsafePointer(reconstruction(range, floats + range.count).floats)
        )
    }

    /// The deltas of some elements, which last until `room` is used again. What isn't finite is read as zero.
    ///
    /// They are taken anew whenever they are looked at: kept, they would be as large as the model.
    func deltas(_ range: Range<Int>, into room: BlockScratch) -> UnsafePointer<Float> {
        let deltas = room.floats(3 * range.count)
        let live = self.target(range, deltas + range.count)
        let restored = reconstruction(range, deltas + 2 * range.count).floats
        if !ck_deltas(live, restored, range.count, deltas).error.isFinite {
            for index in 0..<range.count where !deltas[index].isFinite { deltas[index] = 0 }
        }
        return UnsafePointer(deltas)
    }
}

/// Elements of a piece, what they are compared with, and their symbols.
struct UniformElements {
    let target: UnsafePointer<Float>
    let previous: UnsafePointer<Float>
    let symbols: UnsafeMutablePointer<UInt16>
    let count: Int
}

/// A vector's pieces: all of their elements, or those that are packed.
struct UniformPieces {
    let vector: ScopeVector
    /// Where loud groups are packed, only their symbols are there, and only once they are looked at.
    let symbols: UnsafeMutablePointer<UInt16>
    /// What may be sent, if that is little.
    var loud: LoudGroups?

    var total: Int { Pieces.total(of: vector.layout.count) }

    func range(_ piece: Int) -> Range<Int> { Pieces.range(piece, of: vector.layout.count) }

    /// - Parameter room: for as much as two pieces.
    func elements(_ piece: Int, _ room: UnsafeMutablePointer<Float>) -> UniformElements {
        if let loud { return loud.elements(piece) }
        let range = range(piece)
        return UniformElements(
            target: vector.target(range, room),
            previous: UnsafePointer(vector.reconstruction(range, room + range.count).floats),
            symbols: symbols + range.lowerBound, count: range.count)
    }

    /// A piece's symbols, without a look at its elements.
    func symbols(_ piece: Int) -> UnsafeMutableBufferPointer<UInt16> {
        if let own = loud?.elements(piece) { return .init(start: own.symbols, count: own.count) }
        let range = range(piece)
        return .init(start: symbols + range.lowerBound, count: range.count)
    }

    /// Which of the vector's elements one of a piece is.
    func place(_ index: Int, in piece: Int) -> Int {
        loud?.place(index, in: piece) ?? piece * Pieces.count + index
    }
}

/// A scope that is being encoded: its symbols, and what has to be carried as it is.
struct UniformScope: ~Copyable {
    /// Pieces that are stored one after another: most digests begin and end with them.
    private static let storedPieces = 4

    let vector: ScopeVector
    private(set) var pieces: UniformPieces
    /// ‖δ‖² and ‖u‖² over the finite elements.
    private(set) var energy = 0.0
    private(set) var norm = 0.0
    private(set) var isFinite = true
    private let room: UnsafeMutablePointer<Float>
    let workers: Int

    var count: Int { vector.layout.count }

    /// - Parameter error: what the scope is to be encoded to.
    init(_ vector: ScopeVector, error: Double, threads: Int) {
        self.vector = vector
        let count = vector.layout.count
        let size = LoudGroups.size
        pieces = UniformPieces(
            vector: vector, symbols: allocateLarge((count + size - 1) / size * size),
            loud: LoudGroups.listing(vector, error: error, threads: threads))
        workers = max(1, min(threads, pieces.total))
        room = .allocate(capacity: 3 * workers * min(Pieces.count, max(count, 1)))
        if let loud = pieces.loud {
            (energy, norm) = (loud.energy, loud.norm)
            return
        }
        let results = Results(count: pieces.total, (energy: 0.0, norm: 0.0, isFinite: true))
        let (pieces, rooms) = (pieces, (0..<workers).map { scratch($0) })
        inParallel(pieces.total, threads: workers) { piece, worker in
            let own = pieces.elements(piece, rooms[worker])
            let out = rooms[worker] + 2 * own.count
            let squares = ck_deltas(own.target, own.previous, own.count, nil)
            var sums = (energy: squares.error, norm: squares.norm, isFinite: true)
            if !sums.energy.isFinite || !sums.norm.isFinite {
                sums = (0, 0, false)
                _ = ck_deltas(own.target, own.previous, own.count, out)
                for index in 0..<own.count {
                    let live = Double(own.target[index])
                    if live.isFinite { sums.norm += live * live }
                    if out[index].isFinite { sums.energy += Double(out[index]) * Double(out[index]) }
                }
            }
            results[piece] = sums
        }
        for result in results.all {
            energy += result.energy
            norm += result.norm
            isFinite = isFinite && result.isFinite
        }
    }

    deinit {
        ck_free(pieces.symbols)
        room.deallocate()
    }

    /// A worker's memory: as much as three pieces.
    private func scratch(_ worker: Int) -> UnsafeMutablePointer<Float> {
        room + 3 * worker * min(Pieces.count, count)
    }

    /// Packs what reaches a lower floor; where that is too much nothing is packed any more.
    mutating func lower(_ floor: Float) {
        pieces.loud = LoudGroups(vector, floor: floor, most: LoudGroups.most(of: count), threads: workers)
    }

    /// Looks at all elements from now on.
    mutating func unpack() { pieces.loud = nil }

    /// How often each symbol occurs.
    func histogram(alphabet: Int) -> [Int] {
        pieces.loud?.histogram(alphabet: alphabet)
            ?? LCCheckpoint.histogram(
                UnsafeBufferPointer(start: pieces.symbols, count: count), alphabet: alphabet)
    }

    /// The symbols as they are now.
    func view(previous: UnsafePointer<UInt8>?) -> SymbolView {
        pieces.loud?.view(pieces.symbols, previous: previous, threads: workers)
            ?? SymbolView(UnsafeBufferPointer(start: pieces.symbols, count: count), previous: previous)
    }

    /// Calls `body` with each piece, from the last to the first, until it returns false.
    func forEachPieceBackwards(_ body: (UniformElements) -> Bool) {
        var piece = pieces.total
        repeat { piece -= 1 } while piece >= 0 && body(pieces.elements(piece, scratch(0)))
    }

    /// Makes each symbol another one.
    func replaceSymbols(_ body: (UInt16) -> UInt16) {
        for piece in 0..<pieces.total {
            let own = pieces.symbols(piece)
            for index in own.indices { own[index] = body(own[index]) }
        }
    }

    /// Quantizes all elements, and writes their symbols; nil where that takes deltas that aren't packed.
    func quantize(_ rule: UniformRule) -> UniformOutcome? {
        if let loud = pieces.loud {
            return rule.lowest < loud.floor ? nil : loud.quantize(rule, writes: true, threads: workers)
        }
        let rooms = (0..<workers).map { _ in BlockScratch(count: 0) }
        let (vector, isFinite) = (vector, isFinite)
        return quantizeUniform(count, rule, symbols: pieces.symbols, threads: workers) {
            isFinite
                ? vector.targetAndReconstruction($0, into: rooms[$1])
                : (vector.deltas($0, into: rooms[$1]), nil)
        }
    }

    /// What the symbols of `rule` restore with these values: ‖u − ũ‖², and the elements that must be carried.
    ///
    /// - Parameter hasExceptions: deltas beyond the last level occur.
    func restore(
        _ rule: UniformRule?, _ values: [Float], hasExceptions: Bool
    ) -> (error: Double, carried: [Int]) {
        let results = Results(count: pieces.total, (error: 0.0, carried: [Int]()))
        let inverse = rule.map { 1 / $0.step } ?? 0
        let isPlain = !hasExceptions && isFinite && !vector.layout.isRoot
        let isUnrounded = vector.layout.isFloat32
        let (vector, pieces) = (vector, pieces)
        let rooms = (0..<workers).map { scratch($0) }
        inParallel(pieces.total, threads: workers) { piece, worker in
            let room = rooms[worker]
            let own = pieces.elements(piece, room)
            if isPlain, isUnrounded {
                let sum = ck_missed(
                    own.target, own.previous, own.symbols, own.count, values, UInt32(values.count))
                if sum.isFinite {
                    results[piece].error = sum
                    return
                }
            }
            let result = room + 2 * own.count
            result.update(from: own.previous, count: own.count)
            ck_apply(own.symbols, own.count, values, UInt32(values.count), result)
            // What is packed is Float32 alone, and no roots.
            if pieces.loud == nil { vector.round(pieces.range(piece), result) }
            if isPlain, !isUnrounded {
                let sum = ck_missed(own.target, result, nil, own.count, values, UInt32(values.count))
                if sum.isFinite {
                    results[piece].error = sum
                    return
                }
            }
            var (error, carried) = (0.0, [Int]())
            for index in 0..<own.count {
                let miss =
                    Double(own.target[index])
                    - Double(vector.layout.isRoot ? root(result[index]) : result[index])
                // A sum may overflow where the delta didn't: a restore must not yield infinity for a finite value.
                let delta = own.target[index] - own.previous[index]
                if !miss.isFinite || !delta.isFinite || (delta * inverse).magnitude >= UniformRule.end {
                    carried.append(pieces.place(index, in: piece))
                } else {
                    error += miss * miss
                }
            }
            results[piece] = (error, carried)
        }
        return results.all.reduce(into: (pieces.loud?.quietError ?? 0, [])) { sum, own in
            sum.0 += own.error
            sum.1 += own.carried
        }
    }

    /// Finds symbols that miss the target by at most `budget`, a sum of squares; nil where there are none.
    mutating func quantize(budget: Double, isPatient: Bool) -> UniformSymbols? {
        var found = UniformSymbols(
            values: UniformValues(step: 0, highest: 0, places: []), restored: (energy, []))
        // Nothing is sent if nothing needs to be; what is sent otherwise is looked at below.
        if energy <= 1.001 * budget {
            for piece in 0..<pieces.total { pieces.symbols(piece).initialize(repeating: 0) }
            found.restored = restore(nil, [0], hasExceptions: false)
        }
        // Rounding to half types may add to the error: then the goal is lowered.
        var goal = budget
        var attempt = 0
        while found.restored.error > budget {
            guard attempt < 8, goal > 0, energy > goal,
                let (rule, outcome) = search(budget: goal, isPatient: isPatient)
            else { return nil }
            // All that would be sent may have been dropped, or be carried as it is.
            let isSent = (0..<pieces.total).contains { piece in
                let own = pieces.symbols(piece)
                return own.baseAddress.map { ck_any($0, own.count) } ?? false
            }
            found.values =
                isSent ? UniformValues(rule, outcome) : UniformValues(step: 0, highest: 0, places: [])
            guard found.values.highest == 0 || found.values.magnitude(found.values.highest).isFinite
            else { return nil }
            found.restored = restore(rule, found.values.table, hasExceptions: outcome.beyond > 0)
            goal *= 0.97 * min(1, budget / max(found.restored.error, .leastNormalMagnitude))
            attempt += 1
        }
        return found
    }

    /// Changes the reconstruction.
    ///
    /// - Parameter history: where the symbols are left, clipped to 255; zeros before.
    func store(
        _ values: [Float], exceptions: [ExceptionalElement], history: UnsafeMutablePointer<UInt8>?,
        _ digests: SectionDigests
    ) {
        let (vector, pieces) = (vector, pieces)
        let rooms = (0..<workers).map { scratch($0) }
        let together = UniformScope.storedPieces
        inParallel((pieces.total + together - 1) / together, threads: workers) { block, worker in
            var next = digests.piece(from: block * together * Pieces.count)
            for piece in (block * together)..<min((block + 1) * together, pieces.total) {
                let range = pieces.range(piece)
                let (restored, isDirect) = vector.reconstruction(range, rooms[worker])
                if let loud = pieces.loud {
                    loud.apply(piece, values, to: restored, history: history)
                } else {
                    let symbols = pieces.symbols + range.lowerBound
                    ck_apply(symbols, range.count, values, UInt32(values.count), restored)
                    if let history { ck_clip(symbols, range.count, history + range.lowerBound) }
                }
                vector.round(range, restored)
                vector.store(
                    range, restored, isDirect: isDirect, exceptions: exceptions.within(range),
                    digests: digests)
                digests.digest(from: &next, upTo: range.upperBound)
            }
        }
    }
}

/// What the symbols that were found stand for, and what restoring them comes to: ‖u − ũ‖², and what must be carried.
struct UniformSymbols {
    var values: UniformValues
    var restored: (error: Double, carried: [Int])
}
