#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// An ordinary file that is read in pieces, by several threads at once: nothing of it stays in memory.
public final class FileSource: Sendable {
    public let path: String
    public let size: Int
    private let descriptor: Int32
    private let state: FileState

    public init(_ path: String) throws(TensorFileError) {
        descriptor = try FileMemory.open(path).descriptor
        self.path = path
        guard let state = FileState(of: descriptor) else {
            close(descriptor)
            throw FileMemory.unreadable(path, errno)
        }
        self.state = state
        size = state.size
    }

    /// Fills `buffer` from the file's bytes from `offset` on.
    public func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(TensorFileError) {
        let (done, failure) = transfer(buffer.count) { done in
            pread(
                descriptor, buffer.baseAddress.unsafelyUnwrapped + done, buffer.count - done,
                off_t(offset + done))
        }
        guard failure == 0 else { throw FileMemory.unreadable(path, failure) }
        guard done == buffer.count else { throw FileSource.changed(path) }
    }

    /// Throws if the file was changed since it was opened, as far as its size and times tell.
    public func checkUnchanged() throws(TensorFileError) {
        guard FileState(of: descriptor) == state else { throw FileSource.changed(path) }
    }

    private static func changed(_ path: String) -> TensorFileError {
        TensorFileError(.unreadable, "can't read \(path): it was changed while it was read")
    }

    deinit { close(descriptor) }
}

/// What changes when somebody writes to a file.
private struct FileState: Hashable {
    let size: Int
    /// When its content was changed, and when anything about it was: that time nobody can set.
    private let times: [Int]

    init?(of descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        size = Int(status.st_size)
        #if canImport(Darwin)
            let (modified, changed) = (status.st_mtimespec, status.st_ctimespec)
        #else
            let (modified, changed) = (status.st_mtim, status.st_ctim)
        #endif
        times = [modified, changed].flatMap { [Int($0.tv_sec), Int($0.tv_nsec)] }
    }
}
