import Glibc

/// Nanoseconds of the monotonic clock.
struct Monotonic: Comparable, Sendable {
    var nanoseconds: UInt64

    static var now: Monotonic {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Monotonic(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    func adding(milliseconds: Int) -> Monotonic {
        Monotonic(nanoseconds: nanoseconds &+ UInt64(max(0, milliseconds)) &* 1_000_000)
    }

    /// Whole milliseconds from here to `later`, rounded up; 0 when it has passed.
    func milliseconds(until later: Monotonic) -> Int {
        later <= self ? 0 : Int((later.nanoseconds - nanoseconds + 999_999) / 1_000_000)
    }

    static func < (left: Monotonic, right: Monotonic) -> Bool { left.nanoseconds < right.nanoseconds }
}
