import Foundation
import Synchronization
import Testing

@testable import PaperBench

@Suite struct PaperTests {
    private final class Seen: Sendable {
        let last = Mutex<CellProgress?>(nil)
    }

    private func folder() -> String { NSTemporaryDirectory() + "/paper-\(UUID().uuidString)" }

    private func paper(seed: UInt64 = 1, scale: PaperScale = .tiny) -> Paper {
        let settings = PaperSettings(
            scale: scale, seed: seed, experiments: Set(Experiment.allCases), threads: 2,
            command: "varve bench paper", machine: "a <machine> & more")
        return Paper(settings) { every, _, _ in (every == 0 ? 1 : 1.1, 2) }
    }

    /// Values of all tables, without those that are timings.
    private func repeatable(_ report: Report) -> [String: [[Value]]] {
        Dictionary(
            uniqueKeysWithValues: report.tables.map { table in
                (
                    table.id,
                    table.rows.map { row in
                        zip(table.columns, row).filter { !$0.0.isTiming }.map(\.1)
                    }
                )
            })
    }

    @Test func theSameSeedGivesTheSameTablesAndKeptCellsAreUsed() throws {
        let (one, other) = (folder(), folder())
        defer { for path in [one, other] { try? FileManager.default.removeItem(atPath: path) } }
        let seen = Seen()
        func run(_ paper: Paper, _ folder: String) throws -> (Report, CellProgress) {
            let report = try paper.run(cellsIn: folder) { progress in
                seen.last.withLock { $0 = $0.map { $0.done < progress.done ? progress : $0 } ?? progress }
            }
            let last = seen.last.withLock { last in
                defer { last = nil }
                return last
            }
            return (report, try #require(last))
        }
        let (first, computed) = try run(paper(), one)
        #expect(computed.done == computed.total && computed.kept == 0)
        let (second, _) = try run(paper(), other)
        #expect(repeatable(first) == repeatable(second))
        #expect(first.tables.allSatisfy { !$0.rows.isEmpty })

        let (third, kept) = try run(paper(), one)
        #expect(kept.kept == kept.total)
        #expect(try first.json() == third.json())

        // Only what depends on a setting is computed again.
        var scale = PaperScale.tiny
        scale.chainLengths = [1, 3]
        let (_, changed) = try run(paper(scale: scale), one)
        #expect(changed.kept == changed.total - 1)

        // A damaged file is not taken for a result.
        let cell = try #require(
            FileManager.default.contentsOfDirectory(atPath: one).first { $0.hasPrefix("compression") })
        try Data("{".utf8).write(to: URL(fileURLWithPath: "\(one)/\(cell)"))
        let (fourth, mended) = try run(paper(scale: scale), one)
        #expect(mended.kept == mended.total - 1)
        #expect(repeatable(fourth)["compression"] == repeatable(first)["compression"])

        let (reseeded, _) = try run(paper(seed: 2), other)
        #expect(repeatable(reseeded) != repeatable(first))
    }

    @Test func pageEscapesWhatItIsGiven() throws {
        let table = Table(
            id: "t", title: "<b>\"", columns: [.init("a,b"), .init("c")],
            rows: [[.text("x < y & 'z', \"q\""), .number(1.5)]])
        let chart = DotChart(
            title: "<i>", axis: "&", rows: ["<row>"], series: ["<s>", "t"], dots: [[.init(1), nil]],
            isLogarithmic: true)
        let section = Section(
            id: "s", title: "<script>", text: ["a & b"], command: "varve --x '<y>'", charts: [chart],
            tables: [table])
        let report = Report(
            seed: 1, machine: "<machine>", command: "c", headline: table, sections: [section])
        let html = try #require(try ReportFiles(report).contents["paper.html"])
        let text = String(decoding: html, as: UTF8.self)
        for raw in ["<script>", "<machine>", "<row>", "<s>", "<i>", "<y>", "x < y"] {
            #expect(!text.contains(raw))
        }
        #expect(text.contains("&lt;row&gt;") && text.contains("x &lt; y &amp; &#39;z&#39;, &quot;q&quot;"))
        // Nothing is fetched from elsewhere.
        #expect(!text.contains("http") && !text.contains("src=") && !text.contains("url("))
        #expect(table.csv == "\"a,b\",c\r\n\"x < y & 'z', \"\"q\"\"\",1.5\r\n")
    }

    @Test func scalesCoverWhatTheyAreGiven() {
        let linear = Scale(covering: [2, 8], logarithmic: false, from: 0, to: 100)
        #expect(linear.place(0) == 0 && linear.place(8) < 100)
        let logarithmic = Scale(covering: [0.01, 100], logarithmic: true, from: 0, to: 100)
        #expect(abs(logarithmic.place(1) - 50) < 1e-9)
        #expect(!logarithmic.shows(0.001) && logarithmic.place(0.001) == 0)
        for scale in [linear, logarithmic, Scale(covering: [], logarithmic: true, from: 0, to: 1)] {
            #expect(scale.ticks.count >= 2 && scale.ticks.count <= 16)
        }
        #expect(readable(0.000_123) == "1.2e-04" && readable(63.24) == "63.2" && readable(0) == "0")
    }
}
