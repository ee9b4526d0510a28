import CKernels

/// Calls `body` for each index, on up to `threads` threads; returns when all are done.
///
/// - Parameter body: runs at the same time for different indices, never for the same `worker`, which is below
///   `threads`. What it touches must be apart for each index or worker.
func inParallel(_ count: Int, threads: Int, _ body: (_ index: Int, _ worker: Int) -> Void) {
    guard threads > 1, count > 1 else {
        for index in 0..<count { body(index, 0) }
        return
    }
    withoutActuallyEscaping(body) { body in
        var box = LoopBody(run: body)
        withUnsafeMutablePointer(to: &box) { box in
            ck_parallel(
                count, min(threads, 64),
                { context, index, worker in
                    context?.assumingMemoryBound(to: LoopBody.self).pointee.run(index, worker)
                }, box)
        }
    }
}

private struct LoopBody {
    let run: (Int, Int) -> Void
}

/// Results that the turns of a parallel loop leave, each in a place of its own.
final class Results<Element> {
    private let storage: UnsafeMutableBufferPointer<Element>

    init(count: Int, _ initial: Element) {
        storage = .allocate(capacity: count)
        storage.initialize(repeating: initial)
    }

    subscript(index: Int) -> Element {
        get { storage[index] }
        set { storage[index] = newValue }
    }

    func change(_ index: Int, _ body: (inout Element) -> Void) { body(&storage[index]) }

    var all: [Element] { Array(storage) }

    deinit {
        storage.deinitialize()
        storage.deallocate()
    }
}
