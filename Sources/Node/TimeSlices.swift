import CSystem

/// Time slices of the system's scheduler.
///
/// A server that wakes up for a message takes microseconds, but on a busy machine it may have to wait for the end of
/// the time slice, of milliseconds, of a worker that computes. Linux (since 6.12) lets a thread that asked for
/// shorter slices run first; its share of the processor stays the same.
public enum TimeSlices {
    /// For a process that serves: all its threads, and those that they start.
    public static func preferShort() { varve_request_slice_everywhere(100_000) }

    /// For the calling thread, when it computes.
    static func preferUsual() { _ = varve_request_slice(0, 0) }
}
