#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Whole files, in and out.
public enum Files {
    /// Reads an ordinary file of at most `limit` bytes.
    public static func read(_ path: String, limit: Int = 1 << 40) throws(TensorFileError) -> [UInt8] {
        // Without O_NONBLOCK a pipe without a writer would keep us waiting for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path, errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw TensorFileError(.unreadable, "can't read \(path): it is no ordinary file")
        }
        let size = Int(status.st_size)
        guard size <= limit else {
            throw TensorFileError(.malformed, "\(path) has \(size) bytes and the limit is \(limit)")
        }
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            (count, failure) = transfer(size) { done in
                systemRead(descriptor, buffer.baseAddress.unsafelyUnwrapped + done, size - done)
            }
        }
        guard failure == 0 else { throw unreadable(path, failure) }
        guard bytes.count == size else {
            throw TensorFileError(.unreadable, "can't read \(path): it shrank while it was read")
        }
        return bytes
    }

    /// Writes a file so that it is there in full or not at all: a temporary file beside it, fsync, rename, and an
    /// fsync of the directory.
    ///
    /// - Parameters:
    ///   - durable: wait until the disk has it. Without, a loss of power soon after may cost the file: for what can
    ///     be made again.
    ///   - body: hands the file's parts to `write`, in order.
    public static func writeAtomically(
        _ path: String, durable: Bool = true, _ body: (_ write: PartWriter) throws(TensorFileError) -> Void
    ) throws(TensorFileError) {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let directory = slash.map { String(path[...$0]) } ?? "."
        let name = slash.map { String(path[path.utf8.index(after: $0)...]) } ?? path
        guard !name.isEmpty else {
            throw TensorFileError(.unwritable, "can't write \(path): it names no file")
        }
        // A device or a pipe would be gone, and a file stand in its place.
        var status = stat()
        if stat(path, &status) == 0, ![S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) {
            throw TensorFileError(.unwritable, "can't write \(path): it is no file that can be replaced")
        }
        let random = UInt32.random(in: .min ... .max)
        let temporary = (slash == nil ? "" : directory) + ".\(name.prefix(64)).\(getpid()).\(random).tmp"
        var descriptor = openNameless(in: directory)
        let isNameless = descriptor >= 0
        if !isNameless { descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666) }
        guard descriptor >= 0 else { throw unwritable(path, errno) }
        var isOpen = true
        do throws(TensorFileError) {
            try body(PartWriter(descriptor: descriptor, path: path))
            guard !durable || fsync(descriptor) == 0 else { throw unwritable(path, errno) }
            // Under another name first: a name that is taken can't be linked, only replaced.
            if isNameless, !give(descriptor, the: temporary) {
                try copy(descriptor, to: temporary, path, durable)
            }
            isOpen = false
            guard close(descriptor) == 0, rename(temporary, path) == 0 else { throw unwritable(path, errno) }
        } catch {
            if isOpen { close(descriptor) }
            unlink(temporary)
            throw error
        }
        guard durable else { return }
        let parent = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard parent >= 0 else { return }
        // Some file systems refuse to sync a directory; the file itself is safe.
        _ = fsync(parent)
        close(parent)
    }

    /// A file that has no name yet, and is gone if the process is killed; negative where there is no such thing.
    static func openNameless(in directory: String) -> Int32 {
        // Without /proc it could never get a name.
        guard access("/proc/self/fd", F_OK) == 0 else { return -1 }
        // As <fcntl.h> defines O_TMPFILE, by a macro that isn't imported.
        let nameless = 0o20000000 | O_DIRECTORY
        return open(directory, O_RDWR | O_CLOEXEC | nameless, 0o666)
    }

    /// For where a file may be nameless but never get a name.
    private static func copy(
        _ descriptor: Int32, to temporary: String, _ path: String, _ durable: Bool
    ) throws(TensorFileError) {
        let copy = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard copy >= 0 else { throw unwritable(path, errno) }
        defer { close(copy) }
        let size = lseek(descriptor, 0, SEEK_END)
        var done: off_t = 0
        while done < size {
            let sent = sendfile(copy, descriptor, &done, 1 << 30)
            guard sent > 0 || (sent < 0 && errno == EINTR) else {
                throw unwritable(path, sent < 0 ? errno : 0)
            }
        }
        guard !durable || fsync(copy) == 0 else { throw unwritable(path, errno) }
    }

    private static func give(_ descriptor: Int32, the name: String) -> Bool {
        linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0
    }

    private static func unreadable(_ path: String, _ code: Int32) -> TensorFileError {
        TensorFileError(.unreadable, "can't read \(path): \(reason(code))")
    }

    fileprivate static func unwritable(_ path: String, _ code: Int32) -> TensorFileError {
        TensorFileError(.unwritable, "can't write \(path): \(reason(code))")
    }

    private static func reason(_ code: Int32) -> String {
        guard let text = strerror(code) else { return "error \(code)" }
        return code == 0 ? "no more bytes were taken" : String(cString: text)
    }
}

/// Appends parts to a file that is being written.
public struct PartWriter: Sendable {
    fileprivate let descriptor: Int32
    fileprivate let path: String

    public func callAsFunction(_ bytes: [UInt8]) throws(TensorFileError) {
        try bytes.withUnsafeBufferPointer { (bytes) throws(TensorFileError) in
            try self(UnsafeRawBufferPointer(bytes))
        }
    }

    public func callAsFunction(_ bytes: UnsafeRawBufferPointer) throws(TensorFileError) {
        try transferAll(bytes) { from, count, _ in write(descriptor, from, count) }
    }

    /// Writes a part somewhere, whatever the order; several threads may do so at once.
    public func put(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(TensorFileError) {
        try transferAll(bytes) { pwrite(descriptor, $0, $1, off_t(offset + $2)) }
    }

    /// - Parameter write: from where, how many bytes at most, and how many were written before.
    private func transferAll(
        _ bytes: UnsafeRawBufferPointer, _ write: (UnsafeRawPointer, Int, Int) -> Int
    ) throws(TensorFileError) {
        let (done, failure) = transfer(bytes.count) { done in
            write(bytes.baseAddress.unsafelyUnwrapped + done, bytes.count - done, done)
        }
        guard done == bytes.count else { throw Files.unwritable(path, failure) }
    }
}

/// Repeats a call of the system that may move fewer bytes than it is asked for (Linux moves at most 2 GiB at a time), until all
/// have been moved, none are left, or it fails.
///
/// - Parameter move: given how many were moved before.
/// - Returns: how many were moved, and the error; 0 without one.
func transfer(_ count: Int, _ move: (Int) -> Int) -> (done: Int, failure: Int32) {
    var done = 0
    while done < count {
        let moved = move(done)
        if moved < 0, errno == EINTR { continue }
        if moved < 0 { return (done, errno) }
        if moved == 0 { return (done, 0) }
        done += moved
    }
    return (done, 0)
}

/// read(2), whose name `Files.read` hides.
private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
