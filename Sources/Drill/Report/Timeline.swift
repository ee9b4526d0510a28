/// The picture of a run: steps and commits over time, and below them what happened to each node.
struct Timeline {
    let result: DrillResult

    private struct Strike {
        var node: String
        var at: Double
        /// When the node was back, and when the fault was healed; either may be missing.
        var back: Double?
        var healed: Double?
        var sentence: String
    }

    /// - Parameter width: of the picture; a narrow one gets fewer ticks and shorter names.
    func draw(width: Double) -> String {
        let isNarrow = width < 600
        let left = isNarrow ? 86.0 : 96
        let right = width - 14
        let top = 30.0
        let curve = isNarrow ? 130.0 : 170
        let rows = result.nodes
        let row = isNarrow ? 20.0 : 22
        let lanesTop = top + curve + 26
        let height = lanesTop + Double(rows.count) * row + 30
        var drawing = Drawing(width: width, height: height)
        let end = self.end
        let time = Scale(0, end, from: left, to: right)
        let highest = max(result.steps.last?.step ?? 0, result.commits.last?.step ?? 0, 1)
        let steps = Scale(0, highest, from: top + curve, to: top)
        for tick in time.ticks(isNarrow ? 4 : 9) {
            drawing.line(time(tick), top, time(tick), height - 24, "grid")
            drawing.text(time(tick), height - 8, "\(plain(tick / 1000)) s", anchor: "middle")
        }
        for tick in steps.ticks(4) {
            drawing.line(left, steps(tick), right, steps(tick), "grid")
            drawing.text(left - 8, steps(tick) + 4, plain(tick), anchor: "end")
        }
        drawing.text(left, top - 12, "step", "label strong")
        drawing.bar(left + 44, top - 20, 14, 4, "steps-fill")
        drawing.text(left + 62, top - 12, "done")
        drawing.bar(left + 104, top - 20, 14, 4, "commits-fill")
        drawing.text(left + 122, top - 12, "committed")
        for fault in spans {
            drawing.bar(
                time(fault.at), top, time(fault.until) - time(fault.at), curve, "span", title: fault.title)
        }
        drawing.path(result.steps.map { (time($0.atMilliseconds), steps($0.step)) }, "curve steps-line")
        drawing.path(result.commits.map { (time($0.atMilliseconds), steps($0.step)) }, "curve commits-line")
        let faults = result.history.filter { $0.kind == .fault }
        // More of them would hide the curve; the lanes below show each.
        if faults.count <= 60 {
            for entry in faults {
                drawing.line(
                    time(entry.atMilliseconds), top, time(entry.atMilliseconds), top + curve, "moment")
            }
        }
        lanes(&drawing, rows, top: lanesTop, row: row, time: time, left: left, right: right)
        return drawing.svg("Steps, commits, faults and recoveries over time")
    }

    private func lanes(
        _ drawing: inout Drawing, _ rows: [String], top: Double, row: Double, time: Scale, left: Double,
        right: Double
    ) {
        let strikes = self.strikes
        for (place, node) in rows.enumerated() {
            let middle = top + (Double(place) + 0.5) * row
            drawing.text(left - 8, middle + 4, node, anchor: "end")
            drawing.line(left, middle, right, middle, "lane")
            for strike in strikes where strike.node == node {
                if let back = strike.back {
                    drawing.bar(
                        time(strike.at), middle - 5, time(back) - time(strike.at), 10, "away",
                        title: strike.sentence)
                }
                if let healed = strike.healed {
                    drawing.bar(
                        time(strike.at), middle - 6, time(healed) - time(strike.at), 12, "hurt",
                        title: strike.sentence)
                }
            }
            for noticed in result.noticed where noticed.node == node {
                drawing.bar(
                    time(noticed.atMilliseconds) - 1, middle - 7, 2, 14, "noticed",
                    title: "noticed: \(noticed.cause)")
            }
            for back in result.recoveries where back.node == node {
                drawing.bar(
                    time(back.atMilliseconds) - 1.5, middle - 7, 3, 14, "back",
                    title: "back after \(plain(back.recoveredMilliseconds.rounded())) ms")
            }
            for strike in strikes where strike.node == node {
                drawing.mark(time(strike.at), middle - 1, "strike", title: strike.sentence)
            }
        }
    }

    /// When the run of the drill ended; a run to compare with comes later and isn't shown.
    private var end: Double {
        let times =
            result.steps.map(\.atMilliseconds) + result.commits.map(\.atMilliseconds)
            + result.noticed.map(\.atMilliseconds) + result.recoveries.map(\.atMilliseconds)
            + result.history.filter { $0.kind == .fault || $0.kind == .healed }.map(\.atMilliseconds)
        return (times.max() ?? 1000) * 1.02
    }

    /// Faults that went on for a while.
    private var spans: [(at: Double, until: Double, title: String)] {
        let healed = result.history.filter { $0.kind == .healed }
        return result.history.filter { $0.kind == .fault }.compactMap { fault in
            healed.first {
                $0.step == fault.step && $0.nodes == fault.nodes && $0.atMilliseconds >= fault.atMilliseconds
            }
            .map { (fault.atMilliseconds, $0.atMilliseconds, fault.sentence) }
        }
    }

    private var strikes: [Strike] {
        let healed = result.history.filter { $0.kind == .healed }
        var strikes = result.history.filter { $0.kind == .fault }.flatMap { fault in
            fault.nodes.map { node in
                let end = healed.first {
                    $0.step == fault.step && $0.nodes.contains(node)
                        && $0.atMilliseconds >= fault.atMilliseconds
                }
                return Strike(
                    node: node, at: fault.atMilliseconds, healed: end?.atMilliseconds,
                    sentence: fault.sentence)
            }
        }
        for recovery in result.recoveries {
            // Of several strikes on a node, the one that a recovery counts its time from.
            let began = recovery.atMilliseconds - recovery.recoveredMilliseconds
            let mine = strikes.indices.filter {
                strikes[$0].node == recovery.node && strikes[$0].at <= recovery.atMilliseconds + 50
            }.min { abs(strikes[$0].at - began) < abs(strikes[$1].at - began) }
            if let mine, abs(strikes[mine].at - began) < 2000 { strikes[mine].back = recovery.atMilliseconds }
        }
        return strikes
    }
}
