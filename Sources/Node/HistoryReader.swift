import Foundation
import Invariants
import MachineCore

/// Reads the histories of a run's processes, as `HistoryWriter` left them.
public enum HistoryReader {
    public struct Problem: Error, CustomStringConvertible {
        public let description: String
        /// Whether a file is damaged, rather than absent.
        public let isDamage: Bool
    }

    public struct Histories: Sendable {
        public var files = 0
        /// Files whose last line was cut off by the end of the process.
        public var torn = 0
        /// Facts of each process in their order, processes of one node in the order of their incarnations.
        public var records: [HistoryRecord] = []
    }

    public static func read(directory: String) throws(Problem) -> Histories {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw Problem(
                description: "there is no history in \(directory); 'varve up --history' records one",
                isDamage: false)
        }
        var result = Histories()
        var processes: [[HistoryRecord]] = []
        for name in names.sorted() where name.hasSuffix(".jsonl") {
            result.files += 1
            let path = "\(directory)/\(name)"
            guard let data = FileManager.default.contents(atPath: path) else {
                throw Problem(description: "\(path) can't be read", isDamage: false)
            }
            let (records, isTorn) = try parse(data, path: path)
            if isTorn { result.torn += 1 }
            if !records.isEmpty { processes.append(records) }
        }
        // Coordinators that died before they changed anything leave their epoch to the next one.
        processes.sort {
            ($0[0].process.node, $0[0].process.incarnation, $0[0].at)
                < ($1[0].process.node, $1[0].process.incarnation, $1[0].at)
        }
        result.records = processes.flatMap { $0 }
        return result
    }

    private static func parse(_ data: Data, path: String) throws(Problem) -> ([HistoryRecord], isTorn: Bool) {
        let decoder = JSONDecoder()
        var records: [HistoryRecord] = []
        var lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        // What follows the last end of a line was being written when the process ended.
        let rest = lines.popLast() ?? Data()
        for (number, line) in lines.enumerated() {
            guard let record = try? decoder.decode(HistoryRecord.self, from: line) else {
                throw Problem(description: "\(path):\(number + 1): not a line of a history", isDamage: true)
            }
            records.append(record)
        }
        return (records, !rest.isEmpty)
    }
}
