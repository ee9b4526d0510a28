import Foundation

/// What `/proc` says of processes. Ids are used at once or checked by their start time, since the kernel reuses them.
enum ProcessTable {
    struct Entry: Sendable, Hashable {
        var pid: Int32
        var parent: Int32
        /// `R`, `S`, `T` (stopped), `Z` (ended, not reaped) and so on.
        var state: Character
        var startTicks: UInt64
        var arguments: [String]

        /// `shard-1` for `varve shard --index 1 …`; nil for what is no node.
        var node: String? {
            guard arguments.count > 1, let role = NodeRole(rawValue: arguments[1]) else { return nil }
            if role == .coordinator { return role.rawValue }
            guard let place = arguments.firstIndex(of: "--index"), place + 1 < arguments.count else {
                return nil
            }
            return "\(role.rawValue)-\(arguments[place + 1])"
        }
    }

    static func all() -> [Entry] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.compactMap { Int32($0) }.compactMap(entry)
    }

    static func entry(_ pid: Int32) -> Entry? {
        guard let stat = read("/proc/\(pid)/stat"), let close = stat.lastIndex(of: UInt8(ascii: ")")) else {
            return nil
        }
        // After the name in brackets: state, parent, …, start time as the 20th field.
        let fields = String(decoding: stat[(close + 1)...], as: UTF8.self).split(separator: " ")
        guard fields.count > 19, let parent = Int32(fields[1]), let start = UInt64(fields[19]) else {
            return nil
        }
        let words = read("/proc/\(pid)/cmdline") ?? []
        return Entry(
            pid: pid, parent: parent, state: fields[0].first ?? "?", startTicks: start,
            arguments: words.split(separator: 0).map { String(decoding: $0, as: UTF8.self) })
    }

    /// The nodes that a `varve up` has started and that have not ended.
    static func nodes(of up: Int32) -> [String: Entry] {
        var found: [String: Entry] = [:]
        for entry in all() where entry.parent == up && entry.state != "Z" {
            if let node = entry.node { found[node] = entry }
        }
        return found
    }

    /// Whether this very process still runs.
    static func isAlive(_ entry: Entry) -> Bool {
        guard let now = self.entry(entry.pid) else { return false }
        return now.startTicks == entry.startTicks && now.state != "Z" && now.state != "X"
    }

    /// The whole of a file whose size the kernel does not tell.
    static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 32_768)
        while true {
            let count = Foundation.read(descriptor, &part, part.count)
            if count <= 0 { return bytes.isEmpty && count < 0 ? nil : bytes }
            bytes += part[..<count]
        }
    }
}
