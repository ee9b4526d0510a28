import Foundation
import Synchronization

/// Where a run of cells stands.
public struct CellProgress: Sendable, Hashable {
    public var done: Int
    public var total: Int
    /// Cells that were found and not computed.
    public var kept: Int
    /// The cell that ended last.
    public var last: String
}

/// Computes cells on several threads; each is kept as soon as it has ended.
final class CellRunner: Sendable {
    private struct State {
        var queue: [Cell] = []
        var results: [String: Data] = [:]
        var failure: (any Error)?
        var progress: CellProgress
    }

    private let store: CellStore
    private let threads: Int
    private let report: @Sendable (CellProgress) -> Void
    private let state: Mutex<State>

    /// - Parameter total: the cells of all calls of `run`, for the progress.
    init(
        store: CellStore, threads: Int, total: Int, report: @escaping @Sendable (CellProgress) -> Void
    ) {
        self.store = store
        self.threads = max(1, threads)
        self.report = report
        state = Mutex(State(progress: CellProgress(done: 0, total: total, kept: 0, last: "")))
    }

    /// The results by id. After a failure no new cell is begun; those that ended are kept.
    ///
    /// - Throws: the first cell's failure.
    func run(_ cells: [Cell]) throws -> [String: Data] {
        var open: [Cell] = []
        for cell in cells {
            if let kept = store.find(cell) { note(cell, kept, isKept: true) } else { open.append(cell) }
        }
        work(open.filter { !$0.isExclusive }, threads: threads)
        work(open.filter(\.isExclusive), threads: 1)
        return try state.withLock { state in
            if let failure = state.failure { throw failure }
            return state.results
        }
    }

    private func work(_ cells: [Cell], threads: Int) {
        state.withLock { $0.queue = cells }
        let ended = DispatchSemaphore(value: 0)
        for index in 0..<threads {
            let thread = Thread { [self] in
                while let cell = take() { compute(cell) }
                ended.signal()
            }
            thread.name = "cells \(index)"
            thread.stackSize = 8 << 20
            thread.start()
        }
        for _ in 0..<threads { ended.wait() }
    }

    private func take() -> Cell? {
        state.withLock { state in
            guard state.failure == nil, !state.queue.isEmpty else { return nil }
            return state.queue.removeFirst()
        }
    }

    private func compute(_ cell: Cell) {
        do {
            let result = try cell.work()
            try store.keep(result, of: cell)
            note(cell, result, isKept: false)
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
        }
    }

    private func note(_ cell: Cell, _ result: Data, isKept: Bool) {
        let progress = state.withLock { state in
            state.results[cell.id] = result
            state.progress.done += 1
            if isKept { state.progress.kept += 1 }
            state.progress.last = cell.id
            return state.progress
        }
        report(progress)
    }
}

extension [String: Data] {
    /// The outcome of a cell that ran.
    func outcome<Outcome: Decodable>(_ cell: Cell, as type: Outcome.Type = Outcome.self) throws -> Outcome {
        guard let data = self[cell.id] else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: [], debugDescription: "no result of \(cell.id)"))
        }
        return try Cell.decoder.decode(Outcome.self, from: data)
    }
}
