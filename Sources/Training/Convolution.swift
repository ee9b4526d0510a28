/// A convolution of stride 1 that keeps the images' size, with rectifier, and what follows it up to the next layer.
///
/// Images are square, `[channel][sample][row][column]`; the margin of `kernel / 2` zeros on each side is never stored.
struct Convolution: Sendable {
    let place: Layer
    let channels: Int
    let kernel: Int
    /// Rows and columns of an image.
    let side: Int
    /// `[channel · kernel · kernel][sample][side · side]`, then its gradient.
    let columns: FloatBuffer
    /// `[out][sample][side · side]` after the rectifier.
    let maps: FloatBuffer
    let mapsGradient: FloatBuffer

    init(_ place: Layer, kernel: Int, side: Int, block: Int) {
        self.place = place
        self.kernel = kernel
        self.side = side
        channels = place.inputs / (kernel * kernel)
        columns = FloatBuffer(count: place.inputs * block * side * side)
        maps = FloatBuffer(count: place.outputs * block * side * side)
        mapsGradient = FloatBuffer(count: place.outputs * block * side * side)
    }

    func forward(_ parameters: UnsafePointer<Float>, _ images: FloatBuffer, samples: Int) {
        unfold(images, samples: samples)
        place.convolve(parameters, columns, into: maps, positions: samples * side * side, .relu)
    }

    /// From the gradient of the maps to those of the parameters and, unless it is nil, of the images.
    func backward(
        _ parameters: UnsafePointer<Float>, _ gradient: UnsafeMutablePointer<Float>,
        into imagesGradient: FloatBuffer?, samples: Int, accumulating: Bool
    ) {
        let positions = samples * side * side
        Kernels.throughRelu(mapsGradient.base, outputs: maps.base, count: place.outputs * positions)
        place.convolutionGradient(
            gradient, columns, mapsGradient, positions: positions, accumulating: accumulating)
        guard let imagesGradient else { return }
        place.columnGradient(parameters, mapsGradient, into: columns, positions: positions)
        fold(into: imagesGradient, samples: samples)
    }

    /// The part of a line that a copy shifted by `shift` shares with its image.
    private func overlap(_ shift: Int) -> Range<Int> { max(0, -shift)..<min(side, side - shift) }

    /// The shifted copies of every image, zeros where they reach over the edge.
    private func unfold(_ images: FloatBuffer, samples: Int) {
        var target = columns.base
        eachShift { channel, down, right in
            let (rows, line) = (overlap(down), overlap(right))
            for sample in 0..<samples {
                let image = images.base + (channel * samples + sample) * side * side
                for row in 0..<side {
                    defer { target += side }
                    guard rows.contains(row) else {
                        target.update(repeating: 0, count: side)
                        continue
                    }
                    let source = image + (row + down) * side + right
                    for column in 0..<line.lowerBound { target[column] = 0 }
                    for column in line { target[column] = source[column] }
                    for column in line.upperBound..<side { target[column] = 0 }
                }
            }
        }
    }

    /// Adds the gradients of the shifted copies up again: the reverse of `unfold`.
    private func fold(into images: FloatBuffer, samples: Int) {
        images.base.update(repeating: 0, count: channels * samples * side * side)
        var source = columns.base
        eachShift { channel, down, right in
            let (rows, line) = (overlap(down), overlap(right))
            for sample in 0..<samples {
                let image = images.base + (channel * samples + sample) * side * side
                for row in rows {
                    let (from, to) = (source + row * side, image + (row + down) * side + right)
                    for column in line { to[column] += from[column] }
                }
                source += side * side
            }
        }
    }

    private func eachShift(_ body: (_ channel: Int, _ down: Int, _ right: Int) -> Void) {
        for channel in 0..<channels {
            for y in 0..<kernel {
                for x in 0..<kernel { body(channel, y - kernel / 2, x - kernel / 2) }
            }
        }
    }
}

/// The largest of each 3×3 window, one window every two rows and columns, so that windows overlap.
struct MaxPool: Sendable {
    /// Images of all channels and samples that lie end to end.
    let channels: Int
    let side: Int
    var pooledSide: Int { (side - 3) / 2 + 1 }
    /// `[channel][sample][pooledSide · pooledSide]`
    let values: FloatBuffer
    let gradient: FloatBuffer

    init(channels: Int, side: Int, block: Int) {
        self.channels = channels
        self.side = side
        let pooled = (side - 3) / 2 + 1
        values = FloatBuffer(count: channels * block * pooled * pooled)
        gradient = FloatBuffer(count: channels * block * pooled * pooled)
    }

    func forward(_ maps: FloatBuffer, samples: Int) {
        var target = values.base
        eachWindow(maps.base, samples: samples) { window in
            var largest = window[0]
            for y in 0..<3 {
                for x in 0..<3 { largest = max(largest, window[y * side + x]) }
            }
            target.pointee = largest
            target += 1
        }
    }

    /// Each window's gradient goes to the first of its values that is the largest.
    func backward(_ maps: FloatBuffer, into mapsGradient: FloatBuffer, samples: Int) {
        mapsGradient.base.update(repeating: 0, count: channels * samples * side * side)
        var (value, slope) = (values.base, gradient.base)
        eachWindow(maps.base, samples: samples) { window in
            let target = mapsGradient.base + (window - maps.base)
            search: for y in 0..<3 {
                for x in 0..<3 where window[y * side + x] == value.pointee {
                    target[y * side + x] += slope.pointee
                    break search
                }
            }
            value += 1
            slope += 1
        }
    }

    private func eachWindow(
        _ maps: UnsafeMutablePointer<Float>, samples: Int, _ body: (UnsafeMutablePointer<Float>) -> Void
    ) {
        for image in 0..<(channels * samples) {
            for row in 0..<pooledSide {
                for column in 0..<pooledSide {
                    body(maps + image * side * side + 2 * row * side + 2 * column)
                }
            }
        }
    }
}
