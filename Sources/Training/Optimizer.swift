/// An optimizer with its settings; definitions as in PyTorch, without weight decay.
///
/// A step is element-wise: the result doesn't depend on how the parameter vector is cut into slices, so any number of
/// shards computes the same bits. Each slot is a vector beside the parameters that starts as zeros.
public enum OptimizerKind: Sendable, Hashable {
    /// `b = momentum·b + g; p -= learningRate·b`; without momentum there is no slot.
    case sgd(learningRate: Float, momentum: Float = 0)
    /// `a += g²; p -= learningRate·g / (√a + epsilon)` (Duchi, Hazan, Singer 2011).
    case adagrad(learningRate: Float, epsilon: Float = 1e-10)
    /// Adam with bias correction (Kingma, Ba 2015).
    case adam(learningRate: Float, beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8)

    /// The names of the vectors that the optimizer keeps, in the order in which `apply` takes them.
    public var slotNames: [String] {
        switch self {
        case .sgd(learningRate: _, let momentum): momentum == 0 ? [] : ["momentum"]
        case .adagrad: ["accumulator"]
        case .adam: ["m", "v"]
        }
    }

    /// Whether the slot is a sum of squares: never negative, and steps are divided by its root.
    public static func isSumOfSquares(slot: String) -> Bool { slot == "v" || slot == "accumulator" }

    /// Takes one step in place over one slice.
    ///
    /// - Parameters:
    ///   - parameters: The slice of the flat vector.
    ///   - slots: One buffer for each of `slotNames`, each as long as `parameters`.
    ///   - gradient: The mean over all workers, as long as `parameters`.
    ///   - step: The number of this step, counted from 1; Adam's bias correction depends on it.
    /// - Precondition: The counts are equal, and the buffers don't overlap.
    public func apply(
        parameters: UnsafeMutableBufferPointer<Float>, slots: [UnsafeMutableBufferPointer<Float>],
        gradient: UnsafeBufferPointer<Float>, step: UInt64
    ) {
        let count = parameters.count
        precondition(gradient.count == count, "\(gradient.count) gradient elements for \(count) parameters")
        precondition(slots.count == slotNames.count, "\(slots.count) slots for \(slotNames)")
        precondition(slots.allSatisfy { $0.count == count }, "a slot isn't as long as its parameters")
        precondition(step > 0, "steps count from 1")
        guard count > 0, let p = parameters.baseAddress, let g = gradient.baseAddress else { return }
        switch self {
        case .sgd(let rate, let momentum):
            guard momentum != 0 else {
                for i in 0..<count { p[i] -= rate * g[i] }
                return
            }
            let b = slots[0].baseAddress!
            for i in 0..<count {
                let velocity = momentum * b[i] + g[i]
                b[i] = velocity
                p[i] -= rate * velocity
            }
        case .adagrad(let rate, let epsilon):
            let a = slots[0].baseAddress!
            for i in 0..<count {
                let sum = a[i] + g[i] * g[i]
                a[i] = sum
                p[i] -= rate * g[i] / (sum.squareRoot() + epsilon)
            }
        case .adam(let rate, let beta1, let beta2, let epsilon):
            // The corrections are one pair of numbers a step: in Double, by multiplication alone, so that every
            // platform gets the same bits.
            let correction1 = 1 - power(Double(beta1), step)
            let correction2 = 1 - power(Double(beta2), step)
            let stepSize = Float(Double(rate) / correction1)
            let scale = Float(1 / correction2.squareRoot())
            let (m, v) = (slots[0].baseAddress!, slots[1].baseAddress!)
            for i in 0..<count {
                let mean = m[i] + (1 - beta1) * (g[i] - m[i])
                let variance = beta2 * v[i] + (1 - beta2) * (g[i] * g[i])
                m[i] = mean
                v[i] = variance
                p[i] -= stepSize * mean / (variance.squareRoot() * scale + epsilon)
            }
        }
    }
}

/// `base` to a whole exponent by squaring; the same bits everywhere, unlike the C library's `pow`.
func power(_ base: Double, _ exponent: UInt64) -> Double {
    var (result, square, rest) = (1.0, base, exponent)
    while rest > 0 {
        if rest & 1 == 1 { result *= square }
        square *= square
        rest >>= 1
    }
    return result
}

/// Adds gradients element by element in the order given, times `scale`, into `into` (overwritten).
///
/// The caller gives the inputs in the order of the worker slots, so the bits don't depend on which arrived first.
/// `into` may be the first input itself, and no other.
/// - Precondition: There is at least one input, and all are as long as `into`.
public func sumGradients(
    _ inputs: [UnsafeBufferPointer<Float>], scale: Float, into: UnsafeMutableBufferPointer<Float>
) {
    precondition(!inputs.isEmpty, "no gradients to sum")
    precondition(inputs.allSatisfy { $0.count == into.count }, "gradients of different lengths")
    guard let target = into.baseAddress, let first = inputs[0].baseAddress else { return }
    // Blocks that stay in the first-level cache, so that memory is read once whatever the number of inputs.
    let block = 4096
    for start in stride(from: 0, to: into.count, by: block) {
        let count = min(block, into.count - start)
        let sum = target + start
        if UnsafePointer(target) != first { sum.update(from: first + start, count: count) }
        for input in inputs.dropFirst() {
            let addend = input.baseAddress! + start
            for i in 0..<count { sum[i] += addend[i] }
        }
        if scale != 1 {
            for i in 0..<count { sum[i] *= scale }
        }
    }
}
