import Glibc

@testable import Storage

/// A file system in memory that counts calls, fails or stops at a chosen one, and loses what was not synced.
final class FaultyFileSystem: LogFileSystem {
    final class File {
        var bytes: [UInt8] = []
        var durable: [UInt8] = []
    }

    private(set) var names: [String: File] = [:]
    private var durableNames: [String: File] = [:]
    private var open: [Int32: File] = [:]
    private var nextDescriptor: Int32 = 3
    private var isLocked = false
    /// Calls that change something so far.
    private(set) var changes = 0
    /// The machine stops before the change of this number; a write is torn in the middle.
    var stopAt = Int.max
    var failSync = false
    var capacityBytes = Int.max
    /// Writes transfer at most this many bytes.
    var writeLimit = Int.max

    private func change(_ call: String) throws(SystemCallFailure) {
        changes += 1
        if changes > stopAt { throw SystemCallFailure(call: call, code: EINTR) }
    }

    /// What a machine finds after power came back: `keepUnsynced` decides what was written back in time.
    func afterCrash(keepUnsynced: (Int) -> Bool) -> FaultyFileSystem {
        let next = FaultyFileSystem()
        for (name, file) in durableNames {
            let copy = File()
            copy.bytes = file.durable
            if file.bytes.count > copy.bytes.count, keepUnsynced(-1) {
                copy.bytes += [UInt8](repeating: 0, count: file.bytes.count - copy.bytes.count)
            }
            for sector in 0...(max(0, copy.bytes.count - 1) / 512) where keepUnsynced(sector) {
                let end = min(sector * 512 + 512, copy.bytes.count, file.bytes.count)
                guard sector * 512 < end else { continue }
                copy.bytes.replaceSubrange(sector * 512..<end, with: file.bytes[sector * 512..<end])
            }
            copy.durable = copy.bytes
            next.names[name] = copy
        }
        next.durableNames = next.names
        return next
    }

    /// The process is gone, and the machine goes on: what it had written is there, and need not be durable.
    func endProcess() {
        open = [:]
        isLocked = false
    }

    /// Turns a bit over, in memory and on the disk.
    func flip(_ name: String, at place: Int) {
        guard let file = names[name] else { return }
        file.bytes[place] ^= 1
        if place < file.durable.count { file.durable[place] ^= 1 }
    }

    private func file(_ file: OpenFile) throws(SystemCallFailure) -> File {
        guard let found = open[file.descriptor] else { throw SystemCallFailure(call: "use", code: EBADF) }
        return found
    }

    private func hand(_ file: File) -> OpenFile {
        nextDescriptor += 1
        open[nextDescriptor] = file
        return OpenFile(descriptor: nextDescriptor)
    }

    func createDirectory(_ path: String) throws(SystemCallFailure) {}

    func list(_ directory: String) throws(SystemCallFailure) -> [String] {
        names.keys.map { String($0.dropFirst(directory.count + 1)) }.sorted()
    }

    func lock(_ path: String) throws(SystemCallFailure) -> OpenFile {
        if isLocked { throw SystemCallFailure(call: "flock", code: EWOULDBLOCK) }
        return hand(File())
    }

    func open(_ path: String, _ mode: OpenMode) throws(SystemCallFailure) -> OpenFile {
        switch mode {
        case .createNew:
            try change("open")
            if names[path] != nil { throw SystemCallFailure(call: "open", code: EEXIST) }
            let file = File()
            names[path] = file
            return hand(file)
        case .readWrite, .readOnly:
            guard let file = names[path] else { throw SystemCallFailure(call: "open", code: ENOENT) }
            return hand(file)
        }
    }

    func sizeBytes(_ file: OpenFile) throws(SystemCallFailure) -> UInt64 {
        UInt64(try self.file(file).bytes.count)
    }

    func read(_ file: OpenFile, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64)
        throws(SystemCallFailure) -> Int
    {
        let bytes = try self.file(file).bytes
        guard offset < UInt64(bytes.count) else { return 0 }
        let part = bytes[Int(offset)..<min(bytes.count, Int(offset) + buffer.count)]
        buffer.copyBytes(from: part)
        return part.count
    }

    func write(
        _ file: OpenFile, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, at offset: UInt64
    ) throws(SystemCallFailure) -> Int {
        let target = try self.file(file)
        let all = Array(first) + Array(second)
        let stopping = changes >= stopAt
        let count = stopping ? all.count / 2 : min(all.count, writeLimit)
        let end = Int(offset) + count
        if end > target.bytes.count {
            if end > capacityBytes { throw SystemCallFailure(call: "pwrite", code: ENOSPC) }
            target.bytes += [UInt8](repeating: 0, count: end - target.bytes.count)
        }
        if changes <= stopAt { target.bytes.replaceSubrange(Int(offset)..<end, with: all[..<count]) }
        try change("pwrite")
        return count
    }

    func allocate(_ file: OpenFile, from offset: UInt64, lengthBytes: UInt64) throws(SystemCallFailure) {
        try change("fallocate")
        let target = try self.file(file)
        let end = Int(offset + lengthBytes)
        if end > capacityBytes { throw SystemCallFailure(call: "fallocate", code: ENOSPC) }
        target.bytes += [UInt8](repeating: 0, count: max(0, end - target.bytes.count))
    }

    func truncate(_ file: OpenFile, toBytes size: UInt64) throws(SystemCallFailure) {
        try change("ftruncate")
        let target = try self.file(file)
        target.bytes = Array(target.bytes.prefix(Int(size)))
        target.bytes += [UInt8](repeating: 0, count: Int(size) - target.bytes.count)
    }

    func syncData(_ file: OpenFile) throws(SystemCallFailure) {
        try change("fdatasync")
        if failSync {
            failSync = false
            throw SystemCallFailure(call: "fdatasync", code: EIO)
        }
        let target = try self.file(file)
        target.durable = target.bytes
    }

    func syncDirectory(_ path: String) throws(SystemCallFailure) {
        try change("fsync")
        durableNames = names
    }

    func rename(_ from: String, to: String) throws(SystemCallFailure) {
        try change("rename")
        names[to] = names.removeValue(forKey: from)
    }

    func remove(_ path: String) throws(SystemCallFailure) {
        try change("unlink")
        guard names.removeValue(forKey: path) != nil else {
            throw SystemCallFailure(call: "unlink", code: ENOENT)
        }
    }

    func close(_ file: OpenFile) { open[file.descriptor] = nil }
}
