import Foundation
import Testing

@testable import Cluster

@Suite struct RunDirectoryTests {
    @Test func createsOpensLocksAndRefuses() throws {
        let path = NSTemporaryDirectory() + "varve test \(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(throws: RunDirectoryError.self) { try RunDirectory.open(path: path) }
        let created = try RunDirectory.create(path: path, configuration: ClusterConfiguration())
        #expect(created.identity.runID.count == 32)
        #expect(try RunDirectory.open(path: path) == created)
        #expect(throws: RunDirectoryError.self) {
            try RunDirectory.create(path: path, configuration: ClusterConfiguration())
        }
        let lock = try created.lock()
        do {
            _ = try created.lock()
            Issue.record("a second lock was granted")
        } catch { #expect(error.description.contains("pid \(getpid())")) }
        withExtendedLifetime(lock) {}
    }
}
