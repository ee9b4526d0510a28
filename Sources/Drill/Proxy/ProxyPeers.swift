import Foundation

/// Finds out which node dialled, from the port at the other end of its connection.
enum ProxyPeers {
    /// - Parameters:
    ///   - port: the dialler's own port on 127.0.0.1.
    ///   - up: the process that the nodes are children of.
    static func node(atPort port: UInt16, of up: Int32) -> String? {
        guard up > 0, let inode = inode(ofLocalPort: port) else { return nil }
        let wanted = "socket:[\(inode)]"
        for (node, entry) in ProcessTable.nodes(of: up) where holds(entry.pid, wanted) { return node }
        return nil
    }

    private static func inode(ofLocalPort port: UInt16) -> Substring? {
        guard let bytes = ProcessTable.read("/proc/net/tcp") else { return nil }
        let table = String(decoding: bytes, as: UTF8.self)
        // 0100007F is 127.0.0.1 as the kernel prints it on little-endian machines.
        let digits = String(port, radix: 16, uppercase: true)
        let local = ":" + String(repeating: "0", count: 4 - digits.count) + digits
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            if fields.count > 9, fields[1].hasSuffix(local) { return fields[9] }
        }
        return nil
    }

    private static func holds(_ pid: Int32, _ wanted: String) -> Bool {
        let folder = "/proc/\(pid)/fd"
        guard let open = opendir(folder) else { return false }
        defer { closedir(open) }
        var buffer = [CChar](repeating: 0, count: 128)
        while let entry = readdir(open) {
            let number = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            let count = readlink("\(folder)/\(number)", &buffer, buffer.count - 1)
            guard count > 0 else { continue }
            buffer[count] = 0
            let target = String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if target == wanted { return true }
        }
        return false
    }
}
