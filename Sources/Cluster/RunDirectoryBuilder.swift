import CSystem
import Foundation

/// Makes folders and files, remembers them, and takes them away again unless they are kept.
struct RunDirectoryBuilder: ~Copyable {
    private enum Made {
        case folder(String)
        case file(String)
    }

    private var made: [Made] = []
    private var keeps = false

    init() {}

    deinit {
        guard !keeps else { return }
        for item in made.reversed() {
            switch item {
            case .folder(let path): rmdir(path)
            case .file(let path): unlink(path)
            }
        }
    }

    mutating func keep() { keeps = true }

    /// Fails if there is something at the path.
    mutating func makeFolder(_ path: String) throws(RunDirectoryError) {
        guard mkdir(path, 0o755) == 0 else {
            throw RunDirectoryError(errorNumber: errno, doing: "create", path: path)
        }
        made.append(.folder(path))
    }

    /// Makes what is missing of a folder's path.
    mutating func makeParents(_ path: String) throws(RunDirectoryError) {
        var facts = stat()
        if path.isEmpty || stat(path, &facts) == 0 { return }
        try makeParents(parentPath(of: path))
        if mkdir(path, 0o755) == 0 {
            made.append(.folder(path))
        } else if errno != EEXIST {
            throw RunDirectoryError(errorNumber: errno, doing: "create", path: path)
        }
    }

    /// Writes a new file and forces it to the disk.
    mutating func makeFile(_ path: String, _ text: String) throws(RunDirectoryError) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw RunDirectoryError(errorNumber: errno, doing: "create", path: path)
        }
        defer { close(descriptor) }
        made.append(.file(path))
        let code = writeWhole(descriptor, text)
        guard code == 0 else { throw RunDirectoryError(errorNumber: code, doing: "write", path: path) }
        guard fsync(descriptor) == 0 else {
            throw RunDirectoryError(errorNumber: errno, doing: "write", path: path)
        }
    }
}

/// Writes all of a text; 0, or the value of errno.
func writeWhole(_ descriptor: Int32, _ text: String) -> Int32 {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        if count < 0 { return errno }
        bytes = bytes.dropFirst(count)
    }
    return 0
}

/// The folder that a path lies in; empty for a plain name and for the root.
func parentPath(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "" }
    return String(path[..<slash])
}
