import Testing

@testable import Training

@Suite struct OptimizerTests {
    static let kinds: [OptimizerKind] = [
        .sgd(learningRate: 0.1), .sgd(learningRate: 0.1, momentum: 0.9), .adagrad(learningRate: 0.05),
        .adam(learningRate: 0.01),
    ]

    /// Five steps over the vector, cut at the given places.
    private func run(_ kind: OptimizerKind, count: Int, cuts: [Int]) -> [[Float]] {
        var generator = SplitMix64(seed: 4)
        var parameters = (0..<count).map { _ in generator.symmetric(limit: 1) }
        var slots = kind.slotNames.map { _ in [Float](repeating: 0, count: count) }
        for step in 1...5 {
            let gradient = (0..<count).map { _ in generator.symmetric(limit: 1) }
            var start = 0
            for end in cuts + [count] {
                var p = Array(parameters[start..<end])
                var s = slots.map { Array($0[start..<end]) }
                let g = Array(gradient[start..<end])
                apply(kind, &p, &s, g, step: UInt64(step))
                parameters.replaceSubrange(start..<end, with: p)
                for i in s.indices { slots[i].replaceSubrange(start..<end, with: s[i]) }
                start = end
            }
        }
        return [parameters] + slots
    }

    private func apply(
        _ kind: OptimizerKind, _ p: inout [Float], _ s: inout [[Float]], _ g: [Float], step: UInt64
    ) {
        let memory = s.map { slot in
            let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: slot.count)
            _ = buffer.initialize(from: slot)
            return buffer
        }
        p.withUnsafeMutableBufferPointer { p in
            g.withUnsafeBufferPointer { kind.apply(parameters: p, slots: memory, gradient: $0, step: step) }
        }
        s = memory.map { Array($0) }
        for buffer in memory { buffer.deallocate() }
    }

    @Test(arguments: kinds) func slicesGiveTheSameBits(_ kind: OptimizerKind) {
        #expect(run(kind, count: 1003, cuts: []) == run(kind, count: 1003, cuts: [1, 6, 500, 777]))
    }

    @Test(arguments: kinds) func agreesWithTheFormulas(_ kind: OptimizerKind) {
        let count = 17
        var generator = SplitMix64(seed: 4)
        var p = (0..<count).map { _ in Double(generator.symmetric(limit: 1)) }
        var (a, b) = ([Double](repeating: 0, count: count), [Double](repeating: 0, count: count))
        for step in 1...5 {
            for i in 0..<count {
                let g = Double(generator.symmetric(limit: 1))
                switch kind {
                case .sgd(let rate, let momentum):
                    a[i] = Double(momentum) * a[i] + g
                    p[i] -= Double(rate) * a[i]
                case .adagrad(let rate, let epsilon):
                    a[i] += g * g
                    p[i] -= Double(rate) * g / (a[i].squareRoot() + Double(epsilon))
                case .adam(let rate, let beta1, let beta2, let epsilon):
                    a[i] = Double(beta1) * a[i] + (1 - Double(beta1)) * g
                    b[i] = Double(beta2) * b[i] + (1 - Double(beta2)) * g * g
                    let m = a[i] / (1 - power(Double(beta1), UInt64(step)))
                    let v = b[i] / (1 - power(Double(beta2), UInt64(step)))
                    p[i] -= Double(rate) * m / (v.squareRoot() + Double(epsilon))
                }
            }
        }
        let got = run(kind, count: count, cuts: [])[0]
        for i in 0..<count { #expect(abs(Double(got[i]) - p[i]) < 1e-5) }
    }

    @Test func gradientsAreSummedInOrder() {
        let inputs: [[Float]] = [[1e8, 1], [1, 2], [-1e8, 3]]
        let buffers = inputs.map { input in
            let buffer = UnsafeMutableBufferPointer<Float>.allocate(capacity: input.count)
            _ = buffer.initialize(from: input)
            return buffer
        }
        defer { for buffer in buffers { buffer.deallocate() } }
        sumGradients(buffers.map { UnsafeBufferPointer($0) }, scale: 0.5, into: buffers[0])
        #expect(Array(buffers[0]) == [0, 3])
    }
}
