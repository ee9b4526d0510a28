#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Reading whole files with the system's calls.
enum FileBytes {
    /// What a path leads to.
    enum Sort {
        case nothing, folder, file
    }

    static func sort(of path: String) -> Sort {
        var status = stat()
        guard stat(path, &status) == 0 else { return .nothing }
        return status.st_mode & S_IFMT == S_IFDIR ? .folder : .file
    }

    /// The content of a file of at most `limit` bytes.
    ///
    /// - Throws: `DataError.missing` when it can't be opened or read, `.malformed` when it is larger.
    static func read(_ path: String, limit: Int) throws(DataError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .missing("\(path) isn't a file; give a file there or set data.path")
        }
        let size = Int(status.st_size)
        guard size <= limit else {
            throw .malformed(
                "\(path) has \(size) bytes, more than the \(limit) that are allowed; check data.path")
        }
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
            filled = 0
            while filled < size {
                let got = Self.read(descriptor, buffer.baseAddress! + filled, size - filled)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else {
                    failed = got < 0
                    break
                }
                filled += got
            }
        }
        guard !failed else { throw unreadable(path) }
        guard bytes.count == size else {
            throw .malformed("\(path) became shorter while it was read; try again when nothing writes to it")
        }
        return bytes
    }

    private static func read(_ descriptor: Int32, _ target: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int
    {
        #if canImport(Darwin)
            Darwin.read(descriptor, target, count)
        #elseif canImport(Musl)
            Musl.read(descriptor, target, count)
        #else
            Glibc.read(descriptor, target, count)
        #endif
    }

    private static func unreadable(_ path: String) -> DataError {
        let cause = errno == EACCES ? "may not be read" : "isn't there"
        return .missing("\(path) \(cause); put the file there or set data.path to its folder")
    }
}
