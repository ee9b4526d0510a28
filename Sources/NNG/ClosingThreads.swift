import Glibc
import Synchronization

/// Detached threads that free what nng holds: nng may wait there for its own threads, and old versions for ever.
enum ClosingThreads {
    /// Past this many closings under way nothing new is opened for replacement: only a new process helps.
    static let limit = 256

    private static let running = Atomic<Int>(0)

    /// Closings that have not returned; one that stays here is wedged inside nng.
    static var count: Int { running.load(ordering: .relaxed) }

    private final class Work: Sendable {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs `body` on a detached thread, or here when no thread can be made.
    static func run(_ body: @escaping @Sendable () -> Void) {
        running.add(1, ordering: .relaxed)
        let work = Work {
            body()
            running.subtract(1, ordering: .relaxed)
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(work)
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, argument.toOpaque())
        if code != 0 { argument.takeRetainedValue().body() }
    }
}
