// A scope encoded by exponent quantization: its sections end to end as one vector of Float32.

/// Room for a scope's values as floats, and for its symbols.
private struct Scratch: ~Copyable {
    let floats: UnsafeMutableBufferPointer<Float>
    let symbols: UnsafeMutableBufferPointer<UInt16>

    init(floats floatCount: Int, symbols symbolCount: Int) {
        floats = .allocate(capacity: floatCount)
        symbols = .allocate(capacity: symbolCount)
    }

    deinit {
        floats.deallocate()
        symbols.deallocate()
    }
}

/// An element whose bits a frame carries as they are.
struct ExceptionalElement: Hashable {
    /// Within the scope.
    var index: Int
    /// As wide as the section's format.
    var pattern: UInt64
}

/// The buffer as floats, if it needs no conversion.
private func floats(_ format: ElementFormat, _ bytes: UnsafeRawBufferPointer) -> UnsafeBufferPointer<Float>? {
    guard format == .float32, Int(bitPattern: bytes.baseAddress) % MemoryLayout<Float>.alignment == 0 else {
        return nil
    }
    return bytes.assumingMemoryBound(to: Float.self)
}

/// Appends an `lc` scope's payload and updates the reconstructions.
func encodeQuantized(
    _ sources: [SectionSource], bits: Int?, entropy: CodecSettings.Entropy, totals: inout ScopeTotals,
    into output: inout [UInt8]
) {
    let counts = sources.map { $0.target.count / $0.format.byteCount }
    let count = counts.reduce(0, +)
    if sources.count == 1, let target = floats(sources[0].format, sources[0].target),
        floats(.float32, UnsafeRawBufferPointer(sources[0].reconstruction)) != nil
    {
        let scratch = Scratch(floats: 0, symbols: count)
        let reconstruction = sources[0].reconstruction.assumingMemoryBound(to: Float.self)
        let table = encodeVector(
            target, reconstruction, bits: bits, symbols: scratch.symbols, totals: &totals, round: {})
        writeScope(
            table.table, symbols: UnsafeBufferPointer(scratch.symbols), bits: bits, entropy: entropy,
            exceptions: table.exceptions.map {
                ExceptionalElement(index: $0, pattern: UInt64(target[$0].bitPattern))
            }, sources, into: &output)
        return
    }
    let scratch = Scratch(floats: 2 * count, symbols: count)
    let target = UnsafeMutableBufferPointer(rebasing: scratch.floats[..<count])
    let reconstruction = UnsafeMutableBufferPointer(rebasing: scratch.floats[count...])
    var start = 0
    for (source, count) in zip(sources, counts) {
        let part = start..<(start + count)
        source.format.widen(source.target, into: UnsafeMutableBufferPointer(rebasing: target[part]))
        source.format.widen(
            UnsafeRawBufferPointer(source.reconstruction),
            into: UnsafeMutableBufferPointer(rebasing: reconstruction[part]))
        start += count
    }
    let result = encodeVector(
        UnsafeBufferPointer(target), reconstruction, bits: bits, symbols: scratch.symbols, totals: &totals
    ) {
        var start = 0
        for (source, count) in zip(sources, counts) {
            source.format.round(UnsafeMutableBufferPointer(rebasing: reconstruction[start..<(start + count)]))
            start += count
        }
    }
    start = 0
    for (source, count) in zip(sources, counts) {
        source.format.narrow(
            UnsafeBufferPointer(rebasing: reconstruction[start..<(start + count)]),
            into: source.reconstruction)
        start += count
    }
    let exceptions = carry(result.exceptions, sources)
    writeScope(
        result.table, symbols: UnsafeBufferPointer(scratch.symbols), bits: bits, entropy: entropy,
        exceptions: exceptions, sources, into: &output)
}

/// Copies the bits of exceptional elements from the targets to the reconstructions.
private func carry(_ indices: [Int], _ sources: [SectionSource]) -> [ExceptionalElement] {
    var section = 0
    var start = 0
    return indices.map { index in
        while index - start >= sources[section].target.count / sources[section].format.byteCount {
            start += sources[section].target.count / sources[section].format.byteCount
            section += 1
        }
        let width = sources[section].format.byteCount
        var pattern: UInt64 = 0
        for byte in 0..<width {
            let value = sources[section].target[(index - start) * width + byte]
            sources[section].reconstruction[(index - start) * width + byte] = value
            pattern |= UInt64(value) << UInt64(8 * byte)
        }
        return ExceptionalElement(index: index, pattern: pattern)
    }
}

/// Quantizes a vector; returns the buckets and the indices whose bits must be carried.
private func encodeVector(
    _ target: UnsafeBufferPointer<Float>, _ reconstruction: UnsafeMutableBufferPointer<Float>, bits: Int?,
    symbols: UnsafeMutableBufferPointer<UInt16>, totals: inout ScopeTotals, round: () -> Void
) -> (table: BucketTable, exceptions: [Int]) {
    let previous = UnsafeBufferPointer(reconstruction)
    var exceptions: [Int] = []
    var largest = largestMagnitude(target, previous)
    if largest >= infinityBits { (exceptions, largest) = findNonfinite(target, previous) }
    let table = promote(target, previous, largest: largest, bits: bits)
    quantize(target, reconstruction, table: table, into: symbols)
    round()
    for index in exceptions { reconstruction[index] = target[index] }
    var sums = squaredError(target, previous)
    if !sums.error.isFinite || !sums.norm.isFinite {
        // The sum may overflow where the delta didn't: a restore must not yield infinity for a finite value.
        let overflows = target.indices.filter { target[$0].isFinite && !reconstruction[$0].isFinite }
        for index in overflows { reconstruction[index] = target[index] }
        exceptions = (exceptions + overflows).sorted()
        sums = (0, 0)
        for index in target.indices where target[index].isFinite {
            let miss = Double(target[index]) - Double(reconstruction[index])
            sums.error += miss * miss
            sums.norm += Double(target[index]) * Double(target[index])
        }
    }
    totals.error += sums.error
    totals.norm += sums.norm
    totals.entropyBits += entropyBits(table.counts)
    return (table, exceptions)
}

