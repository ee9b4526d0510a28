import Foundation

/// The loss over steps, with faults and, where there is one, of the run without.
struct LossChart {
    let result: DrillResult

    var isWorthShowing: Bool { result.steps.count > 1 }

    func draw(width: Double) -> String {
        let isNarrow = width < 600
        let (left, right, top) = (isNarrow ? 44.0 : 56, width - 14, 30.0)
        let height = isNarrow ? 210.0 : 250
        var drawing = Drawing(width: width, height: height)
        let all = result.steps + result.referenceLoss
        let steps = Scale(0, all.map(\.step).max() ?? 1, from: left, to: right)
        let values = all.map(\.value)
        let (least, most) = (values.min() ?? 0, values.max() ?? 1)
        // A loss that falls by orders of magnitude shows nothing on an even scale but its first steps.
        let isLogarithmic = least > 0 && most / least > 30
        let place = { (value: Double) in isLogarithmic ? log10(max(value, least)) : value }
        let loss = Scale(
            isLogarithmic ? place(least) : min(0, least), place(most), from: height - 30, to: top)
        for tick in steps.ticks(isNarrow ? 4 : 9) {
            drawing.line(steps(tick), top, steps(tick), height - 30, "grid")
            drawing.text(steps(tick), height - 12, plain(tick), anchor: "middle")
        }
        for tick in loss.ticks(4) where !isLogarithmic || tick == tick.rounded() {
            drawing.line(left, loss(tick), right, loss(tick), "grid")
            let text = isLogarithmic ? "\(Double("1e\(Int(tick))") ?? 0)" : plain(tick)
            drawing.text(
                left - 6, loss(tick) + 4, text.hasSuffix(".0") ? String(text.dropLast(2)) : text,
                anchor: "end")
        }
        drawing.text(left, top - 12, "loss", "label strong")
        drawing.bar(left + 44, top - 20, 14, 4, "steps-fill")
        drawing.text(left + 62, top - 12, "with faults")
        if !result.referenceLoss.isEmpty {
            drawing.line(left + 140, top - 18, left + 158, top - 18, "curve reference-line")
            drawing.text(left + 164, top - 12, "without")
        }
        // Below, so that the dashes show on top where both are the same.
        drawing.path(result.steps.map { (steps($0.step), loss(place($0.value))) }, "curve steps-line")
        drawing.path(
            result.referenceLoss.map { (steps($0.step), loss(place($0.value))) }, "curve reference-line")
        for entry in result.history where entry.kind == .fault {
            guard let step = result.steps.last(where: { $0.atMilliseconds <= entry.atMilliseconds })?.step
            else {
                continue
            }
            drawing.mark(steps(step), top + 4, "strike", title: entry.sentence)
        }
        return drawing.svg("Loss over steps")
    }
}

/// How long each recovery took: until it was noticed, until it was over, until the next step.
struct RecoveryChart {
    let result: DrillResult

    /// More bars than this tell less, not more.
    static let most = 16

    var isSelection: Bool { result.recoveries.count > Self.most }

    /// The slowest, in the order in which they happened.
    private var shown: [RecoveryRecord] {
        guard isSelection else { return result.recoveries }
        let slowest = result.recoveries.indices.sorted {
            result.recoveries[$0].recoveredMilliseconds > result.recoveries[$1].recoveredMilliseconds
        }.prefix(Self.most)
        return slowest.sorted().map { result.recoveries[$0] }
    }

    func draw(width: Double) -> String {
        let isNarrow = width < 600
        let left = isNarrow ? 86.0 : 96
        let right = width - 60
        let shown = shown
        let row = 24.0
        let top = 34.0
        let height = top + Double(shown.count) * row + 28
        var drawing = Drawing(width: width, height: height)
        let longest = shown.map { $0.recoveredMilliseconds + ($0.resumedMilliseconds ?? 0) }.max() ?? 1
        let time = Scale(0, longest, from: left, to: right)
        for tick in time.ticks(isNarrow ? 3 : 7) {
            drawing.line(time(tick), top - 4, time(tick), height - 24, "grid")
            drawing.text(time(tick), height - 8, "\(plain(tick)) ms", anchor: "middle")
        }
        var x = left
        for (style, name) in [("detect", "noticed"), ("restore", "restored"), ("resume", "next step")] {
            drawing.bar(x, 8, 12, 10, style)
            drawing.text(x + 17, 17, name)
            x += Double(name.count) * 6.4 + 40
        }
        for (place, recovery) in shown.enumerated() {
            let y = top + Double(place) * row
            let detected = recovery.detectedMilliseconds
            let total = recovery.recoveredMilliseconds
            drawing.text(left - 8, y + 12, recovery.node, anchor: "end")
            let resumed = total + (recovery.resumedMilliseconds ?? 0)
            let tell = { (what: String, ms: Double) in "\(recovery.node): \(what) \(plain(ms.rounded())) ms" }
            drawing.bar(left, y, time(detected) - left, 16, "detect", title: tell("noticed after", detected))
            drawing.bar(
                time(detected), y, time(total) - time(detected), 16, "restore",
                title: tell("\(recovery.mode) took", total - detected))
            if recovery.resumedMilliseconds != nil {
                drawing.bar(
                    time(total), y, time(resumed) - time(total), 16, "resume",
                    title: tell("next step after", resumed - total))
            }
            drawing.text(time(resumed) + 6, y + 12, "\(plain(resumed.rounded()))")
        }
        return drawing.svg("Recovery times")
    }
}
