import Foundation
import Testing

@testable import Cluster

@Suite(.timeLimit(.minutes(1)))
struct DetachTests {
    private func run(_ script: String, seconds: Double = 10) throws -> (Detach.Result, log: String) {
        let log = NSTemporaryDirectory() + "varve-detach-\(UUID().uuidString).log"
        defer { try? FileManager.default.removeItem(atPath: log) }
        let result = Detach.spawn(
            executable: "/bin/sh", arguments: ["-c", script], environment: ["EXTRA": "1"], log: log,
            readyTimeoutSeconds: seconds)
        return (result, (try? String(contentsOfFile: log, encoding: .utf8)) ?? "")
    }

    @Test func aReadyProgramLivesOnInASessionOfItsOwn() throws {
        let (result, log) = try run(
            "echo said $EXTRA; readlink /proc/self/fd/0; echo ready at last >&$VARVE_READY_FD; exec sleep 100"
        )
        guard case .ready(let pid, "at last") = result else {
            Issue.record("\(result)")
            return
        }
        defer { waitpid(pid, nil, 0) }
        defer { kill(pid, SIGKILL) }
        #expect(isAlive(pid))
        #expect(getsid(pid) == pid)
        #expect(log == "said 1\n/dev/null\n")
    }

    @Test func wordsOfFailureComeBack() throws {
        guard case .failed(_, "no such model") = try run("echo failed: no such model >&3; exit 1").0 else {
            Issue.record("not told")
            return
        }
    }

    @Test func anEndWithoutAWordIsTold() throws {
        let (result, log) = try run("echo oops >&2; exit 7")
        guard case .ended(_, "exited with code 7") = result else {
            Issue.record("\(result)")
            return
        }
        #expect(log == "oops\n")
        guard case .ended(_, "killed by SIGKILL") = try run("kill -9 $$").0 else {
            Issue.record("not told")
            return
        }
    }

    @Test func silenceEndsAtTheDeadline() throws {
        let began = ContinuousClock.now
        let (result, _) = try run("exec sleep 100", seconds: 0.1)
        guard case .timedOut(let pid) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(.now - began < .seconds(5))
        #expect(isAlive(pid))
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }

    @Test func aMissingProgramIsNotStarted() {
        let result = Detach.spawn(
            executable: "/no/such/program", arguments: [], log: "/dev/null", readyTimeoutSeconds: 1)
        #expect(
            result == .notStarted(cause: "can't start /no/such/program: No such file or directory"))
    }

    @Test func theChildsSideSpeaksTheSameLanguage() throws {
        let tools = try toolFolder()
        for (word, expected) in [("ready", "ready: all nodes up"), ("failed", "failed: no space left")] {
            let result = Detach.spawn(
                executable: tools.appendingPathComponent("supervise-probe").path,
                arguments: ["report", word], log: "/dev/null", readyTimeoutSeconds: 10)
            switch result {
            case .ready(let pid, let text):
                #expect(expected == "ready: " + text)
                waitpid(pid, nil, 0)
            case .failed(_, let reason): #expect(expected == "failed: " + reason)
            case .ended, .timedOut, .notStarted: Issue.record("\(result)")
            }
        }
        // Nobody waits for this process.
        Detach.reportReady()
    }
}
