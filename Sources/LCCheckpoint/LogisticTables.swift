// The tables that mixed contexts are computed by, in whole numbers. docs/formats/auto.md lays them down.

/// The logistic function and its inverse in whole numbers: a domain of 12 bits (256 is 1.0), a range of 16.
struct LogisticTables: Sendable {
    /// 65536 / (1 + e^(−d/256)) for d = index − 2048, held off 0 and 65536.
    let squash: [UInt16]
    /// ln(p / (1 − p)) · 256 for p = index / 4096.
    let stretch: [Int16]

    /// How far a counter moves towards what happened, in 65536ths, by how often it was seen.
    private let reciprocals: [UInt16]

    static let shared = LogisticTables()

    private init() {
        reciprocals = (0..<256).map { UInt16(131_072 / (2 * $0 + 3)) }
        // 65536 / (1 + e^(−i/2)) for i = −16…16; straight lines between.
        let knots: [Int] = [
            22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768,
            40793,
            47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500,
            65514,
        ]
        var squash: [UInt16] = []
        for index in 0..<4096 {
            let place = max(index - 2048, -2047) + 2048
            let (knot, part) = (place >> 7, place & 127)
            let next = min(knot + 1, 32)
            squash.append(UInt16((knots[knot] * (128 - part) + knots[next] * part + 64) >> 7))
        }
        // The inverse: for each p the least d whose squash reaches it.
        var stretch: [Int16] = []
        for d in -2047...2047 {
            let reached = Int(squash[d + 2048] >> 4)
            while stretch.count <= reached { stretch.append(Int16(d)) }
        }
        while stretch.count < 4096 { stretch.append(2047) }
        self.squash = squash
        self.stretch = stretch
    }

    func withPointers<Result>(
        _ body: (UnsafePointer<UInt16>, UnsafePointer<Int16>, UnsafePointer<UInt16>) -> Result
    ) -> Result {
        squash.withUnsafeBufferPointer { squash in
            stretch.withUnsafeBufferPointer { stretch in
                reciprocals.withUnsafeBufferPointer { reciprocals in
                    body(
                        squash.baseAddress.unsafelyUnwrapped, stretch.baseAddress.unsafelyUnwrapped,
                        reciprocals.baseAddress.unsafelyUnwrapped)
                }
            }
        }
    }
}
