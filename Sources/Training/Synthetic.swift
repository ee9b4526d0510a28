/// Ten classes of images, each a pattern of soft spots plus noise: 4,096 to train on and 1,024 held out.
///
/// Whole-number arithmetic only, so that every platform makes the same bytes.
func syntheticImages(seed: UInt64) throws(DataError) -> ImageDataset {
    var generator = SplitMix64(seed: seed, stream: 0x1A6E)
    let patterns = (0..<10).map { _ in syntheticPattern(&generator) }
    return ImageDataset(
        training: try syntheticPart(count: 4096, patterns, &generator),
        heldOut: try syntheticPart(count: 1024, patterns, &generator))
}

/// Brightness of 28×28 pixels: six spots that fade with distance.
private func syntheticPattern(_ generator: inout SplitMix64) -> [Int] {
    let spots = (0..<6).map { _ in (row: Int(generator.below(28)), column: Int(generator.below(28))) }
    return (0..<784).map { place in
        let (row, column) = (place / 28, place % 28)
        let light = spots.map { spot in
            let (down, right) = (row - spot.row, column - spot.column)
            return max(0, 180 - 12 * (down * down + right * right))
        }
        return min(200, light.reduce(0, +))
    }
}

private func syntheticPart(
    count: Int, _ patterns: [[Int]], _ generator: inout SplitMix64
) throws(DataError) -> ImageSamples {
    var (pixels, labels) = ([UInt8](), [UInt8]())
    pixels.reserveCapacity(count * 784)
    for _ in 0..<count {
        let label = Int(generator.below(10))
        labels.append(UInt8(label))
        for place in 0..<784 {
            let noise = Int(generator.below(121)) - 60
            pixels.append(UInt8(clamping: patterns[label][place] + noise))
        }
    }
    return try ImageSamples(height: 28, width: 28, classes: 10, pixels: pixels, labels: labels)
}

/// Ratings of 500 users and 300 items, 1 to 5 in steps of a half: 18,000 to train on and 2,000 held out.
func syntheticRatings(seed: UInt64) -> RatingDataset {
    var generator = SplitMix64(seed: seed, stream: 0x4A7E)
    let (users, items, rank) = (500, 300, 4)
    let factors = (0..<(users + items) * rank).map { _ in generator.symmetric(limit: 1) }
    var (userRows, itemRows, ratings) = ([Int32](), [Int32](), [Float]())
    for _ in 0..<20_000 {
        let (user, item) = (Int(generator.below(UInt64(users))), Int(generator.below(UInt64(items))))
        var rating: Float = 3.5 + generator.symmetric(limit: 0.4)
        for k in 0..<rank { rating += factors[user * rank + k] * factors[(users + item) * rank + k] }
        userRows.append(Int32(user))
        itemRows.append(Int32(item))
        ratings.append(min(5, max(1, (rating * 2).rounded() / 2)))
    }
    let part = { (range: Range<Int>) in
        RatingSamples(
            users: Array(userRows[range]), items: Array(itemRows[range]), ratings: Array(ratings[range]))
    }
    let training = part(0..<18_000)
    let sum = training.ratings.reduce(0.0) { $0 + Double($1) }
    return RatingDataset(
        training: training, heldOut: part(18_000..<20_000), userCount: users, itemCount: items,
        mean: Float(sum / Double(training.count)))
}
