/// `rating = mean + user · item`: `item.weight` then `user.weight` in the flat vector.
///
/// The loss of a sample is the squared error plus `regularization · (|user|² + |item|²)`, so only rows that a batch
/// touches have a gradient. The reported loss leaves the second term out.
struct MatrixFactorization: Sendable {
    let users: Int
    let items: Int
    let rank: Int
    let mean: Float
    let regularization: Float

    /// Adds to `gradient`, which must hold zeros.
    func lossAndGradient(
        _ parameters: UnsafePointer<Float>, _ samples: RatingSamples, _ indices: [Int32],
        _ gradient: UnsafeMutablePointer<Float>
    ) -> Float {
        let scale = 2 / Float(indices.count)
        var loss = 0.0
        for index in indices {
            let (userAt, itemAt) = offsets(samples, Int(index))
            let (user, item) = (parameters + userAt, parameters + itemAt)
            let (userGradient, itemGradient) = (gradient + userAt, gradient + itemAt)
            let error = mean + dot(user, item) - samples.ratings[Int(index)]
            loss += Double(error * error)
            for k in 0..<rank {
                userGradient[k] += scale * (error * item[k] + regularization * user[k])
                itemGradient[k] += scale * (error * user[k] + regularization * item[k])
            }
        }
        return Float(loss / Double(indices.count))
    }

    /// Zeros the rows that the batch touches.
    func clear(_ samples: RatingSamples, _ indices: [Int32], _ gradient: UnsafeMutablePointer<Float>) {
        for index in indices {
            let (userAt, itemAt) = offsets(samples, Int(index))
            (gradient + userAt).update(repeating: 0, count: rank)
            (gradient + itemAt).update(repeating: 0, count: rank)
        }
    }

    func evaluate(_ parameters: UnsafePointer<Float>, _ samples: RatingSamples) -> Evaluation {
        var total = 0.0
        for index in 0..<samples.count {
            let (userAt, itemAt) = offsets(samples, index)
            let error = mean + dot(parameters + userAt, parameters + itemAt) - samples.ratings[index]
            total += Double(error * error)
        }
        let loss = total / Double(max(samples.count, 1))
        return Evaluation(loss: loss, quality: .rmse(loss.squareRoot()))
    }

    /// Where the two rows of a sample start in the flat vector.
    private func offsets(_ samples: RatingSamples, _ index: Int) -> (user: Int, item: Int) {
        let (user, item) = (Int(samples.users[index]), Int(samples.items[index]))
        precondition(user < users && item < items, "a rating of an unknown user or item")
        return ((items + user) * rank, item * rank)
    }

    private func dot(_ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>) -> Float {
        var sum: Float = 0
        for k in 0..<rank { sum += left[k] * right[k] }
        return sum
    }
}
