import Foundation
import Invariants
import Logging
import MachineCore

/// Takes down what one process does, a line of JSON each, in a file of its own; see docs/formats/history.md.
///
/// A line is handed to the kernel before anything leaves the process because of what it says: so it outlives a SIGKILL.
/// It is not synced, and a loss of power may take the last lines.
///
/// Used by one thread at a time.
public final class HistoryWriter: @unchecked Sendable {
    private let descriptor: Int32
    private let prefix: String
    private let path: String
    private let log: Logger
    private var isWhole = true

    /// - Parameter directory: made when it does not exist.
    init(directory: String, process: ProcessFact, log: Logger) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        path = "\(directory)/\(process.node)-\(process.incarnation)-\(getpid()).jsonl"
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        prefix = HistoryRecord.prefix(process)
        self.log = log
    }

    deinit { close(descriptor) }

    func append(_ facts: [Observation]) {
        guard !facts.isEmpty, isWhole else { return }
        let at = Instant.now.nanoseconds
        var text = ""
        for fact in facts { text += "\(prefix)\(at),\"what\":\(fact.json)}\n" }
        let written = text.utf8.withContiguousStorageIfAvailable {
            write(descriptor, $0.baseAddress, $0.count)
        }
        guard written != text.utf8.count else { return }
        // From here on the history has a hole: nothing after it could be trusted.
        isWhole = false
        log.error("history: \(path) ends here, it can't be written: \(String(cString: strerror(errno)))")
    }
}
