@testable import LCCheckpoint

/// A small generator, so that every run sees the same numbers (SplitMix64).
struct Numbers: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return word ^ (word >> 31)
    }
}

/// One step of LC-Checkpoint, slow and obvious: what a restore yields.
func referenceStep(_ target: [Float], onto previous: [Float], bits: Int?) -> [Float] {
    let delta = zip(target, previous).map { $0 - $1 }
    var buckets: [UInt32: [Double]] = [:]
    for value in delta {
        let exponent = (value.bitPattern >> 23) & 0xff
        if exponent != 0, exponent != 255 {
            buckets[value.bitPattern >> 23, default: []].append(Double(value))
        }
    }
    var order = buckets.keys.sorted { left, right in
        let (one, two) = (left & 0xff, right & 0xff)
        return one != two ? one > two : left < right
    }
    if let bits, bits < 16 { order = Array(order.prefix((1 << bits) - 1)) }
    var values: [UInt32: Float] = [:]
    for key in order {
        guard let members = buckets[key], let low = members.min(), let high = members.max() else { continue }
        values[key] = Float((high + low) / 2)
    }
    return target.indices.map { index in
        guard delta[index].isFinite else { return target[index] }
        let sum = previous[index] + (values[delta[index].bitPattern >> 23] ?? 0)
        return target[index].isFinite && !sum.isFinite ? target[index] : sum
    }
}

/// Encodes one section on top of `previous`; returns the frame and the reconstruction.
func encode(
    _ target: [Float], onto previous: [Float], _ settings: CodecSettings, kind: FrameKind = .delta
) throws -> (frame: EncodedFrame, reconstruction: [Float]) {
    var reconstruction = previous
    var encoder = FrameEncoder(kind: kind, step: 1, baseDigest: kind == .delta ? digest(previous) : nil)
    try target.withUnsafeBufferPointer { target in
        try reconstruction.withUnsafeMutableBufferPointer { reconstruction in
            try encoder.add(section: "p", target: target, reconstruction: reconstruction, settings: settings)
        }
    }
    return (encoder.finish(), reconstruction)
}

/// Applies a frame of one section.
func apply(_ bytes: [UInt8], to previous: [Float]) throws -> [Float] {
    var state = previous
    let known = digest(previous)
    try bytes.withUnsafeBytes { bytes in
        let frame = try Frame(parsing: bytes)
        try state.withUnsafeMutableBufferPointer { _ = try frame.apply(to: [$0], expectingBase: known) }
    }
    return state
}

/// Encodes frames one after another, each on top of the one before, as a shard does.
struct Chain {
    var state: [Float]
    var context: FrameContext?
    var threads = 1

    mutating func encode(_ target: [Float], _ settings: CodecSettings) throws -> EncodedFrame {
        var encoder = FrameEncoder(
            kind: .delta, step: 1, baseDigest: digest(state), inheriting: context, chained: true,
            threads: threads)
        try target.withUnsafeBufferPointer { target in
            try state.withUnsafeMutableBufferPointer { state in
                try encoder.add(section: "p", target: target, reconstruction: state, settings: settings)
            }
        }
        let frame = encoder.finish()
        context = frame.context
        return frame
    }

    mutating func apply(_ bytes: [UInt8]) throws {
        let known = digest(state)
        try bytes.withUnsafeBytes { bytes in
            let frame = try Frame(parsing: bytes, inheriting: context)
            try state.withUnsafeMutableBufferPointer { state in
                context = try frame.apply(
                    to: [state], expectingBase: known, chained: true, threads: threads)
            }
        }
    }
}

func digest(_ state: [Float]) -> Digest {
    state.withUnsafeBufferPointer { StateDigest.of(sections: [$0], names: ["p"], metadata: []) }
}

func patterns(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

let everySetting: [CodecSettings] = [nil, 1, 2, 3, 4, 8, 16].flatMap { (bits: Int?) in
    [CodecSettings(kind: .lc(bits: bits)), CodecSettings(kind: .lc(bits: bits), entropy: .huffman)]
}

/// Two states of which one element in so many differs.
func largeStates(_ count: Int, _ density: Int, _ numbers: inout Numbers) -> ([Float], [Float]) {
    let base = (0..<count).map { _ in Float(Int(numbers.next() % 2001) - 1000) / 1024 }
    var target = base.map { value in
        let unit = Float(Int(numbers.next() % 65_537) - 32_768) / 32_768
        return numbers.next() % UInt64(density) == 0 ? value + 0.1 * unit * unit * unit : value
    }
    for index in [3, 4096, 70_000] where index < count && density == 7 {
        target[index] = Float(bitPattern: UInt32(truncatingIfNeeded: numbers.next()) | 0x7f80_0000)
    }
    return (base, target)
}
