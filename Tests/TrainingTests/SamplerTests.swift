import Testing

@testable import Training

@Suite struct SamplerTests {
    @Test func anEpochUsesEachSampleAtMostOnce() throws {
        let sampler = try Sampler(sampleCount: 103, workers: 3, batch: 4, seed: 9)
        #expect(sampler.clocksPerEpoch == 8)
        var epochs: [[Int32]] = []
        for epoch in 0..<3 {
            var used: [Int32] = []
            for clock in UInt64(epoch * 8)..<UInt64(epoch * 8 + 8) {
                for slot in 0..<3 { used += sampler.indices(slot: slot, clock: clock) }
            }
            #expect(used.count == 96 && Set(used).count == 96)
            #expect(used.allSatisfy { (0..<103).contains($0) })
            epochs.append(used)
        }
        #expect(epochs[0] != epochs[1] && epochs[1] != epochs[2])
    }

    @Test func isPure() throws {
        let (one, other) = (
            try Sampler(sampleCount: 50, workers: 2, batch: 5, seed: 1),
            try Sampler(sampleCount: 50, workers: 2, batch: 5, seed: 1)
        )
        let later = one.indices(slot: 1, clock: 1_000_003)
        _ = one.indices(slot: 0, clock: 0)
        #expect(other.indices(slot: 1, clock: 1_000_003) == later)
        #expect(one.indices(slot: 1, clock: 1_000_003) == later)
    }

    @Test func tooFewSamplesAreRefused() {
        #expect(throws: DataError.self) { try Sampler(sampleCount: 7, workers: 2, batch: 4, seed: 1) }
        #expect(throws: DataError.self) { try Sampler(sampleCount: 7, workers: 0, batch: 4, seed: 1) }
        #expect(throws: DataError.self) { try Sampler(sampleCount: 7, workers: .max, batch: 2, seed: 1) }
    }

    @Test func theGeneratorIsTheKnownOne() {
        var generator = SplitMix64(seed: 1_234_567)
        #expect(generator.next() == 6_457_827_717_110_365_317)
        #expect(generator.next() == 3_203_168_211_198_807_973)
    }
}
