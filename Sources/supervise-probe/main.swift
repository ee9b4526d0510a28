import Cluster
import Foundation

/// Supervises three nodes for the tests, which kill it and look whether anything is left.
///
///     supervise-probe supervise LOG     starts three nodes, whose output goes to LOG
///     supervise-probe node              a node: says "tied PID", and ends with its parent alone
///     supervise-probe report WORD       reports to the program that has started it detached: "ready" or "failed"
let words = CommandLine.arguments
switch words.dropFirst().first {
case "supervise" where words.count == 3:
    let supervisor = Supervisor { _ in }
    for index in 0..<3 {
        supervisor.start(
            .init(node: "node-\(index)", executable: words[0], arguments: ["node"], log: words[2]))
    }
    while true { pause() }
case "node":
    dieWithParent()
    FileHandle.standardOutput.write(Data("tied \(getpid())\n".utf8))
    while true { pause() }
case "report" where words.last == "ready":
    Detach.reportReady("all nodes\nup")
    Detach.reportFailed("a second report, which nobody hears")
case "report":
    Detach.reportFailed("no space left")
    exit(1)
default:
    FileHandle.standardError.write(
        Data("usage: supervise-probe supervise LOG | node | report ready|failed\n".utf8))
    exit(64)
}
