import Foundation
import Testing

@testable import Cluster

@Suite(.timeLimit(.minutes(1)))
struct RunDirectoryTests {
    /// A folder that is gone afterwards.
    private func withFolder(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "varve run test \(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private func refusal(_ body: () throws(RunDirectoryError) -> Void) throws -> RunDirectoryError {
        do throws(RunDirectoryError) { try body() } catch { return error }
        Issue.record("was not refused")
        throw CancellationError()
    }

    private func contents(_ path: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).sorted()
    }

    @Test func createsWholeAndOpens() throws {
        try withFolder { folder in
            let path = folder + "/some/where/run"
            var configuration = ClusterConfiguration()
            configuration.cluster.stores = 2
            let created = try RunDirectory.create(path: path + "/", configuration: configuration)
            #expect(created.path == path)
            #expect(created.identity.runID.count == 32)
            #expect(created.identity.configurationDigest.count == 32)
            #expect(try RunDirectory.open(path: path) == created)
            #expect(try contents(folder + "/some/where") == ["run"])
            #expect(try contents(path) == ["config.yaml", "coordinator", "logs", "stores", "varve-run.json"])
            #expect(try contents(path + "/stores") == ["store-0", "store-1"])
            let text = try String(contentsOfFile: path + "/varve-run.json", encoding: .utf8)
            for word in ["\"format_version\" : 1", created.identity.runID, "A run of varve"] {
                #expect(text.contains(word))
            }
            let refused = try refusal { () throws(RunDirectoryError) in
                _ = try RunDirectory.create(path: path, configuration: configuration)
            }
            #expect(refused.kind == .holdsARun)
            #expect(refused.exitCode == 64)
            #expect(refused.description.contains("--resume"))
            let empty = folder + "/empty"
            try FileManager.default.createDirectory(atPath: empty, withIntermediateDirectories: false)
            #expect(try RunDirectory.create(path: empty, configuration: configuration).path == empty)
        }
    }

    @Test func refusesWhatIsNoRun() throws {
        try withFolder { folder in
            try "x".write(toFile: folder + "/file", atomically: false, encoding: .utf8)
            for (path, words) in [
                (folder, "is not empty and not a run"), (folder + "/file", "is not a folder"),
                (folder + "/file/run", "a part of this path is not a folder"), ("", "is empty"),
            ] {
                let refused = try refusal { () throws(RunDirectoryError) in
                    _ = try RunDirectory.create(path: path, configuration: ClusterConfiguration())
                }
                #expect(refused.description.contains(words))
                #expect(refused.exitCode == 64)
                #expect(refused.kind == .notARunDirectory)
            }
            #expect(try contents(folder) == ["file"])
            for (path, words) in [
                (folder, "is not a run directory"), (folder + "/absent", "there is no run directory"),
                (folder + "/file", "is not a run directory"),
            ] {
                let refused = try refusal { () throws(RunDirectoryError) in
                    _ = try RunDirectory.open(path: path)
                }
                #expect(refused.description.contains(words))
                #expect(refused.exitCode == 66)
            }
            for (text, words) in [("{\"format_version\": 9}", "format version 9"), ("{", "is damaged")] {
                try text.write(toFile: folder + "/varve-run.json", atomically: true, encoding: .utf8)
                let refused = try refusal { () throws(RunDirectoryError) in
                    _ = try RunDirectory.open(path: folder)
                }
                #expect(refused.description.contains(words))
                #expect(refused.exitCode == 65)
            }
        }
    }

    @Test func aSecondHolderIsRefusedInWords() throws {
        try withFolder { folder in
            let run = try RunDirectory.create(path: folder, configuration: ClusterConfiguration())
            #expect(run.holder() == nil)
            // What a holder leaves that was killed: its process id belongs to another process now.
            try "1".write(toFile: run.pidPath, atomically: true, encoding: .utf8)
            try "1 1".write(toFile: run.lockPath, atomically: true, encoding: .utf8)
            #expect(run.holder() == nil)
            var lock: RunLock? = try run.lock()
            #expect(try String(contentsOfFile: run.pidPath, encoding: .utf8) == "\(getpid())")
            #expect(run.holder() == getpid())
            let refused = try refusal { () throws(RunDirectoryError) in _ = try run.lock() }
            #expect(refused.kind == .inUse(pid: getpid()))
            #expect(refused.description.contains("in use by varve up with pid \(getpid());"))
            #expect(refused.exitCode == 1)
            let second = try refusal { () throws(RunDirectoryError) in
                _ = try RunDirectory.create(path: folder, configuration: ClusterConfiguration())
            }
            #expect(second == refused)
            // A refusal leaves the holder's name alone.
            #expect(run.holder() == getpid())
            #expect(access(run.pidPath, F_OK) == 0)
            withExtendedLifetime(lock) {}
            lock = nil
            #expect(run.holder() == nil)
            #expect(access(run.pidPath, F_OK) != 0)
            lock = try run.lock()
            #expect(run.holder() == getpid())
        }
    }

    @Test func aFailureLeavesNothing() throws {
        try withFolder { folder in
            // A name that fits as such, but not with the name of the unfinished folder.
            let path = folder + "/new/deep/" + String(repeating: "n", count: 250)
            let refused = try refusal { () throws(RunDirectoryError) in
                _ = try RunDirectory.create(path: path, configuration: ClusterConfiguration())
            }
            #expect(refused.kind == .system(errorNumber: ENAMETOOLONG))
            #expect(try contents(folder) == [])
            let other = try refusal { () throws(RunDirectoryError) in
                _ = try RunDirectory.create(path: "/proc/run", configuration: ClusterConfiguration())
            }
            #expect(other.exitCode == 1)
        }
    }

    @Test func systemErrorsBecomeOneClearLine() {
        for (code, kind, words) in [
            (ENOSPC, RunDirectoryError.Kind.diskFull, "can't write /r: the disk is full; make room"),
            (EROFS, .notWritable, "can't write /r: the file system is read-only; name another"),
            (EACCES, .notWritable, "can't write /r: permission denied; mend its rights"),
            (EIO, .system(errorNumber: EIO), "can't write /r: Input/output error"),
        ] {
            let error = RunDirectoryError(errorNumber: code, doing: "write", path: "/r")
            #expect(error.kind == kind)
            #expect(error.description.hasPrefix(words))
            #expect(error.exitCode == 1)
            #expect(!error.description.contains("\n"))
        }
    }

    @Test func aDefaultPathHasNameAndTime() {
        let path = RunDirectory.defaultPath(name: "a/b c", at: Date(timeIntervalSince1970: 1_700_000_000))
        #expect(path.wholeMatch(of: #/\./varve-runs/a-b-c-2023111[45]-\d{6}/#) != nil)
    }
}
