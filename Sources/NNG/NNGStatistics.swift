internal import CNNG

/// What is known of nng in this process as a whole; each endpoint has its own `counters`.
public enum NNGStatistics {
    /// Streams and sockets whose closing has not returned: one that stays here is wedged inside nng, and a process
    /// with many should be restarted.
    public static var closing: Int { ClosingThreads.count }

    /// The version of the library that runs, such as "1.5.2".
    public static var version: String { String(cString: nng_version()) }
}