private func writeScope(
    _ table: BucketTable, symbols: UnsafeBufferPointer<UInt16>, bits: Int?, entropy: CodecSettings.Entropy,
    exceptions: [ExceptionalElement], _ sources: [SectionSource], into output: inout [UInt8]
) {
    output.append(UInt8(bits ?? 0))
    output.append(varint: UInt64(table.representatives.count - 1))
    for value in table.representatives.dropFirst() { output.append(littleEndian: value.bitPattern) }
    encodeSymbols(symbols, counts: table.counts, entropy: entropy, into: &output)
    output.append(varint: UInt64(exceptions.count))
    var section = 0
    var start = 0
    var next = 0
    for exception in exceptions {
        while exception.index - start >= sources[section].target.count / sources[section].format.byteCount {
            start += sources[section].target.count / sources[section].format.byteCount
            section += 1
        }
        output.append(varint: UInt64(exception.index - next))
        next = exception.index + 1
        for byte in 0..<sources[section].format.byteCount {
            output.append(UInt8(truncatingIfNeeded: exception.pattern >> UInt64(8 * byte)))
        }
    }
}

/// An `lc` scope's head: what it says before its symbols.
struct QuantizedHead {
    /// Nil: every bucket.
    var bits: Int?
    /// The value of each symbol; the first is zero.
    var representatives: [Float]

    /// Reads and checks the promoted buckets: in order, none twice, none of the zero bucket.
    init(_ reader: inout ByteReader) throws(CodecError) {
        let bits = Int(try reader.byte("bits"))
        guard bits <= 16 else { throw .malformed("frame is damaged: \(bits) bits, and 16 are the most") }
        self.bits = bits == 0 ? nil : bits
        let most = min(508, bits == 0 ? 508 : 1 << bits - 1)
        let count = try reader.count("bucket count", atMost: most)
        representatives = [0]
        var previous = Int.max
        for _ in 0..<count {
            let pattern = try reader.integer(UInt32.self, "bucket")
            let exponent = Int(pattern >> 23 & 0xff)
            // Falls from bucket to bucket: larger exponents first, of two the positive one.
            let order = 2 * exponent + (pattern >> 31 == 0 ? 1 : 0)
            guard exponent > 0, exponent < 255, order < previous else {
                throw .malformed("frame is damaged: buckets aren't in their order")
            }
            previous = order
            representatives.append(Float(bitPattern: pattern))
        }
    }
}

/// Decodes an `lc` scope's payload on top of the previous reconstructions.
func decodeQuantized(_ reader: inout ByteReader, into members: [ScopeMember]) throws(CodecError) {
    let count = members.reduce(0) { $0 + $1.elementCount }
    let head = try QuantizedHead(&reader)
    let scratch = Scratch(floats: members.map(\.elementCount).max() ?? 0, symbols: count)
    try decodeSymbols(&reader, alphabet: head.representatives.count, into: scratch.symbols)
    let exceptions = try readExceptions(&reader, members)
    var start = 0
    for member in members {
        let symbols = UnsafeBufferPointer(rebasing: scratch.symbols[start..<(start + member.elementCount)])
        start += member.elementCount
        if floats(member.format, UnsafeRawBufferPointer(member.bytes)) != nil {
            dequantize(
                symbols, representatives: head.representatives,
                into: member.bytes.assumingMemoryBound(to: Float.self))
            continue
        }
        let values = UnsafeMutableBufferPointer(rebasing: scratch.floats[..<member.elementCount])
        member.format.widen(UnsafeRawBufferPointer(member.bytes), into: values)
        dequantize(symbols, representatives: head.representatives, into: values)
        member.format.round(values)
        member.format.narrow(UnsafeBufferPointer(values), into: member.bytes)
    }
    for exception in exceptions {
        let bytes = members[exception.member].bytes
        let width = members[exception.member].format.byteCount
        for byte in 0..<width {
            bytes[exception.index * width + byte] = UInt8(
                truncatingIfNeeded: exception.pattern >> UInt64(8 * byte))
        }
    }
}

/// Reads the exceptions: the member, the index within it, and the bits.
private func readExceptions(
    _ reader: inout ByteReader, _ members: [ScopeMember]
) throws(CodecError) -> [(member: Int, index: Int, pattern: UInt64)] {
    let count = members.reduce(0) { $0 + $1.elementCount }
    // Each takes three bytes or more, so the payload bounds what is allocated.
    let exceptionCount = try reader.count("exception count", atMost: min(count, reader.rest.count))
    var exceptions: [(member: Int, index: Int, pattern: UInt64)] = []
    exceptions.reserveCapacity(exceptionCount)
    var member = 0
    var start = 0
    var next = 0
    for _ in 0..<exceptionCount {
        let gap = try reader.varint("exception index")
        guard gap < UInt64(count - next) else {
            throw .malformed("frame is damaged: an exception beyond the scope's \(count) elements")
        }
        let index = next + Int(gap)
        next = index + 1
        while index - start >= members[member].elementCount {
            start += members[member].elementCount
            member += 1
        }
        let bytes = try reader.bytes(members[member].format.byteCount, "exception")
        var pattern: UInt64 = 0
        for (position, byte) in bytes.enumerated() { pattern |= UInt64(byte) << UInt64(8 * position) }
        exceptions.append((member, index - start, pattern))
    }
    return exceptions
}
