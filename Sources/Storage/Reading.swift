import CXXHash

/// XXH3-64 of bytes that come in pieces.
final class PayloadHash {
    private let state: OpaquePointer

    init() {
        guard let state = XXH3_createState() else { fatalError("no memory for 576 bytes") }
        self.state = state
        XXH3_64bits_reset(state)
    }

    deinit { XXH3_freeState(state) }

    func update(_ bytes: UnsafeRawBufferPointer) {
        XXH3_64bits_update(state, bytes.baseAddress, bytes.count)
    }

    var value: UInt64 { XXH3_64bits_digest(state) }
}

/// Reads up to `count` bytes; the array is shorter when the file ends before.
func bytesOfFile<Files: LogFileSystem>(
    _ files: Files, _ file: OpenFile, _ path: String, at offset: UInt64, count: Int
) throws(StorageError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let result: Result<Int, SystemCallFailure> = bytes.withUnsafeMutableBytes { buffer in
        do throws(SystemCallFailure) {
            return .success(try files.read(file, into: buffer, at: offset))
        } catch {
            return .failure(error)
        }
    }
    switch result {
    case .success(let read):
        if read < count { bytes.removeLast(count - read) }
        return bytes
    case .failure(let failure):
        throw StorageError(path: path, call: failure.call, code: failure.code)
    }
}
