import CKernels

// The symbols of a scope that is encoded to an error: found, restored, stored.

/// Memory for a whole vector of numbers, given back by `ck_free`.
private func allocateLarge<Number: BitwiseCopyable>(_ count: Int) -> UnsafeMutableBufferPointer<Number> {
    guard let memory = ck_allocate(count * MemoryLayout<Number>.stride) else {
        fatalError("no memory for \(count) numbers")
    }
    return UnsafeMutableBufferPointer(
        start: memory.bindMemory(to: Number.self, capacity: count), count: count)
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

/// A scope that is being encoded: its symbols, and what has to be carried as it is.
struct UniformScope: ~Copyable {
    /// Elements that are converted and compared at a time.
    static let pieceCount = 1 << 16

    let vector: ScopeVector
    let symbols: UnsafeMutableBufferPointer<UInt16>
    /// ‖δ‖² and ‖u‖² over the finite elements.
    private(set) var energy = 0.0
    private(set) var norm = 0.0
    private(set) var isFinite = true
    private let room: UnsafeMutablePointer<Float>
    private let pieces: [Range<Int>]
    private let workers: Int

    init(_ vector: ScopeVector, threads: Int) {
        self.vector = vector
        let count = vector.layout.count
        symbols = allocateLarge(count)
        let size = UniformScope.pieceCount
        pieces = stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
        workers = max(1, min(threads, pieces.count))
        room = .allocate(capacity: 3 * workers * min(size, max(count, 1)))
        let results = Results(count: pieces.count, (energy: 0.0, norm: 0.0, isFinite: true))
        let (pieces, room) = (pieces, room)
        inParallel(pieces.count, threads: workers) { piece, worker in
            let range = pieces[piece]
            let own = room + 3 * worker * min(size, count)
            let target = vector.target(range, own)
            let restored = vector.reconstruction(range, own + range.count).floats
            let out = own + 2 * range.count
            let squares = ck_deltas(target, restored, range.count, nil)
            var sums = (energy: squares.error, norm: squares.norm, isFinite: true)
            if !sums.energy.isFinite || !sums.norm.isFinite {
                sums = (0, 0, false)
                _ = ck_deltas(target, restored, range.count, out)
                for index in 0..<range.count {
                    if target[index].isFinite { sums.norm += Double(target[index]) * Double(target[index]) }
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
        ck_free(symbols.baseAddress)
        room.deallocate()
    }

    /// A worker's memory: as much as three pieces.
    private func scratch(_ worker: Int) -> UnsafeMutablePointer<Float> {
        room + 3 * worker * min(UniformScope.pieceCount, vector.layout.count)
    }

    /// Sends nothing. Until then, or until they are searched for, there are no symbols.
    func clear() { symbols.initialize(repeating: 0) }

    /// What the symbols of `rule` restore with these values: ‖u − ũ‖², and the elements that must be carried.
    ///
    /// - Parameter hasExceptions: deltas beyond the last level occur.
    func restore(
        _ rule: UniformRule?, _ values: [Float], hasExceptions: Bool
    ) -> (error: Double, carried: [Int]) {
        let results = Results(count: pieces.count, (error: 0.0, carried: [Int]()))
        let inverse = rule.map { 1 / $0.step } ?? 0
        let isPlain = !hasExceptions && isFinite && !vector.layout.isRoot
        let isUnrounded = vector.layout.formats.allSatisfy { $0 == .float32 }
        let (vector, pieces) = (vector, pieces)
        let rooms = (0..<workers).map { scratch($0) }
        let symbols = symbols.baseAddress.unsafelyUnwrapped
        inParallel(pieces.count, threads: workers) { piece, worker in
            let range = pieces[piece]
            let room = rooms[worker]
            let target = vector.target(range, room)
            let known = vector.reconstruction(range, room + range.count).floats
            if isPlain, isUnrounded {
                let sum = ck_missed(
                    target, known, symbols + range.lowerBound, range.count, values, UInt32(values.count))
                if sum.isFinite {
                    results[piece].error = sum
                    return
                }
            }
            let result = room + 2 * range.count
            result.update(from: known, count: range.count)
            ck_apply(symbols + range.lowerBound, range.count, values, UInt32(values.count), result)
            vector.round(range, result)
            if isPlain, !isUnrounded {
                let sum = ck_missed(target, result, nil, range.count, values, UInt32(values.count))
                if sum.isFinite {
                    results[piece].error = sum
                    return
                }
            }
            var (error, carried) = (0.0, [Int]())
            for index in 0..<range.count {
                let element = range.lowerBound + index
                let miss =
                    Double(target[index]) - Double(vector.layout.isRoot ? root(result[index]) : result[index])
                // A sum may overflow where the delta didn't: a restore must not yield infinity for a finite value.
                let delta = target[index] - known[index]
                if !miss.isFinite || !delta.isFinite || (delta * inverse).magnitude >= UniformRule.end {
                    carried.append(element)
                } else {
                    error += miss * miss
                }
            }
            results[piece] = (error, carried)
        }
        return results.all.reduce(into: (0, [])) { sum, own in
            sum.error += own.error
            sum.carried += own.carried
        }
    }

    /// Finds symbols that miss the target by at most `budget`, a sum of squares; nil where there are none.
    func quantize(budget: Double, isPatient: Bool) -> UniformSymbols? {
        var found = UniformSymbols(
            values: UniformValues(step: 0, highest: 0, places: []), restored: (energy, []))
        // Nothing is sent if nothing needs to be; what is sent otherwise is looked at below.
        if energy <= 1.001 * budget {
            clear()
            found.restored = restore(nil, [0], hasExceptions: false)
        }
        // Rounding to half types may add to the error: then the goal is lowered.
        var goal = budget
        var attempt = 0
        while found.restored.error > budget {
            guard attempt < 8, goal > 0, energy > goal, let symbols = symbols.baseAddress,
                let (rule, outcome) = searchUniform(
                    vector, budget: goal, isFinite: isFinite, isPatient: isPatient, symbols: symbols,
                    threads: workers)
            else { return nil }
            // All that would be sent may have been dropped, or be carried as it is.
            let isSent = ck_any(symbols, vector.layout.count)
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
    func store(_ values: [Float], exceptions: [ExceptionalElement], _ digests: SectionDigests) {
        let (vector, pieces) = (vector, pieces)
        let rooms = (0..<workers).map { scratch($0) }
        let symbols = symbols.baseAddress.unsafelyUnwrapped
        inParallel(pieces.count, threads: workers) { piece, worker in
            let range = pieces[piece]
            let (restored, isDirect) = vector.reconstruction(range, rooms[worker])
            ck_apply(symbols + range.lowerBound, range.count, values, UInt32(values.count), restored)
            vector.round(range, restored)
            vector.store(
                range, restored, isDirect: isDirect, exceptions: exceptions.within(range), digests: digests)
        }
    }
}

/// What the symbols that were found stand for, and what restoring them comes to: ‖u − ũ‖², and what must be carried.
struct UniformSymbols {
    var values: UniformValues
    var restored: (error: Double, carried: [Int])
}
