import CSystem
import Glibc

/// A system call that failed.
public struct SystemCallFailure: Error, Sendable, Hashable {
    public var call: String
    /// The value of errno.
    public var code: Int32

    public init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }
}

/// An open file of a `LogFileSystem`.
public struct OpenFile: Sendable, Hashable {
    public var descriptor: Int32

    public init(descriptor: Int32) {
        self.descriptor = descriptor
    }
}

/// How a file is opened.
public enum OpenMode: Sendable {
    /// It must not exist yet (O_EXCL); read and write.
    case createNew
    case readWrite
    case readOnly
}

/// The system calls that a `SegmentLog` makes, so that tests can fail, tear and lose them.
///
/// The log is generic over a concrete type: there is no dynamic dispatch on the write path.
/// Writes may be short; nothing is durable before `syncData`, and no name before `syncDirectory`.
public protocol LogFileSystem {
    func createDirectory(_ path: String) throws(SystemCallFailure)
    /// Names in the directory, in no particular order.
    func list(_ directory: String) throws(SystemCallFailure) -> [String]
    /// Takes an exclusive lock that ends with the process or with `close`; fails with EWOULDBLOCK when held.
    func lock(_ path: String) throws(SystemCallFailure) -> OpenFile
    func open(_ path: String, _ mode: OpenMode) throws(SystemCallFailure) -> OpenFile
    func sizeBytes(_ file: OpenFile) throws(SystemCallFailure) -> UInt64
    /// Returns the number of bytes read: fewer than asked for only at the end of the file.
    func read(_ file: OpenFile, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64)
        throws(SystemCallFailure) -> Int
    /// Writes `first`, then `second`; returns the number of bytes written, which may be short.
    func write(
        _ file: OpenFile, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, at offset: UInt64
    ) throws(SystemCallFailure) -> Int
    /// Extends the file with zeros that are written, not only reserved: a sync of data in their place then needs no
    /// change of the file's extents, which takes a commit of the file system's journal. EOPNOTSUPP means that the
    /// file system can't reserve.
    func allocate(_ file: OpenFile, from offset: UInt64, lengthBytes: UInt64) throws(SystemCallFailure)
    func truncate(_ file: OpenFile, toBytes size: UInt64) throws(SystemCallFailure)
    func syncData(_ file: OpenFile) throws(SystemCallFailure)
    func syncDirectory(_ path: String) throws(SystemCallFailure)
    func rename(_ from: String, to: String) throws(SystemCallFailure)
    func remove(_ path: String) throws(SystemCallFailure)
    func close(_ file: OpenFile)
}

/// The real thing.
public struct POSIXFileSystem: LogFileSystem, Sendable {
    public init() {}

    @inline(__always)
    private func check(_ call: String, _ code: Int32) throws(SystemCallFailure) {
        if code != 0 { throw SystemCallFailure(call: call, code: code) }
    }

    public func createDirectory(_ path: String) throws(SystemCallFailure) {
        if mkdir(path, 0o755) != 0, errno != EEXIST { throw SystemCallFailure(call: "mkdir", code: errno) }
    }

    public func list(_ directory: String) throws(SystemCallFailure) -> [String] {
        guard let stream = opendir(directory) else { throw SystemCallFailure(call: "opendir", code: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        try check("readdir", errno)
        return names
    }

    public func lock(_ path: String) throws(SystemCallFailure) -> OpenFile {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SystemCallFailure(call: "open", code: errno) }
        let code = varve_lock_exclusively(descriptor)
        if code != 0 {
            _ = Glibc.close(descriptor)
            throw SystemCallFailure(call: "flock", code: code)
        }
        return OpenFile(descriptor: descriptor)
    }

    public func open(_ path: String, _ mode: OpenMode) throws(SystemCallFailure) -> OpenFile {
        let flags =
            switch mode {
            case .createNew: O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC
            case .readWrite: O_RDWR | O_CLOEXEC
            case .readOnly: O_RDONLY | O_CLOEXEC
            }
        let descriptor = Glibc.open(path, flags, 0o644)
        guard descriptor >= 0 else { throw SystemCallFailure(call: "open", code: errno) }
        return OpenFile(descriptor: descriptor)
    }

    public func sizeBytes(_ file: OpenFile) throws(SystemCallFailure) -> UInt64 {
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else {
            throw SystemCallFailure(call: "fstat", code: errno)
        }
        return UInt64(max(0, status.st_size))
    }

    public func read(_ file: OpenFile, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64)
        throws(SystemCallFailure) -> Int
    {
        var done = 0
        while done < buffer.count {
            let count = varve_pread(
                file.descriptor, buffer.baseAddress! + done, buffer.count - done,
                Int64(clamping: offset) + Int64(done))
            if count < 0 { throw SystemCallFailure(call: "pread", code: Int32(-count)) }
            if count == 0 { break }
            done += Int(count)
        }
        return done
    }

    public func write(
        _ file: OpenFile, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, at offset: UInt64
    ) throws(SystemCallFailure) -> Int {
        let count = varve_pwrite2(
            file.descriptor, first.baseAddress, first.count, second.baseAddress, second.count,
            Int64(clamping: offset))
        if count < 0 { throw SystemCallFailure(call: "pwrite", code: Int32(-count)) }
        return Int(count)
    }

    public func allocate(_ file: OpenFile, from offset: UInt64, lengthBytes: UInt64) throws(SystemCallFailure)
    {
        // Reserved first, so that a full disk is known before anything is written.
        let code = varve_fallocate(file.descriptor, Int64(clamping: offset), Int64(clamping: lengthBytes))
        try check("fallocate", code)
        let written = varve_write_zeros(
            file.descriptor, Int64(clamping: offset), Int64(clamping: lengthBytes))
        try check("pwrite", written)
    }

    public func truncate(_ file: OpenFile, toBytes size: UInt64) throws(SystemCallFailure) {
        try check("ftruncate", ftruncate(file.descriptor, off_t(clamping: size)) == 0 ? 0 : errno)
    }

    public func syncData(_ file: OpenFile) throws(SystemCallFailure) {
        try check("fdatasync", varve_fdatasync(file.descriptor))
    }

    public func syncDirectory(_ path: String) throws(SystemCallFailure) {
        try check("fsync of the directory", varve_sync_directory(path))
    }

    public func rename(_ from: String, to: String) throws(SystemCallFailure) {
        try check("rename", Glibc.rename(from, to) == 0 ? 0 : errno)
    }

    public func remove(_ path: String) throws(SystemCallFailure) {
        try check("unlink", unlink(path) == 0 ? 0 : errno)
    }

    public func close(_ file: OpenFile) {
        _ = Glibc.close(file.descriptor)
    }
}
