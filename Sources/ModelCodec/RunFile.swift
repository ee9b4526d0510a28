import LCCheckpoint
import Tensors

/// A run file: a header of sixteen bytes, then frames one after the other. docs/formats/run.md.
public enum RunFile {
    public static let header: [UInt8] = [0x56, 0x4c, 0x43, 0x52, 1] + [UInt8](repeating: 0, count: 11)

    /// Whether `bytes` begin like a run file of any version.
    public static func hasMagic(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.starts(with: header.prefix(4))
    }

    /// Where the frames lie; at least one.
    ///
    /// - Parameter file: its name, for the error's sentence.
    public static func frames(
        _ bytes: UnsafeRawBufferPointer, file: String
    ) throws(TensorFileError) -> [Range<Int>] {
        guard bytes.starts(with: header) else {
            throw TensorFileError(.malformed, "\(file) is no run file of version 1")
        }
        var ranges: [Range<Int>] = []
        var position = header.count
        while position < bytes.count {
            let claimed = Frame.claimedByteCount(UnsafeRawBufferPointer(rebasing: bytes[position...]))
            guard let claimed, claimed >= UInt64(Frame.headerByteCount),
                claimed <= UInt64(bytes.count - position)
            else {
                throw TensorFileError(
                    .malformed, "\(file) is cut short or damaged at step \(ranges.count), byte \(position)")
            }
            ranges.append(position..<(position + Int(claimed)))
            position += Int(claimed)
        }
        guard !ranges.isEmpty else { throw TensorFileError(.malformed, "\(file) holds no step") }
        return ranges
    }
}
