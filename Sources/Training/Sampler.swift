import Synchronization

/// The deterministic partition and shuffle of a training set: which samples a worker slot uses at a clock.
///
/// `indices(slot:clock:)` is a pure function of the arguments and of the four numbers given at the start, so the clock
/// is the reader's position: a checkpoint that holds the clock holds the position, and a worker that takes over a slot
/// goes on exactly where the lost one stopped.
///
/// An epoch is `sampleCount / (workers * batch)` clocks, rounded down. Each epoch is a fresh permutation from
/// `(seed, epoch)`; within one, no sample is used twice, and fewer than `workers * batch` samples sit out, other ones
/// in the next epoch.
public struct Sampler: Sendable {
    public let sampleCount: Int
    public let workers: Int
    /// Samples per worker and clock.
    public let batch: Int
    public let seed: UInt64
    private let cache: PermutationCache

    /// - Throws: `DataError.unsuitable` when a number isn't positive or the data set is smaller than one step of all
    ///   workers.
    public init(sampleCount: Int, workers: Int, batch: Int, seed: UInt64) throws(DataError) {
        guard workers > 0, batch > 0 else {
            throw .unsuitable("workers is \(workers) and batch is \(batch); both must be at least 1")
        }
        let (step, overflow) = workers.multipliedReportingOverflow(by: batch)
        guard !overflow, step <= sampleCount else {
            throw .unsuitable(
                "one step of \(workers) workers × batch \(batch) needs more than the \(sampleCount) training samples "
                    + "there are; lower batch or workers")
        }
        guard sampleCount <= Int(Int32.max) else {
            throw .unsuitable("the data set has \(sampleCount) samples; at most \(Int32.max) are supported")
        }
        self.sampleCount = sampleCount
        self.workers = workers
        self.batch = batch
        self.seed = seed
        cache = PermutationCache()
    }

    /// The number of clocks in an epoch, at least 1.
    public var clocksPerEpoch: Int { sampleCount / (workers * batch) }

    /// The epoch that a clock lies in, counted from 0.
    public func epoch(clock: UInt64) -> UInt64 { clock / UInt64(clocksPerEpoch) }

    /// The samples that worker `slot` uses at `clock` (counted from 0), `batch` of them.
    ///
    /// The first call in an epoch costs one shuffle of the data set (about 10 ns a sample); the others copy.
    /// - Precondition: `slot` is in `0..<workers`.
    public func indices(slot: Int, clock: UInt64) -> [Int32] {
        precondition((0..<workers).contains(slot), "worker slot \(slot) of \(workers)")
        let position = Int(clock % UInt64(clocksPerEpoch))
        let start = (position * workers + slot) * batch
        let permutation = cache.permutation(epoch: epoch(clock: clock), count: sampleCount, seed: seed)
        return Array(permutation[start..<start + batch])
    }
}

/// Keeps the permutations of two epochs, since workers under ssp may stand on both sides of an epoch's end.
private final class PermutationCache: Sendable {
    private struct Entry {
        var epoch: UInt64
        var permutation: [Int32]
    }

    private let entries = Mutex<(even: Entry?, odd: Entry?)>((nil, nil))

    func permutation(epoch: UInt64, count: Int, seed: UInt64) -> [Int32] {
        entries.withLock { entries in
            let held = epoch.isMultiple(of: 2) ? entries.even : entries.odd
            if let held, held.epoch == epoch { return held.permutation }
            let made = Entry(epoch: epoch, permutation: Self.shuffled(count: count, seed: seed, epoch: epoch))
            if epoch.isMultiple(of: 2) { entries.even = made } else { entries.odd = made }
            return made.permutation
        }
    }

    /// Fisher–Yates over `0..<count`.
    private static func shuffled(count: Int, seed: UInt64, epoch: UInt64) -> [Int32] {
        var permutation = (0..<Int32(count)).map { $0 }
        var generator = SplitMix64(seed: seed, stream: epoch)
        permutation.withUnsafeMutableBufferPointer { elements in
            for last in stride(from: count - 1, to: 0, by: -1) {
                elements.swapAt(last, Int(generator.below(UInt64(last) + 1)))
            }
        }
        return permutation
    }
}
