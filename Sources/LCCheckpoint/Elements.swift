// Reading elements of any floating format as Float32 and rounding Float32 back to them, NaN payloads included.

extension ElementFormat {
    /// Reads elements as Float32; exact but for float64, which is rounded to nearest even.
    ///
    /// - Precondition: a floating format; as many floats as elements.
    func widen(_ bytes: UnsafeRawBufferPointer, into floats: UnsafeMutableBufferPointer<Float>) {
        switch self {
        case .float32:
            UnsafeMutableRawBufferPointer(floats).copyMemory(from: bytes)
        case .float16:
            for index in floats.indices {
                let bits = bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
                floats[index] = float(half: UInt16(littleEndian: bits))
            }
        case .bfloat16:
            for index in floats.indices {
                let bits = bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
                floats[index] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
            }
        case .float64:
            for index in floats.indices {
                let bits = bytes.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self)
                floats[index] = Float(Double(bitPattern: UInt64(littleEndian: bits)))
            }
        case .bits8, .bits16, .bits32, .bits64:
            preconditionFailure("only floating formats are read as floats")
        }
    }

    /// Rounds floats to what the format holds, in place: to nearest, ties to even.
    func round(_ floats: UnsafeMutableBufferPointer<Float>) {
        switch self {
        case .float32, .float64: break
        case .float16:
            for index in floats.indices { floats[index] = float(half: half(float: floats[index])) }
        case .bfloat16:
            for index in floats.indices {
                floats[index] = Float(bitPattern: UInt32(brain(float: floats[index])) << 16)
            }
        case .bits8, .bits16, .bits32, .bits64:
            preconditionFailure("only floating formats are rounded")
        }
    }

    /// Writes floats that `round` has seen.
    func narrow(_ floats: UnsafeBufferPointer<Float>, into bytes: UnsafeMutableRawBufferPointer) {
        switch self {
        case .float32:
            bytes.copyMemory(from: UnsafeRawBufferPointer(floats))
        case .float16:
            for index in floats.indices {
                bytes.storeBytes(
                    of: half(float: floats[index]).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
            }
        case .bfloat16:
            for index in floats.indices {
                bytes.storeBytes(
                    of: brain(float: floats[index]).littleEndian, toByteOffset: 2 * index, as: UInt16.self)
            }
        case .float64:
            for index in floats.indices {
                bytes.storeBytes(
                    of: Double(floats[index]).bitPattern.littleEndian, toByteOffset: 8 * index,
                    as: UInt64.self)
            }
        case .bits8, .bits16, .bits32, .bits64:
            preconditionFailure("only floating formats are written from floats")
        }
    }
}

/// binary16 as Float32, exactly.
func float(half bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 31
    let fraction = UInt32(bits & 0x3ff)
    if exponent == 0 { return Float(bitPattern: (Float(fraction) * 0x1p-24).bitPattern | sign) }
    if exponent == 31 { return Float(bitPattern: sign | infinityBits | fraction << 13) }
    return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
}

/// The nearest binary16, ties to even.
func half(float value: Float) -> UInt16 {
    let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
    let bits = value.bitPattern & 0x7fff_ffff
    if bits > infinityBits {
        let payload = UInt16(truncatingIfNeeded: bits >> 13) & 0x3ff
        return sign | 0x7c00 | (payload == 0 ? 0x200 : payload)
    }
    // 65520, half-way to 2^16, rounds to infinity.
    if bits >= 0x477f_f000 { return sign | 0x7c00 }
    if bits < 0x3880_0000 {
        // Below 2^−14 the spacing is 2^−24, which is also that of floats from 0.5 on: the addition rounds.
        let sum = Float(bitPattern: bits) + 0.5
        return sign | UInt16(truncatingIfNeeded: sum.bitPattern - Float(0.5).bitPattern)
    }
    let rounded = bits + 0xfff + (bits >> 13 & 1)
    return sign | UInt16(truncatingIfNeeded: (rounded - (112 << 23)) >> 13)
}

/// The nearest bfloat16, ties to even.
func brain(float value: Float) -> UInt16 {
    let bits = value.bitPattern
    if bits & 0x7fff_ffff > infinityBits {
        let top = UInt16(truncatingIfNeeded: bits >> 16)
        return top & 0x7f == 0 ? top | 0x40 : top
    }
    return UInt16(truncatingIfNeeded: (bits + 0x7fff + (bits >> 16 & 1)) >> 16)
}
