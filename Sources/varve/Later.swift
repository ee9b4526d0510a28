import Dispatch
import Synchronization

/// What another thread is computing.
final class Later<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)
    private let isDone = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () throws -> Value) {
        DispatchQueue.global().async {
            let own = Result(catching: body)
            self.result.withLock { $0 = own }
            self.isDone.signal()
        }
    }

    /// Waits for it.
    func get() throws -> Value {
        isDone.wait()
        isDone.signal()
        guard let own = result.withLock({ $0 }) else {
            preconditionFailure("it was computed before it is done")
        }
        return try own.get()
    }
}
