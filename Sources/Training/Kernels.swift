#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// The element-wise loops of the models. Plain loops over pointers, so that the compiler vectorizes them.
enum Kernels {
    /// `tanh(x)` without a branch, so that a loop over it vectorizes; relative error at most 3e-7.
    ///
    /// `t = e^{2|x|} - 1` by splitting off a power of two and the Taylor polynomial of the rest, then `t / (t + 2)`.
    /// Taking `e^y - 1` and not `e^y` keeps the relative error small near zero. Above 9.02 the result is 1 in Float.
    @inline(__always)
    static func tanh(_ x: Float) -> Float {
        let bits = x.bitPattern
        let magnitude = Float(bitPattern: bits & 0x7FFF_FFFF)
        let y = 2 * (magnitude < 9.02 ? magnitude : 9.02)
        // Adding 1.5·2²³ rounds to a whole number, which is then in the low bits of the sum.
        let shifted = y * 1.442_695_04 + 12_582_912
        let whole = shifted - 12_582_912
        // ln 2 in two parts, so that the rest is exact to the last bits.
        let rest = (y - whole * 0.693_359_375) + whole * 2.121_944_4e-4
        let exponent = shifted.bitPattern &- 0x4B40_0000
        let power = Float(bitPattern: (exponent &+ 127) &<< 23)
        var series: Float = 1.0 / 5040 * rest + 1.0 / 720
        series = series * rest + 1.0 / 120
        series = series * rest + 1.0 / 24
        series = series * rest + 1.0 / 6
        series = series * rest + 0.5
        series = series * (rest * rest) + rest
        let t = power * series + (power - 1)
        let result = t / (t + 2)
        return Float(bitPattern: result.bitPattern | (bits & 0x8000_0000))
    }

    /// Adds one bias to all values, then applies the activation.
    static func addBias(
        _ values: UnsafeMutablePointer<Float>, count: Int, bias: Float, _ activation: Activation
    ) {
        switch activation {
        case .none: for i in 0..<count { values[i] += bias }
        case .tanh: for i in 0..<count { values[i] = tanh(values[i] + bias) }
        case .relu: for i in 0..<count { values[i] = max(values[i] + bias, 0) }
        }
    }

    /// Adds the bias to each row, then applies the activation.
    static func addBias(
        _ values: UnsafeMutablePointer<Float>, rows: Int, columns: Int, bias: UnsafePointer<Float>,
        _ activation: Activation
    ) {
        for row in 0..<rows {
            let line = values + row * columns
            switch activation {
            case .none: for i in 0..<columns { line[i] += bias[i] }
            case .tanh: for i in 0..<columns { line[i] = tanh(line[i] + bias[i]) }
            case .relu: for i in 0..<columns { line[i] = max(line[i] + bias[i], 0) }
            }
        }
    }

    /// Turns the gradient of a rectifier's outputs into the gradient of its inputs.
    static func throughRelu(
        _ gradient: UnsafeMutablePointer<Float>, outputs: UnsafePointer<Float>, count: Int
    ) {
        for i in 0..<count { gradient[i] = outputs[i] > 0 ? gradient[i] : 0 }
    }

    /// Turns the gradient of `tanh`'s outputs into the gradient of its inputs: `gradient *= 1 - output²`.
    static func throughTanh(
        _ gradient: UnsafeMutablePointer<Float>, outputs: UnsafePointer<Float>, count: Int
    ) {
        for i in 0..<count { gradient[i] *= 1 - outputs[i] * outputs[i] }
    }

    /// Adds the sum of each column to `sums`.
    static func addColumnSums(
        _ values: UnsafePointer<Float>, rows: Int, columns: Int, to sums: UnsafeMutablePointer<Float>
    ) {
        for row in 0..<rows {
            let line = values + row * columns
            for i in 0..<columns { sums[i] += line[i] }
        }
    }

    /// The sum of `count` values in eight interleaved partial sums, a fixed order that vectorizes.
    static func sum(_ values: UnsafePointer<Float>, count: Int) -> Float {
        var (even, odd) = (SIMD4<Float>.zero, SIMD4<Float>.zero)
        let raw = UnsafeRawPointer(values)
        let blocks = count / 8
        for block in 0..<blocks {
            even += raw.loadUnaligned(fromByteOffset: block * 32, as: SIMD4<Float>.self)
            odd += raw.loadUnaligned(fromByteOffset: block * 32 + 16, as: SIMD4<Float>.self)
        }
        var total = (even + odd).sum()
        for i in (blocks * 8)..<count { total += values[i] }
        return total
    }

    /// Softmax and cross entropy of one row of logits, which become the gradient times `scale`; returns the loss.
    static func crossEntropy(
        _ logits: UnsafeMutablePointer<Float>, classes: Int, label: Int, scale: Float
    ) -> Double {
        var largest = logits[0]
        for i in 1..<max(classes, 1) where logits[i] > largest { largest = logits[i] }
        let chosen = logits[label] - largest
        var total: Float = 0
        for i in 0..<classes {
            let weight = exp(logits[i] - largest)
            logits[i] = weight
            total += weight
        }
        let factor = scale / total
        for i in 0..<classes { logits[i] *= factor }
        logits[label] -= scale
        return Double(log(total) - chosen)
    }

    /// The loss and the answer of one row of logits.
    static func score(_ logits: UnsafeMutablePointer<Float>, classes: Int, label: Int) -> Score {
        var best = 0
        for i in 1..<max(classes, 1) where logits[i] > logits[best] { best = i }
        return Score(
            loss: crossEntropy(logits, classes: classes, label: label, scale: 1),
            correct: best == label ? 1 : 0)
    }
}
