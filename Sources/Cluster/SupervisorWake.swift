import CSystem
import Foundation

/// Lets a thread sleep on descriptors until another thread wakes it.
final class WakePipe: Sendable {
    /// What a sleep ends for.
    struct Wait {
        var descriptors: [Int32] = []
        /// Negative: no limit.
        var timeoutMilliseconds: Int32 = -1

        /// Shortens the sleep to at most this long.
        mutating func limit(milliseconds: Int32) {
            let most = max(0, milliseconds)
            timeoutMilliseconds = timeoutMilliseconds < 0 ? most : min(timeoutMilliseconds, most)
        }
    }

    /// Negative when no pipe could be had; then sleeps are short instead.
    private let readEnd: Int32
    private let writeEnd: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        if varve_pipe(&ends) == 0 {
            for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        if readEnd >= 0 {
            close(readEnd)
            close(writeEnd)
        }
    }

    /// Ends the sleep that lasts, or else the next one. A full pipe wakes just as well.
    func wake() {
        var byte: UInt8 = 0
        if writeEnd >= 0 { _ = write(writeEnd, &byte, 1) }
    }

    func wait(_ wait: Wait) {
        var wait = wait
        if readEnd < 0 { wait.limit(milliseconds: 3) }
        var watched = ([readEnd] + wait.descriptors).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        guard poll(&watched, nfds_t(watched.count), wait.timeoutMilliseconds) > 0 else { return }
        var bytes: [UInt8] = Array(repeating: 0, count: 64)
        if watched[0].revents != 0 { while read(readEnd, &bytes, bytes.count) > 0 {} }
    }
}
