import LCCheckpoint
import ModelCodec
import Tensors

/// What each tensor of a run came to, over the steps that were added.
struct TensorTable {
    private struct Row {
        let member: CodecModel.Member
        var bits = 0.0
        /// The largest of all steps.
        var error = 0.0
    }

    private var rows: [Row]
    private var steps = 0

    init(_ model: CodecModel) { rows = model.tensors.map { Row(member: $0) } }

    /// The bits of a frame by tensor.
    ///
    /// - Parameter context: what the frame was encoded with.
    static func bits(of frame: [UInt8], inheriting context: FrameContext?) throws -> [TensorName: Double] {
        let (sections, bits) = try frame.withUnsafeBytes { bytes in
            let parsed = try Frame(parsing: bytes, inheriting: context)
            return (parsed.header.sections, try parsed.sectionBits())
        }
        var shares: [TensorName: Double] = [:]
        for (section, share) in zip(sections, bits) { shares[TensorName(section.name)] = share }
        return shares
    }

    /// Adds the errors of a step.
    ///
    /// - Parameter state: what a restore of it yields.
    mutating func add(errorsOf state: CodecModel, to live: CodecModel) {
        for (index, error) in state.relativeErrors(to: live).enumerated() {
            rows[index].error = max(rows[index].error, error)
        }
        steps += 1
    }

    /// Adds the bits of a step.
    mutating func add(_ bits: [TensorName: Double]) {
        for index in rows.indices { rows[index].bits += bits[rows[index].member.name] ?? 0 }
    }

    /// The rows as JSON; bits are for each parameter and step.
    var json: String {
        let objects = rows.map { row in
            let count = row.member.shape.elementCount
            return jsonObject([
                ("name", jsonQuoted(row.member.name.value)),
                ("dtype", jsonQuoted(row.member.dtype.rawValue)), ("parameters", "\(count)"),
                ("bits", jsonNumber(row.bits / Double(max(1, count * steps)))),
                ("relative_error", jsonNumber(row.error)),
            ])
        }
        return "[\(objects.joined(separator: ", "))]"
    }

    /// A row for each tensor: bits per parameter and step, how many times smaller that is, and the largest error.
    func render(colours: Bool) -> String {
        var table = TextTable([
            .init("TENSOR"), .init("TYPE"), .init("PARAMETERS", .right), .init("BITS", .right),
            .init("RATIO", .right), .init("ERROR", .right),
        ])
        for row in rows {
            let count = row.member.shape.elementCount
            let bits = row.bits / Double(max(1, count * steps))
            table.add([
                row.member.name.value, row.member.dtype.rawValue, "\(count)",
                count == 0 ? "-" : fixed(bits, decimals: 3),
                bits > 0 ? fixed(8 * Double(row.member.dtype.byteCount) / bits, decimals: 1) : "-",
                row.error == 0 ? "0" : scientific(row.error),
            ])
        }
        return table.render(colours: colours)
    }
}
