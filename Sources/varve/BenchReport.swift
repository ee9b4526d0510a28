import Foundation
import PaperBench

/// The processor's name, its cores and the system.
func machineName() -> String {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
    let name = line?.split(separator: ":").last?.trimmingCharacters(in: .whitespaces)
    let process = ProcessInfo.processInfo
    return "\(name ?? "unknown processor"), \(process.activeProcessorCount) cores, "
        + process.operatingSystemVersionString
}

/// Makes a folder if it isn't there, before what it is for takes its time.
func makeFolder(_ path: String) throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue {
        throw usage("\(path) is no folder: give another one for the report")
    }
    do {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
        throw CommandFailure("can't make the folder \(path)", exitCode: CommandFailure.failed)
    }
}

extension Report {
    /// Writes the report's files into a folder, which is made if it isn't there.
    func write(to folder: String) throws {
        do {
            try ReportFiles(self).write(to: folder)
        } catch let error as CocoaError {
            throw CommandFailure(
                "can't write to \(folder): \(error.localizedDescription)", exitCode: CommandFailure.failed)
        }
    }
}

extension CodecBench {
    /// What `--report` writes: for each delta what an element takes, as a picture, and every figure.
    func report(_ trials: [CodecTrial], command: String) -> Report {
        let sections = trials.map { trial in
            let times = trial.figures.filter { $0.key.hasSuffix("_ns_per_element") }
            let rows = times.map { $0.key.replacing("_ns_per_element", with: "").replacing("_", with: " ") }
            return Section(
                id: trial.name, title: trial.name, text: [], command: command,
                charts: [
                    DotChart(
                        title: "What an element takes", axis: "nanoseconds, median of \(rounds) rounds",
                        rows: rows,
                        series: [trial.name], dots: times.map { [DotChart.Dot($0.value)] },
                        isLogarithmic: true)
                ],
                tables: [
                    Table(
                        id: trial.name.replacing(" ", with: "-"), title: "Figures",
                        columns: [.init("figure"), .init("value", isTiming: true)],
                        rows: trial.figures.map { [.text($0.key), .number($0.value)] })
                ])
        }
        // What was asked for; goals are of 2 and 3 bits.
        let goals = [
            ("encode_vs_subtract", 0.2), ("encode_vs_zstd_1", 5), ("decode_vs_subtract", 0.4),
            ("encode_two_cores", 1.8),
        ]
        let headline = Table(
            id: "goals", title: "Ratios within one run",
            columns: [.init("ratio"), .init("goal")] + trials.map { .init($0.name, isTiming: true) },
            rows: goals.map { key, goal in
                [.text(key), .number(goal)]
                    + trials.map { trial in
                        .number(trial.figures.first { $0.key == key }?.value ?? .nan)
                    }
            })
        return Report(
            ReportSubject(
                name: "codec", title: "The codec in memory",
                about: "Encoding and decoding of deltas against memcpy, a subtraction and zstd, in one run."),
            seed: 0, machine: machineName(), command: command, headline: headline, sections: sections)
    }
}
