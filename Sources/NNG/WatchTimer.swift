import Dispatch
import Synchronization

/// A repeating timer that can be cancelled from any thread, also before it was started.
final class WatchTimer: Sendable {
    private struct State {
        var source: (any DispatchSourceTimer)?
        var cancelled = false
    }

    private let queue: DispatchQueue
    private let state = Mutex(State())

    init(queue: DispatchQueue) { self.queue = queue }

    func start(everyMilliseconds: Int, _ body: @escaping @Sendable () -> Void) {
        let interval = DispatchTimeInterval.milliseconds(everyMilliseconds)
        state.withLock { [queue] state in
            guard !state.cancelled, state.source == nil else { return }
            let source = DispatchSource.makeTimerSource(queue: queue)
            source.schedule(deadline: .now() + interval, repeating: interval, leeway: .milliseconds(20))
            source.setEventHandler(handler: DispatchWorkItem(block: body))
            source.resume()
            state.source = source
        }
    }

    func cancel() {
        state.withLock { state in
            state.cancelled = true
            state.source?.cancel()
            state.source = nil
        }
    }
}
