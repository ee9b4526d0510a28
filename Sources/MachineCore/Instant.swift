/// A moment on one node's monotonic clock, in nanoseconds. Moments of different nodes can't be compared.
public struct Instant: Sendable, Hashable, Comparable {
    public var nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    public static func + (a: Instant, b: Span) -> Instant {
        Instant(nanoseconds: a.nanoseconds + b.nanoseconds)
    }

    /// The time since an earlier moment; zero when it is not earlier.
    public func since(_ earlier: Instant) -> Span {
        Span(nanoseconds: nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0)
    }

    /// A length of time.
    public struct Span: Sendable, Hashable, Comparable {
        public var nanoseconds: UInt64
        public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
        public static func milliseconds(_ count: Int) -> Span { Span(nanoseconds: UInt64(count) * 1_000_000) }
        /// How long so many bytes take on a slow link, at 10 MB/s.
        public static func transfer(of bytes: UInt64) -> Span { Span(nanoseconds: min(bytes, 1 << 40) * 100) }
        public static func < (a: Span, b: Span) -> Bool { a.nanoseconds < b.nanoseconds }
        public var milliseconds: Double { Double(nanoseconds) / 1e6 }
    }
}
