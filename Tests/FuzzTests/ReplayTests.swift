import Foundation
import Testing

/// What the fuzzer starts from, and what it once found, run as ordinary tests.
@Suite struct ReplayTests {
    private static let corpus =
        (#filePath as NSString).deletingLastPathComponent + "/Corpus/"

    @Test(arguments: FuzzTarget.allCases)
    func seedsAreReadToTheirEnd(_ target: FuzzTarget) {
        #expect(!target.seeds.isEmpty)
        for (index, seed) in target.seeds.enumerated() {
            let isRead = seed.withUnsafeBytes { target.run($0) }
            #expect(isRead, "seed \(index) of \(target.rawValue)")
        }
    }

    /// Without that the fuzzer would only ever test checksums.
    @Test(arguments: [FuzzTarget.frame, .chain, .segment])
    func wrongChecksumsAreMadeRight(_ target: FuzzTarget) {
        for (index, seed) in target.seeds.enumerated() {
            var changed = seed
            for place in changed.suffix(8).indices { changed[place] ^= 0x55 }
            let isRead = changed.withUnsafeBytes { target.run($0) }
            #expect(isRead, "seed \(index) of \(target.rawValue)")
        }
    }

    /// An input that ended the process, hung or took too much memory must end in a value or an error from then on.
    @Test(arguments: FuzzTarget.allCases)
    func findingsStayMended(_ target: FuzzTarget) throws {
        let folder = Self.corpus + target.rawValue
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names.sorted() {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)"))
            let start = ContinuousClock.now
            bytes.withUnsafeBytes { _ = target.run($0) }
            #expect(ContinuousClock.now - start < .seconds(20), "\(target.rawValue)/\(name)")
        }
    }

    /// A folder that belongs to no target would be replayed by no test.
    @Test func everyFolderOfTheCorpusIsATarget() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.corpus)
        #expect(folders.allSatisfy { FuzzTarget(rawValue: $0) != nil || $0.hasPrefix(".") }, "\(folders)")
    }
}
