import Cluster
import Foundation

extension DrillRun {
    /// Takes what the cluster told into the result.
    func record(_ events: [ClusterEvent], _ result: inout DrillResult) {
        let steps = events.filter { $0.kind == "step" }
        result.steps = Self.thinned(steps.map(Self.point(\.["loss"])))
        result.commits = Self.thinned(
            events.filter { $0.kind == "checkpoint" }.map(Self.point(\.["commit_ms"])))
        result.noticed = events.filter { $0.kind == "fault" }.map {
            NoticedFault(
                node: $0.node ?? "?", cause: $0.texts["cause"] ?? "", atMilliseconds: $0.atMilliseconds)
        }
        result.recoveries = events.filter { $0.kind == "recovered" }.map { event in
            let next = steps.first { $0.atMilliseconds >= event.atMilliseconds }
            return RecoveryRecord(
                node: event.node ?? "?", mode: event.texts["mode"] ?? "",
                atMilliseconds: event.atMilliseconds,
                detectedMilliseconds: event.numbers["detected_ms"] ?? 0,
                recoveredMilliseconds: event.numbers["recovered_ms"] ?? 0,
                resumedMilliseconds: next.map { $0.atMilliseconds - event.atMilliseconds },
                lostSteps: event.numbers["lost_steps"] ?? 0)
        }
        result.recoveryTimes = RecoveryTimes.rows(result.recoveries)
        if let summary = events.last(where: { $0.kind == "summary" }) {
            for (key, value) in summary.numbers { result.summary[key] = plain(value) }
            for (key, value) in summary.texts where key != "event" && key != "run_dir" {
                result.summary[key] = value
            }
        }
    }

    private static func point(
        _ value: @escaping ([String: Double]) -> Double?
    ) -> (ClusterEvent) -> CurvePoint {
        { event in
            CurvePoint(
                atMilliseconds: event.atMilliseconds, step: event.numbers["step"] ?? 0,
                value: value(event.numbers) ?? .nan)
        }
    }

    /// At most 2000 points, evenly chosen, first and last among them: more can't be seen.
    static func thinned(_ points: [CurvePoint]) -> [CurvePoint] {
        let points = points.filter { $0.value.isFinite }
        guard points.count > 2000 else { return points }
        return (0..<2000).map { points[$0 * (points.count - 1) / 1999] }
    }
}
