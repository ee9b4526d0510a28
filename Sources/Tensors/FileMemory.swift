#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Memory that holds a file's content, or as much as a file will; its own, and given back when the last owner lets go.
///
/// Not for use by several threads while one writes: unchecked, for only its user knows.
public final class FileMemory: @unchecked Sendable {
    public let bytes: UnsafeMutableRawBufferPointer

    /// Reads an ordinary file.
    ///
    /// A mapping would be quicker by the copy, but what others do to the file while it is mapped is seen through it: a
    /// file that shrinks ends the process (SIGBUS), and bytes that change after they were checked lead anywhere.
    public convenience init(reading path: String) throws(TensorFileError) {
        let (descriptor, size) = try FileMemory.open(path)
        defer { close(descriptor) }
        self.init(uninitialized: size)
        guard bytes.count == size else {
            throw TensorFileError(.noMemory, "can't read \(path): there is no memory for \(size) bytes")
        }
        let (done, failure) = transfer(size) { [bytes] done in
            read(descriptor, bytes.baseAddress.unsafelyUnwrapped + done, min(size - done, 1 << 20))
        }
        guard failure == 0 else { throw FileMemory.unreadable(path, failure) }
        guard done == size else {
            throw TensorFileError(.unreadable, "can't read \(path): it shrank while it was read")
        }
    }

    static func open(_ path: String) throws(TensorFileError) -> (descriptor: Int32, size: Int) {
        // Without O_NONBLOCK a pipe without a writer would keep us waiting for ever.
        let descriptor = systemOpen(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw TensorFileError(.unreadable, "can't read \(path): it is no ordinary file")
        }
        return (descriptor, Int(status.st_size))
    }

    /// As much memory as asked for, in large pages where there are any; none if there isn't as much.
    private init(uninitialized size: Int) {
        let start =
            size > 0 ? mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : nil
        guard let start, start != MAP_FAILED else {
            bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            return
        }
        #if os(Linux)
            madvise(start, size, Int32(MADV_HUGEPAGE))
        #endif
        bytes = UnsafeMutableRawBufferPointer(start: start, count: size)
    }

    /// Memory of zeros; nil when there isn't as much.
    public convenience init?(zeros size: Int) {
        self.init(uninitialized: size)
        guard bytes.count == size else { return nil }
    }

    deinit {
        if let start = bytes.baseAddress { munmap(start, bytes.count) }
    }

    static func unreadable(_ path: String, _ code: Int32) -> TensorFileError {
        TensorFileError(
            .unreadable,
            "can't read \(path): \(strerror(code).map { String(cString: $0) } ?? "error \(code)")")
    }
}

/// open(2), whose name `FileMemory.open` hides.
private func systemOpen(_ path: String, _ flags: Int32) -> Int32 { open(path, flags) }
