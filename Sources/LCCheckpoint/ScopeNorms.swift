import CKernels

// What a scope's error is a share of, and what of it no quantizer answers for.

/// ‖u − v‖ / ‖u‖ over the scope, where v is u in binary32, and a little more for the arithmetic; 0 without binary64.
func narrowingError(_ sources: [SectionSource], _ vector: ScopeVector) -> Double {
    guard sources.contains(where: { $0.format == .float64 }) else { return 0 }
    var totals = ScopeTotals()
    var isZero = true
    let piece = 1 << 16
    for (member, source) in sources.enumerated() {
        guard source.format == .float64 else {
            addNorm(source, vector.failure, &totals)
            continue
        }
        for start in stride(from: 0, to: source.target.count, by: 8 * piece) {
            let place = start..<min(start + 8 * piece, source.target.count)
            vector.withTarget(member, place) { bytes in
                let raw = UnsafeRawPointer(bytes)
                for offset in stride(from: 0, to: place.count, by: 8) {
                    let bits = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    let value = Double(bitPattern: UInt64(littleEndian: bits))
                    // Beyond binary32 an element is carried as it is.
                    guard Float(value).isFinite else { continue }
                    if value != 0 { isZero = false }
                    let miss = value - Double(Float(value))
                    totals.error += miss * miss
                    totals.norm += value * value
                }
            }
        }
    }
    // Squares of the smallest numbers are nothing: such a scope is carried bit for bit.
    guard totals.norm > 1e-290 else { return isZero ? 0 : 1 }
    return (totals.error / totals.norm).squareRoot() + 1e-9
}

/// Adds ‖u‖² of a floating section, whose error is nothing.
func addNorm(_ source: SectionSource, _ failure: StreamFailure, _ totals: inout ScopeTotals) {
    let vector = ScopeVector([source], failure: failure)
    let piece = min(1 << 16, max(vector.layout.count, 1))
    let room = UnsafeMutablePointer<Float>.allocate(capacity: piece)
    defer { room.deallocate() }
    for start in stride(from: 0, to: vector.layout.count, by: piece) {
        let range = start..<min(start + piece, vector.layout.count)
        let target = vector.target(range, room)
        let norm = ck_deltas(target, target, range.count, nil).norm
        if norm.isFinite {
            totals.norm += norm
        } else {
            for index in 0..<range.count where target[index].isFinite {
                totals.norm += Double(target[index]) * Double(target[index])
            }
        }
    }
}
