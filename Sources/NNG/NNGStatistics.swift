internal import CNNG

/// What nng counts itself, per socket.
///
/// Walks the tree by socket number: `nng_stat_find_socket` returns the same node for every socket.
public enum NNGStatistics {
    /// One socket's numbers.
    public struct Socket: Sendable, Hashable {
        /// nng's number of the socket.
        public var id: UInt32
        /// The numeric statistics by name, such as `tx_bytes`, `rx_msgs`, `pipes`; levels below the socket are
        /// not included.
        public var values: [String: UInt64]
    }

    /// A snapshot of all sockets of this process; empty when nng was built without statistics.
    ///
    /// Takes nng's statistics lock and allocates: for a metrics page, not for a hot path.
    public static func sockets() -> [Socket] {
        var root: OpaquePointer?
        guard nng_stats_get(&root) == 0, let root else { return [] }
        defer { nng_stats_free(root) }
        var found: [Socket] = []
        var node = nng_stat_child(root)
        while let current = node {
            if String(cString: nng_stat_name(current)) == "socket" { found.append(socket(current)) }
            node = nng_stat_next(current)
        }
        return found
    }

    private static func socket(_ scope: OpaquePointer) -> Socket {
        var result = Socket(id: 0, values: [:])
        var node = nng_stat_child(scope)
        while let current = node {
            let name = String(cString: nng_stat_name(current))
            let value = nng_stat_value(current)
            switch UInt32(bitPattern: nng_stat_type(current)) {
            case NNG_STAT_ID.rawValue:
                if name == "id" { result.id = UInt32(truncatingIfNeeded: value) }
            case NNG_STAT_LEVEL.rawValue, NNG_STAT_COUNTER.rawValue: result.values[name] = value
            default: break  // Scopes, strings and booleans; nng's numbers are open-ended.
            }
            node = nng_stat_next(current)
        }
        return result
    }

    /// Sockets whose closing has not returned: one that stays here is wedged inside nng, and a process with many
    /// should be restarted.
    public static var closingSockets: Int { ClosingThreads.count }

    /// The version of the library that runs, such as "1.5.2".
    public static var version: String { String(cString: nng_version()) }
}
