/// A second reader of run files, written from docs/formats/run.md.
struct PlainRun {
    struct Tensor: Equatable {
        var name: String
        var type: String
        var extents: [Int]
    }

    /// The state after each step.
    static func states(_ file: [UInt8]) throws -> [PlainState] {
        var reader = PlainDecoder(file)
        guard try reader.take(16) == [0x56, 0x4c, 0x43, 0x52, 1] + [UInt8](repeating: 0, count: 11) else {
            throw PlainDecoder.Refused()
        }
        var states: [PlainState] = []
        while reader.at < file.count {
            let start = reader.at
            _ = try reader.take(6)
            let length: Int = try reader.number(6)
            reader.at = start
            let frame = try reader.take(length)
            // The first is a base, the others deltas.
            guard frame[5] & 1 == (states.isEmpty ? 0 : 1) else { throw PlainDecoder.Refused() }
            states.append(try PlainDecoder.decode(frame, onto: states.last ?? PlainState(sections: [])))
        }
        return states
    }

    /// What a frame's metadata says: the tensors, and the texts in their order.
    static func table(_ metadata: [UInt8]) throws -> (tensors: [Tensor], texts: [[String]]) {
        var reader = PlainDecoder(metadata)
        func text() throws -> String { String(decoding: try reader.take(try reader.varint()), as: UTF8.self) }
        let tensors = try (0..<(try reader.varint())).map { _ in
            Tensor(
                name: try text(), type: try text(),
                extents: try (0..<(try reader.varint())).map { _ in try reader.varint() })
        }
        let texts = try (0..<(try reader.varint())).map { _ in [try text(), try text()] }
        guard reader.at == metadata.count else { throw PlainDecoder.Refused() }
        return (tensors, texts)
    }
}
