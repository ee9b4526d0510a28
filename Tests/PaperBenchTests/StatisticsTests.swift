import Testing

@testable import PaperBench

@Suite struct StatisticsTests {
    @Test func intervalIsStudents() {
        let estimate = Estimate([1, 2, 3, 4, 5])
        #expect(estimate.mean == 3)
        // 2.776 · √2.5 / √5
        #expect(abs(estimate.halfWidth - 1.963) < 0.001)
        #expect(Estimate([7]).halfWidth == 0)
        #expect(Estimate([]).count == 0)
    }

    @Test func quantileGoesOnSmoothlyBeyondItsTable() {
        let beyond = Estimate.quantile(freedom: 31)
        #expect(beyond < 2.042 && beyond > 2.03)
        #expect(abs(Estimate.quantile(freedom: 100_000) - 1.96) < 0.001)
    }

    @Test func ratioStaysDefinedWhenNothingIsInTheDenominator() {
        let ratio = Ratio([4, 6], by: [0, 0], floor: 0.5, seed: 1)
        #expect(ratio.value == 10)
        #expect(ratio.low >= 8 && ratio.high <= 12)
    }

    @Test func bootstrapHoldsTheValueAndRepeats() {
        let (slow, fast) = ((1...20).map { Double($0) }, (1...20).map { Double($0 % 3) })
        let ratio = Ratio(slow, by: fast, floor: 0.05, seed: 7)
        #expect(ratio.low < ratio.value && ratio.value < ratio.high)
        #expect(ratio == Ratio(slow, by: fast, floor: 0.05, seed: 7))
        #expect(ratio != Ratio(slow, by: fast, floor: 0.05, seed: 8))
    }

    @Test func medians() {
        #expect(median([3, 1, 2]) == 2)
        #expect(median([4, 1, 2, 3]) == 2.5)
        #expect(median([]) == 0)
    }
}

@Suite struct LossCurveTests {
    /// Falls by one a step, with the noise of a fixed pattern.
    private let curve = LossCurve((0..<60).map { 100 - Double($0) + [0, 0.8, -0.5, 0.3, -0.6][$0 % 5] })

    @Test func stepsDoneAgainAreTheRework() {
        for (restored, failure) in [(30, 30), (27, 30), (20, 33)] {
            var counter = ReworkCounter(curve, failure: failure, restored: restored)
            var clock = restored
            while !counter.isDone {
                counter.add(curve.losses[clock])
                clock += 1
            }
            #expect(abs(counter.fraction! - Double(failure - restored)) < 1e-9)
            #expect(counter.whole! <= failure - restored)
        }
    }

    @Test func aSmallStepBackIsAFractionOfAStep() {
        var counter = ReworkCounter(curve, failure: 30, restored: 30)
        counter.add(curve.losses[30] + 0.25)
        #expect(!counter.isDone)
        for clock in 31..<40 { counter.add(curve.losses[clock] + 0.25) }
        // The moving average is not free of a pattern that doesn't fit into it.
        #expect(abs(counter.fraction! - 0.25) < 0.05)
    }
}
