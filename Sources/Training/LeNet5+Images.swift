/// Unfolding, folding and pooling: the loops around the products.
extension LeNet5 {
    /// Pixels to Floats in [0, 1], and the 25 shifted copies of the padded image that the first convolution reads.
    func unfoldImage(_ pixels: UnsafePointer<UInt8>, sample: Int, samples: Int) {
        let padded = padded.base
        for row in 0..<28 {
            let source = pixels + row * 28
            let target = padded + (row + 2) * 32 + 2
            for column in 0..<28 { target[column] = Float(source[column]) * (1 / 255) }
        }
        for y in 0..<5 {
            for x in 0..<5 {
                let target = columns1.base + ((y * 5 + x) * samples + sample) * 784
                for row in 0..<28 {
                    let from = padded + (row + y) * 32 + x
                    let to = target + row * 28
                    for column in 0..<28 { to[column] = from[column] }
                }
            }
        }
    }

    /// The 150 shifted copies of the pooled maps that the second convolution reads.
    func unfoldPooled(samples: Int) {
        for channel in 0..<6 {
            for y in 0..<5 {
                for x in 0..<5 {
                    var target = columns2.base + ((channel * 5 + y) * 5 + x) * samples * 100
                    var source = pooled1.base + channel * samples * 196 + y * 14 + x
                    for _ in 0..<samples {
                        for row in 0..<10 {
                            let (from, to) = (source + row * 14, target + row * 10)
                            for column in 0..<10 { to[column] = from[column] }
                        }
                        source += 196
                        target += 100
                    }
                }
            }
        }
    }

    /// Adds the gradients of the shifted copies up again: the reverse of `unfoldPooled`.
    func foldPooled(samples: Int) {
        pooled1.base.update(repeating: 0, count: samples * 6 * 196)
        for channel in 0..<6 {
            for y in 0..<5 {
                for x in 0..<5 {
                    var source = columns2.base + ((channel * 5 + y) * 5 + x) * samples * 100
                    var target = pooled1.base + channel * samples * 196 + y * 14 + x
                    for _ in 0..<samples {
                        for row in 0..<10 {
                            let (from, to) = (source + row * 10, target + row * 14)
                            for column in 0..<10 { to[column] += from[column] }
                        }
                        source += 100
                        target += 196
                    }
                }
            }
        }
    }

    /// 2×2 means of the first maps.
    func poolMaps1(samples: Int) {
        for line in 0..<(6 * samples * 14) {
            let (upper, target) = (maps1.base + line * 56, pooled1.base + line * 14)
            let lower = upper + 28
            for i in 0..<14 {
                target[i] = ((upper[2 * i] + upper[2 * i + 1]) + (lower[2 * i] + lower[2 * i + 1])) * 0.25
            }
        }
    }

    /// The first maps become their gradient before tanh: a quarter of the pooled gradient times `1 - output²`.
    func unpoolMaps1(samples: Int) {
        for line in 0..<(6 * samples * 14) {
            let (upper, source) = (maps1.base + line * 56, pooled1.base + line * 14)
            let lower = upper + 28
            for i in 0..<14 {
                let share = source[i] * 0.25
                upper[2 * i] = share * (1 - upper[2 * i] * upper[2 * i])
                upper[2 * i + 1] = share * (1 - upper[2 * i + 1] * upper[2 * i + 1])
                lower[2 * i] = share * (1 - lower[2 * i] * lower[2 * i])
                lower[2 * i + 1] = share * (1 - lower[2 * i + 1] * lower[2 * i + 1])
            }
        }
    }

    /// 2×2 means of the second maps, one flat row for each sample.
    func poolMaps2(samples: Int) {
        for channel in 0..<16 {
            for sample in 0..<samples {
                let map = maps2.base + (channel * samples + sample) * 100
                let target = flat.base + sample * 400 + channel * 25
                for row in 0..<5 {
                    let upper = map + row * 20
                    for i in 0..<5 {
                        let pairs =
                            (upper[2 * i] + upper[2 * i + 1]) + (upper[2 * i + 10] + upper[2 * i + 11])
                        target[row * 5 + i] = pairs * 0.25
                    }
                }
            }
        }
    }

    /// The second maps become their gradient before tanh.
    func unpoolMaps2(samples: Int) {
        for channel in 0..<16 {
            for sample in 0..<samples {
                let map = maps2.base + (channel * samples + sample) * 100
                let source = flatGradient.base + sample * 400 + channel * 25
                for row in 0..<5 {
                    let upper = map + row * 20
                    for i in 0..<5 {
                        let share = source[row * 5 + i] * 0.25
                        for place in [2 * i, 2 * i + 1, 2 * i + 10, 2 * i + 11] {
                            upper[place] = share * (1 - upper[place] * upper[place])
                        }
                    }
                }
            }
        }
    }
}
