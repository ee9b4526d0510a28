/// NumPy's `.npz`: a zip archive of uncompressed `.npy` arrays, as `numpy.load` reads it.
///
/// NumPy knows no bfloat16: such tensors are widened to float32. Metadata becomes text arrays named
/// `__metadata__/KEY`.
public enum NPZ {
    /// Writes a file, tensors in the order of their names; it is there in full or not at all.
    public static func write(_ collection: TensorCollection, to path: String) throws(TensorFileError) {
        var members: [Member] = []
        var names: Set<[UInt8]> = []
        for tensor in collection.tensors { members.append(Member(tensor)) }
        for (key, text) in collection.metadata.sorted(by: { $0.key < $1.key }) {
            members.append(Member(name: "__metadata__/\(key)", text: text))
        }
        var offset = 0
        for index in members.indices {
            guard names.insert(members[index].name).inserted, members[index].name.count < 1 << 16 else {
                throw TensorFileError(.unwritable, "can't write \(path): a name comes twice or is too long")
            }
            members[index].offset = offset
            offset += 30 + members[index].name.count + members[index].byteCount
        }
        // Beyond this a zip archive needs its 64-bit form.
        guard offset < 0xffff_ffff, members.count < 0xffff else {
            throw TensorFileError(
                .unwritable, "can't write \(path): an .npz of 4 GiB or more isn't supported, use .safetensors"
            )
        }
        let directory = members.reduce(into: [UInt8]()) { $0 += $1.directoryEntry }
        try Files.writeAtomically(path) { (write) throws(TensorFileError) in
            for member in members {
                try write(member.localHeader)
                try write(member.header)
                try write(member.data)
            }
            try write(directory)
            try write(end(count: members.count, directoryBytes: directory.count, offset: offset))
        }
    }

    private static func end(count: Int, directoryBytes: Int, offset: Int) -> [UInt8] {
        var bytes: [UInt8] = [0x50, 0x4b, 5, 6, 0, 0, 0, 0]
        bytes.append(littleEndian: UInt16(count))
        bytes.append(littleEndian: UInt16(count))
        bytes.append(littleEndian: UInt32(directoryBytes))
        bytes.append(littleEndian: UInt32(offset))
        bytes.append(littleEndian: UInt16(0))
        return bytes
    }

    /// A `.npy` file within the archive.
    private struct Member {
        let name: [UInt8]
        let header: [UInt8]
        let data: [UInt8]
        let checksum: UInt32
        var offset = 0

        var byteCount: Int { header.count + data.count }

        init(_ tensor: Tensor) {
            var data = tensor.bytes
            if tensor.dtype == .bfloat16 {
                data = []
                data.reserveCapacity(2 * tensor.bytes.count)
                for index in stride(from: 0, to: tensor.bytes.count, by: 2) {
                    data.append(contentsOf: [0, 0, tensor.bytes[index], tensor.bytes[index + 1]])
                }
            }
            self.init(
                name: tensor.name.value, type: Member.descriptor(tensor.dtype), shape: tensor.shape,
                data: data)
        }

        init(name: String, text: String) {
            let scalars = text.unicodeScalars.map(\.value)
            var data: [UInt8] = []
            for scalar in scalars { data.append(littleEndian: scalar) }
            // A text array's items have at least one character's room.
            if scalars.isEmpty { data.append(littleEndian: UInt32(0)) }
            self.init(
                name: name, type: "<U\(max(1, scalars.count))", shape: Shape([]).unsafelyUnwrapped, data: data
            )
        }

        private init(name: String, type: String, shape: Shape, data: [UInt8]) {
            self.name = Array("\(name).npy".utf8)
            self.data = data
            let extents = shape.dimensions.map { "\($0)," }.joined(separator: " ")
            var text = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(extents)), }"
            // Magic, version and length take ten bytes; the data begins at a multiple of 64.
            while (10 + text.utf8.count + 1) % 64 != 0 { text += " " }
            text += "\n"
            var header: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0]
            header.append(littleEndian: UInt16(text.utf8.count))
            header += Array(text.utf8)
            self.header = header
            checksum = CRC32.of(data, after: CRC32.of(header))
        }

        private static func descriptor(_ dtype: DType) -> String {
            switch dtype {
            case .bool: "|b1"
            case .uint8: "|u1"
            case .int8: "|i1"
            case .uint16: "<u2"
            case .int16: "<i2"
            case .uint32: "<u4"
            case .int32: "<i4"
            case .uint64: "<u8"
            case .int64: "<i8"
            case .float16: "<f2"
            case .bfloat16, .float32: "<f4"
            case .float64: "<f8"
            }
        }

        /// What the local header and the directory have in common: version 2.0, names in UTF-8, stored, 1980-01-01.
        private var common: [UInt8] {
            var bytes: [UInt8] = [20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0]
            bytes.append(littleEndian: checksum)
            bytes.append(littleEndian: UInt32(byteCount))
            bytes.append(littleEndian: UInt32(byteCount))
            bytes.append(littleEndian: UInt16(name.count))
            return bytes
        }

        var localHeader: [UInt8] { [0x50, 0x4b, 3, 4] + common + [0, 0] + name }

        var directoryEntry: [UInt8] {
            var bytes: [UInt8] = [0x50, 0x4b, 1, 2, 20, 0] + common
            bytes += [UInt8](repeating: 0, count: 12)
            bytes.append(littleEndian: UInt32(offset))
            return bytes + name
        }
    }
}

/// The CRC-32 of zip and PNG (ISO 3309), eight bytes at a time.
enum CRC32 {
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for value in 0..<256 {
            var remainder = UInt32(value)
            for _ in 0..<8 { remainder = remainder & 1 == 0 ? remainder >> 1 : remainder >> 1 ^ 0xedb8_8320 }
            tables[value] = remainder
        }
        for index in 256..<tables.count {
            let previous = tables[index - 256]
            tables[index] = previous >> 8 ^ tables[Int(previous & 0xff)]
        }
        return tables
    }()

    /// The checksum of `bytes`, or of what `after` is the checksum of with `bytes` appended.
    static func of(_ bytes: [UInt8], after previous: UInt32 = 0) -> UInt32 {
        tables.withUnsafeBufferPointer { tables in
            bytes.withUnsafeBytes { bytes in
                var remainder = ~previous
                var index = 0
                while index + 8 <= bytes.count {
                    let word =
                        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                        ^ UInt64(remainder)
                    remainder = 0
                    for byte in 0..<8 {
                        let value = Int(truncatingIfNeeded: word >> UInt64(8 * byte)) & 0xff
                        remainder ^= tables[256 * (7 - byte) + value]
                    }
                    index += 8
                }
                while index < bytes.count {
                    remainder = remainder >> 8 ^ tables[Int(remainder & 0xff ^ UInt32(bytes[index]))]
                    index += 1
                }
                return ~remainder
            }
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
