import Foundation

/// The report as one HTML file that needs nothing else.
struct Page {
    let result: DrillResult

    var html: String {
        """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(escaped(result.name)): \(result.verdict.rawValue)</title>
        <style>\(PageStyle.css)</style></head><body><main>
        \(header)
        \(facts)
        \(section("What happened", picture { Timeline(result: result).draw(width: $0) } + Self.legend))
        \(checks)
        \(loss)
        \(recoveries)
        \(injected)
        \(details)
        <footer>Written by varve. Times are measured from the start of the drill.</footer>
        </main></body></html>

        """
    }

    private var header: String {
        let style =
            switch result.verdict {
            case .passed: "good"
            case .failed: "bad"
            case .notRun, .broken: "odd"
            }
        return """
            <header><p class="kind">\(result.engine == .simulation ? "fault drill, simulated" : "fault drill")</p>
            <h1>\(escaped(result.name)) <span class="badge \(style)">\(result.verdict.rawValue)</span></h1>
            <p class="about">\(escaped(result.about))</p>
            <p class="reason \(style)">\(escaped(result.reason))</p></header>
            """
    }

    private var facts: String {
        let strikes = result.history.filter { $0.kind == .fault }.count
        let slowest = result.recoveries.map(\.recoveredMilliseconds).max()
        let lost = result.recoveries.map(\.lostSteps).max()
        let items: [(String, String)] = [
            ("faults struck", "\(strikes)"), ("recoveries", "\(result.recoveries.count)"),
            ("slowest recovery", slowest.map { "\(plain($0.rounded())) ms" } ?? "–"),
            ("most steps lost", lost.map(plain) ?? "–"),
            ("steps", result.summary["steps"] ?? plain(result.steps.last?.step ?? 0)),
            ("duration", "\(plain((result.wallMilliseconds / 100).rounded() / 10)) s"),
        ]
        let cells = items.map { "<div><dt>\($0.0)</dt><dd>\(escaped($0.1))</dd></div>" }.joined()
        return """
            <dl class="facts">\(cells)</dl>
            <p class="again">Again, with the same draws: <code>\(escaped(result.command))</code></p>
            """
    }

    private var checks: String {
        guard !result.checks.isEmpty else {
            return section("What was checked", "<p>Nothing: the drill did not get that far.</p>")
        }
        let rows = result.checks.map { check in
            let (style, word) =
                switch check.outcome {
                case .held: ("good", "held")
                case .broken: ("bad", "broken")
                case .unknown: ("odd", "unknown")
                }
            return """
                <tr><td><span class="badge \(style)">\(word)</span></td><th scope="row">\(escaped(check.name))</th>
                <td>\(escaped(check.evidence))<span class="method">\(escaped(check.method))</span></td></tr>
                """
        }
        let claimed = Set(result.checks.map { $0.name.split(separator: ",").first.map(String.init) ?? "" })
        let missing = Invariant.allCases.map(\.rawValue).filter { !claimed.contains($0) }
        let others =
            missing.isEmpty
            ? ""
            : "<p class=\"note\">Not looked at here, and not claimed: \(missing.joined(separator: ", ")).</p>"
        return section("What was checked", "<table class=\"checks\">\(rows.joined())</table>" + others)
    }

    private var loss: String {
        let chart = LossChart(result: result)
        guard chart.isWorthShowing else { return "" }
        return section("Loss", picture { chart.draw(width: $0) })
    }

    private var recoveries: String {
        guard !result.recoveries.isEmpty else { return "" }
        let chart = RecoveryChart(result: result)
        let more =
            chart.isSelection
            ? "<p class=\"note\">The \(RecoveryChart.most) slowest of \(result.recoveries.count), in their order.</p>"
            : ""
        return section("Recovery times", times + picture { chart.draw(width: $0) } + more)
    }

    /// Median and 99th percentile by role.
    private var times: String {
        guard result.recoveries.count >= 5 else { return "" }
        let rows = result.recoveryTimes.map { row in
            let cells = [row.detected, row.restored, row.resumed, row.total].map { "<td>\($0.text)</td>" }
            return "<tr><th scope=\"row\">\(row.role)</th><td>\(row.count)</td>\(cells.joined())</tr>"
        }
        return """
            <table class="times"><thead><tr><th scope="col">role</th><th scope="col">times</th><th scope="col">noticed</th>
            <th scope="col">restored</th><th scope="col">next step</th><th scope="col">in all</th></tr></thead>
            <tbody>\(rows.joined())</tbody></table>
            <p class="note">Median / 99th percentile, in milliseconds: from the fault until it was noticed, from then until
            the node was back, from then to the next step, and in all.</p>
            """
    }

    private var injected: String {
        let entries = result.history.filter {
            switch $0.kind {
            case .fault, .healed, .notInjected, .failure: true
            case .step, .note: false
            }
        }
        guard !entries.isEmpty else { return "" }
        let table = "<table class=\"log\">\(rows(entries))</table>"
        return section(
            "What was injected, and when",
            entries.count <= 60
                ? table : "<details><summary>\(entries.count) lines</summary>\(table)</details>")
    }

    private var details: String {
        var text =
            "<details><summary>Every step of the drill</summary><table class=\"log\">\(rows(result.history))</table></details>"
        for (node, lines) in result.logs.sorted(by: { $0.key < $1.key }) {
            text +=
                "<details><summary>Log of \(escaped(node))</summary><pre>\(escaped(lines))</pre></details>"
        }
        return section("Details", text)
    }

    private func rows(_ entries: [HistoryEntry]) -> String {
        entries.map { entry in
            let style =
                switch entry.kind {
                case .fault: "strike-row"
                case .failure, .notInjected: "bad-row"
                case .healed: "good-row"
                case .step, .note: ""
                }
            let seconds = plain((entry.atMilliseconds / 10).rounded() / 100)
            let step = entry.step.isEmpty ? "" : "<b>\(escaped(entry.step))</b> "
            return
                "<tr class=\"\(style)\"><td>\(seconds) s</td><td>\(step)\(escaped(entry.sentence))</td></tr>"
        }.joined()
    }

    private func section(_ title: String, _ body: String) -> String {
        "<section><h2>\(title)</h2>\(body)</section>"
    }

    /// The same picture for wide and narrow windows: scaled down, its words would be too small to read.
    private func picture(_ draw: (Double) -> String) -> String {
        "<div class=\"wide\">\(draw(920))</div><div class=\"narrow\">\(draw(400))</div>"
    }

    private static let legend = """
        <p class="legend"><span><i class="key strike-key"></i>a fault strikes</span><span><i class="key noticed-key"></i>\
        noticed</span><span><i class="key away-key"></i>away</span><span><i class="key back-key"></i>back</span>\
        <span><i class="key span-key"></i>a fault goes on</span></p>
        """
}
