import Foundation
import Synchronization

/// Shows progress on standard error: one line that is redrawn on a terminal, plain lines now and then otherwise.
///
/// On a terminal it redraws at most ten times a second. Elsewhere it writes a line at the first update, then
/// whenever 5 % of the run or 5 s have passed, and at the end. Standard output is never touched.
final class ProgressWriter: Sendable {
    private struct State {
        var pacing = ProgressPacing()
        var last: ProgressBar?
        var drawn = false
        var finished = false
    }

    private let terminal: Terminal
    private let write: @Sendable (String) -> Void
    private let state = Mutex(State())

    /// `isTerminal` nil asks the kernel about standard error.
    convenience init(isTerminal: Bool? = nil) {
        let found = Terminal(descriptor: STDERR_FILENO)
        let shown = isTerminal ?? found.isTerminal
        self.init(
            terminal: Terminal(
                isTerminal: shown, columns: found.columns, colours: shown && found.colours),
            write: { FileHandle.standardError.write(Data($0.utf8)) })
    }

    init(terminal: Terminal, write: @escaping @Sendable (String) -> Void) {
        self.terminal = terminal
        self.write = write
    }

    /// Shows where the run stands, if it is time to.
    func update(_ bar: ProgressBar) {
        update(bar, atSeconds: ProcessInfo.processInfo.systemUptime)
    }

    func update(_ bar: ProgressBar, atSeconds now: Double) {
        state.withLock { state in
            guard !state.finished else { return }
            state.last = bar
            if terminal.isTerminal {
                guard state.pacing.redraws(bar, atSeconds: now) else { return }
                draw(bar, &state)
            } else if state.pacing.prints(bar, atSeconds: now) {
                write(bar.plain + "\n")
            }
        }
    }

    /// Writes a line of its own above the bar: a fault, a recovery.
    func note(_ text: String) {
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        state.withLock { state in
            guard terminal.isTerminal, !state.finished else { return write(line + "\n") }
            write((state.drawn ? "\r\u{1B}[2K" : "") + line + "\n")
            state.drawn = false
            if let bar = state.last { draw(bar, &state) }
        }
    }

    /// Shows the last state once more and leaves the cursor on a fresh line; later updates are dropped.
    func finish() {
        state.withLock { state in
            guard !state.finished else { return }
            state.finished = true
            guard let bar = state.last else { return }
            if terminal.isTerminal {
                draw(bar, &state)
                write("\n")
            } else if state.pacing.lastPrinted != bar {
                write(bar.plain + "\n")
            }
        }
    }

    private func draw(_ bar: ProgressBar, _ state: inout State) {
        // The width is asked for again each time: windows are resized during long runs.
        let columns = terminal.isTerminal ? Self.columns(or: terminal.columns) : terminal.columns
        write("\r\u{1B}[2K" + bar.line(columns: columns, colours: terminal.colours))
        state.drawn = true
    }

    private static func columns(or known: Int) -> Int {
        var size = winsize()
        let asked = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return asked ? Int(size.ws_col) : known
    }
}

/// Decides when a progress line is due; times are seconds on any clock that doesn't go back.
struct ProgressPacing: Sendable, Hashable {
    private var redrawnAtSeconds: Double?
    private var printedAtSeconds: Double?
    private(set) var lastPrinted: ProgressBar?

    /// At most ten times a second, and always at the end.
    mutating func redraws(_ bar: ProgressBar, atSeconds now: Double) -> Bool {
        if let last = redrawnAtSeconds, now - last < 0.1, bar.step < bar.target { return false }
        redrawnAtSeconds = now
        return true
    }

    /// At the first update, after 5 % of the run or 5 s, and at the end; never twice the same state.
    mutating func prints(_ bar: ProgressBar, atSeconds now: Double) -> Bool {
        if let last = lastPrinted, let printed = printedAtSeconds {
            let far = abs(bar.fraction - last.fraction) >= 0.05
            let late = now - printed >= 5
            let ended = bar.step >= bar.target && last.step < last.target
            guard far || late || ended else { return false }
        }
        printedAtSeconds = now
        lastPrinted = bar
        return true
    }
}
