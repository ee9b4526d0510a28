import Foundation
import Testing

/// The short version of the soak: `nng-soak` runs for minutes, this for seconds.
///
/// The process has 40 s; the test may wait much longer than that for a thread while others compute.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct KillTests {
    /// The executables lie beside the test bundle.
    private static func soak() throws -> URL {
        let bundle = CommandLine.arguments.first { $0.contains(".xctest") }
        let path = try #require(bundle).components(separatedBy: ".xctest")[0]
        return URL(fileURLWithPath: path).deletingLastPathComponent().appendingPathComponent("nng-soak")
    }

    @Test(arguments: ["server", "client"])
    func linksCarryTrafficAfterTwentyKills(victim: String) throws {
        let process = Process()
        let ended = DispatchSemaphore(value: 0)
        process.executableURL = try KillTests.soak()
        process.arguments = ["soak", "--victim", victim, "--kills", "20", "--per-second", "10"]
        process.terminationHandler = { _ in ended.signal() }
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        if ended.wait(timeout: .now() + 40) == .timedOut { process.terminate() }
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
