#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The C library's tanh in Double, to compare with.
func tanhReference(_ x: Double) -> Double { tanh(x) }

/// Writes a file into a fresh folder and gives its path to `body`; the folder is removed afterwards.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
    var template = Array("/tmp/varve-training-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw FolderError() }
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { removeFlat(folder) }
    return try body(folder)
}

struct FolderError: Error {}

func write(_ bytes: [UInt8], to path: String) throws {
    guard let file = fopen(path, "wb") else { throw FolderError() }
    defer { fclose(file) }
    guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw FolderError() }
}

private func removeFlat(_ folder: String) {
    if let entries = opendir(folder) {
        while let entry = readdir(entries) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { unlink("\(folder)/\(name)") }
        }
        closedir(entries)
    }
    rmdir(folder)
}
