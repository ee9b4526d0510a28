import Synchronization
import Testing

@testable import varve

@Suite struct TerminalTests {
    private let bar = ProgressBar(
        step: 125, target: 500, loss: 0.51234, stepsPerSecond: 25, checkpointLagSteps: 1,
        compressionRatio: 9.75)

    @Test func lineShowsEveryFieldWhereThereIsRoom() {
        let text = bar.line(columns: 120, colours: false)
        #expect(
            text.hasSuffix("  125/500  loss 0.512  15 s left  25.0 steps/s  lag 1  9.8x smaller"), "\(text)")
        #expect(text.filter { $0 == "━" }.count == 8)
        #expect(text.filter { $0 == "─" }.count == 24)
    }

    @Test func lineNeverWraps() {
        for columns in 0...200 {
            for step in [0, 1, 499, 500, 1_000_000] {
                var bar = bar
                bar.step = step
                #expect(bar.line(columns: columns, colours: false).count <= max(0, columns - 1))
            }
        }
    }

    @Test func oddNumbersAreShownAndDoNotTrap() {
        let odd = ProgressBar(
            step: 5, target: 0, loss: .nan, stepsPerSecond: .infinity, checkpointLagSteps: 0,
            compressionRatio: -.infinity)
        #expect(odd.line(columns: 80, colours: true).contains("loss -"))
        #expect(odd.plain.hasPrefix("step 5/0 (100 %), loss -"))
        #expect(humanSeconds(.nan) == "?")
        #expect(ProgressBar(step: 0, target: 10, stepsPerSecond: 0).secondsLeft == nil)
    }

    @Test func colourIsOnlyWhereAskedFor() {
        #expect(bar.line(columns: 120, colours: true).contains("\u{1B}[32m"))
        #expect(!bar.line(columns: 120, colours: false).contains("\u{1B}"))
        #expect(!Terminal(descriptor: -1, environment: [:]).colours)
    }

    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (18_035_507, "17.2 MiB"),
        (1_048_575, "1.00 MiB"), (-2048, "-2.00 KiB"), (Int.max, "8.00 EiB"), (102_400, "100 KiB"),
    ]) func bytesForPeople(bytes: Int, text: String) { #expect(humanBytes(bytes) == text) }

    @Test func secondsForPeople() {
        #expect(humanSeconds(45) == "45 s")
        #expect(humanSeconds(199.5) == "3 min 20 s")
        #expect(humanSeconds(7500) == "2 h 5 min")
    }

    @Test func tableAlignsAndKeepsCellsInTheirLine() {
        var table = TextTable([.init("NODE"), .init("STEP", .right), .init("STATE")])
        table.add(["shard-0", "7", "run\nning"])
        table.add(["store-10", "1250"])
        #expect(
            table.render() == """
                NODE      STEP  STATE
                shard-0      7  run ning
                store-10  1250
                """)
    }
}

@Suite struct ProgressWriterTests {
    final class Sink: Sendable {
        let text = Mutex("")
        var lines: [String] { text.withLock { $0 }.split(separator: "\n").map(String.init) }
    }

    private func writer(isTerminal: Bool) -> (ProgressWriter, Sink) {
        let sink = Sink()
        let terminal = Terminal(isTerminal: isTerminal, columns: 100, colours: false)
        return (
            ProgressWriter(terminal: terminal) { part in sink.text.withLock { $0 += part } }, sink
        )
    }

    @Test func logHasALineForEveryTwentieth() {
        let (writer, sink) = writer(isTerminal: false)
        for step in 0...1000 { writer.update(ProgressBar(step: step, target: 1000), atSeconds: 0) }
        writer.finish()
        #expect(sink.lines.count == 21)
        #expect(sink.lines.last == "step 1000/1000 (100 %)")
    }

    @Test func logHasALineEveryFiveSeconds() {
        let (writer, sink) = writer(isTerminal: false)
        for second in 0..<20 {
            writer.update(ProgressBar(step: second, target: 100_000), atSeconds: Double(second))
        }
        #expect(sink.lines.count == 4)
    }

    @Test func terminalIsRedrawnTenTimesASecondAtMost() {
        let (writer, sink) = writer(isTerminal: true)
        for millisecond in 0..<1000 {
            writer.update(
                ProgressBar(step: millisecond, target: 5000), atSeconds: Double(millisecond) / 1000)
        }
        let redrawn = sink.text.withLock { $0 }.split(separator: "\r").count
        #expect((9...11).contains(redrawn), "\(redrawn)")
    }

    @Test func noteStandsAboveTheBar() {
        let (writer, sink) = writer(isTerminal: true)
        writer.update(ProgressBar(step: 1, target: 10), atSeconds: 0)
        writer.note("shard-1: killed\nby a drill")
        writer.finish()
        writer.update(ProgressBar(step: 9, target: 10), atSeconds: 9)
        let text = sink.text.withLock { $0 }
        #expect(text.contains("\r\u{1B}[2Kshard-1: killed by a drill\n\r\u{1B}[2K"))
        #expect(text.hasSuffix("1/10\n"))
    }
}
