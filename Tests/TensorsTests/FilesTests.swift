import Foundation
import Testing

@testable import Tensors

@Suite struct FilesTests {
    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "varve-files-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    /// Whoever is killed while writing leaves nothing: until it is whole a file has no name, where the file system knows such files.
    @Test func nothingIsSeenOfAFileUntilItIsWhole() throws {
        try withFolder { folder in
            let nameless = Files.openNameless(in: folder)
            try #require(nameless >= 0, "the file system of \(folder) knows no files without a name")
            close(nameless)
            for durable in [false, true] {
                for text in ["first", "second"] {
                    let before = try FileManager.default.contentsOfDirectory(atPath: folder)
                    try Files.writeAtomically(folder + "/a", durable: durable) {
                        (write) throws(TensorFileError) in
                        try write(Array(text.utf8))
                        #expect(try! FileManager.default.contentsOfDirectory(atPath: folder) == before)
                    }
                    #expect(try Files.read(folder + "/a") == Array(text.utf8))
                    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
                }
            }
        }
    }

    @Test func whatFailsLeavesWhatWasThere() throws {
        try withFolder { folder in
            try Files.writeAtomically(folder + "/a") { (write) throws(TensorFileError) in try write([1]) }
            #expect(throws: TensorFileError.self) {
                try Files.writeAtomically(folder + "/a") { (write) throws(TensorFileError) in
                    try write([2])
                    throw TensorFileError(.unwritable, "enough")
                }
            }
            #expect(throws: TensorFileError.self) {
                try Files.writeAtomically(folder + "/none/a") { (write) throws(TensorFileError) in
                    try write([2])
                }
            }
            #expect(try Files.read(folder + "/a") == [1])
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
        }
    }
}
