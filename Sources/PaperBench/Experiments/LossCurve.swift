/// The loss of undisturbed training after each step, and how much rework a recovered run needs by it.
struct LossCurve: Sendable {
    /// By clock, from 0.
    let losses: [Double]
    /// A centred moving average over `2 · reach + 1` steps, shorter at the ends.
    let smooth: [Double]

    init(_ losses: [Double], reach: Int = 5) {
        self.losses = losses
        smooth = losses.indices.map { place in
            let reach = min(reach, place, losses.count - 1 - place)
            let window = losses[(place - reach)...(place + reach)]
            return window.reduce(0, +) / Double(window.count)
        }
    }

    /// How far a recovered run's loss is above where undisturbed training was at `failure`, when it has reached `clock`.
    ///
    /// The step's samples move both runs alike, so what the undisturbed loss is above or below its own average there is
    /// taken off the recovered one. Restored exactly at the failure, a run is at 0; gone back exactly, it reaches 0 when
    /// it has done the lost steps again.
    func gap(_ loss: Double, at clock: Int, failure: Int) -> Double {
        loss - losses[clock] + smooth[clock] - smooth[failure]
    }
}

/// Counts the steps until a recovered run's loss is back.
struct ReworkCounter: Sendable {
    let curve: LossCurve
    let failure: Int
    /// The clock that the run was restored at.
    let restored: Int
    private var steps = 0
    private var lastGap: Double?
    /// Whole steps until the measured loss was at or below the loss at the failure, as SCAR counts.
    private(set) var whole: Int?
    /// The same on losses without the noise of the samples, interpolated between steps.
    private(set) var fraction: Double?

    init(_ curve: LossCurve, failure: Int, restored: Int) {
        (self.curve, self.failure, self.restored) = (curve, failure, restored)
    }

    var isDone: Bool { whole != nil && fraction != nil }

    /// Takes the loss after one more step; the first one is that of the restored parameters.
    mutating func add(_ loss: Double) {
        let gap = curve.gap(loss, at: restored + steps, failure: failure)
        if whole == nil, loss <= curve.losses[failure] { whole = steps }
        if fraction == nil, gap <= 0 {
            // Between the step before, where the gap was open, and this one.
            fraction = lastGap.map { Double(steps) - 1 + $0 / ($0 - gap) } ?? 0
        }
        lastGap = gap
        steps += 1
    }
}
