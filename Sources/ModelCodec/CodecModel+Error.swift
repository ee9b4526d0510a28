import Tensors

extension CodecModel {
    /// `‖u − ũ‖₂ / ‖u‖₂` of each tensor, with u the elements in `live`, over those that are finite; 0 where u is all zeros
    /// and ũ too, infinity where it isn't, and 0 for integers, which are carried exactly.
    ///
    /// - Precondition: the models have the same tensors.
    public func relativeErrors(to live: CodecModel) -> [Double] {
        zip(tensors, live.tensors).map { own, other in
            let (mine, theirs) = (
                UnsafeRawBufferPointer(bytes(own)), UnsafeRawBufferPointer(live.bytes(other))
            )
            switch own.dtype {
            case .float32: return relativeError(mine, theirs, Float.self) { Double($0) }
            case .float64: return relativeError(mine, theirs, Double.self) { $0 }
            case .bfloat16:
                return relativeError(mine, theirs, UInt16.self) {
                    Double(Float(bitPattern: UInt32($0) << 16))
                }
            case .float16: return relativeError(mine, theirs, UInt16.self, binary16)
            case .bool, .uint8, .int8, .uint16, .int16, .uint32, .int32, .uint64, .int64: return 0
            }
        }
    }
}

@inline(__always)
private func relativeError<Element: BitwiseCopyable>(
    _ mine: UnsafeRawBufferPointer, _ theirs: UnsafeRawBufferPointer, _ type: Element.Type,
    _ value: (Element) -> Double
) -> Double {
    let width = MemoryLayout<Element>.size
    var (error, norm) = (0.0, 0.0)
    for offset in stride(from: 0, to: mine.count, by: width) {
        let own = value(mine.loadUnaligned(fromByteOffset: offset, as: type))
        let live = value(theirs.loadUnaligned(fromByteOffset: offset, as: type))
        guard own.isFinite, live.isFinite else { continue }
        error += (own - live) * (own - live)
        norm += live * live
    }
    if error == 0 { return 0 }
    return norm > 0 ? (error / norm).squareRoot() : .infinity
}

/// A binary16, exactly.
@inline(__always)
private func binary16(_ bits: UInt16) -> Double {
    let sign: Double = bits & 0x8000 == 0 ? 1 : -1
    let exponent = Int(bits >> 10 & 31)
    let fraction = Double(bits & 0x3ff)
    switch exponent {
    case 0: return sign * fraction * 0x1p-24
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * Double(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction)
    }
}
