/// The safetensors format (github.com/huggingface/safetensors): eight bytes of header length, a JSON header, data.
///
/// As strict as the reference: the header is at most 100 MB and of known types, and the tensors fill the data without
/// gap or overlap.
public enum Safetensors {
    /// The longest header.
    public static let maximumHeaderBytes = 100_000_000

    /// Reads a file.
    public static func read(_ path: String) throws(TensorFileError) -> TensorCollection {
        let bytes = try Files.read(path)
        do throws(TensorFileError) {
            return try parse(bytes)
        } catch {
            throw TensorFileError(error.kind, "\(path) isn't a valid safetensors file: \(error.message)")
        }
    }

    /// Reads a file's bytes.
    public static func parse(_ bytes: [UInt8]) throws(TensorFileError) -> TensorCollection {
        var outcome: Result<TensorCollection, TensorFileError> = .failure(
            TensorFileError(.malformed, "empty"))
        bytes.withUnsafeBytes { bytes in
            do throws(TensorFileError) {
                outcome = .success(try parse(bytes))
            } catch {
                outcome = .failure(error)
            }
        }
        return try outcome.get()
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer) throws(TensorFileError) -> TensorCollection {
        let index = try index(of: bytes)
        var tensors: [Tensor] = []
        for entry in index.entries {
            let content = Array(bytes[entry.range])
            guard
                let tensor = Tensor(
                    name: entry.name, dtype: entry.dtype, shape: entry.shape, bytes: content)
            else {
                throw malformed("tensor \(entry.name) has \(content.count) bytes, not what its shape needs")
            }
            tensors.append(tensor)
        }
        return try TensorCollection(tensors: tensors, metadata: index.metadata)
    }

    /// What a file's header says, checked against the file's size; the tensors themselves aren't touched.
    ///
    /// - Parameter bytes: the whole file.
    public static func index(of bytes: UnsafeRawBufferPointer) throws(TensorFileError) -> SafetensorsIndex {
        let start = UnsafeRawBufferPointer(rebasing: bytes.prefix(8))
        let end = try headerEnd(start, fileBytes: bytes.count)
        return try index(ofHeader: UnsafeRawBufferPointer(rebasing: bytes[..<end]), fileBytes: bytes.count)
    }

    /// The same for a file that memory doesn't hold: only its header is read.
    public static func index(of file: FileSource) throws(TensorFileError) -> SafetensorsIndex {
        let end = try withStart(of: file, count: min(8, file.size)) { (start) throws(TensorFileError) in
            try headerEnd(start, fileBytes: file.size)
        }
        return try withStart(of: file, count: end) { (header) throws(TensorFileError) in
            try index(ofHeader: header, fileBytes: file.size)
        }
    }

    private static func withStart<Result>(
        of file: FileSource, count: Int,
        _ body: (UnsafeRawBufferPointer) throws(TensorFileError) -> Result
    ) throws(TensorFileError) -> Result {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { bytes.deallocate() }
        try file.read(at: 0, into: bytes)
        return try body(UnsafeRawBufferPointer(bytes))
    }

    /// Where the data begins.
    ///
    /// - Parameter start: the file's first eight bytes, or all if there are less.
    private static func headerEnd(
        _ start: UnsafeRawBufferPointer, fileBytes: Int
    ) throws(TensorFileError) -> Int {
        guard start.count == 8 else {
            throw malformed("it has \(fileBytes) bytes, less than a header's length")
        }
        let length = UInt64(littleEndian: start.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(maximumHeaderBytes), length <= UInt64(fileBytes - 8) else {
            throw malformed("its header claims \(length) bytes and the file has \(fileBytes)")
        }
        return 8 + Int(length)
    }

    /// - Parameter bytes: the file's bytes before the data.
    private static func index(
        ofHeader bytes: UnsafeRawBufferPointer, fileBytes: Int
    ) throws(TensorFileError) -> SafetensorsIndex {
        let header = UnsafeRawBufferPointer(rebasing: bytes[8...])
        guard header.first == UInt8(ascii: "{") else { throw malformed("its header is no JSON object") }
        var parser = JSONParser(header)
        guard case .object(let members) = try parser.parse() else {
            throw malformed("its header is no JSON object")
        }
        var metadata: [String: String] = [:]
        var entries: [Entry] = []
        for member in members {
            if member.key == "__metadata__" {
                metadata = try texts(member.value)
            } else {
                entries.append(try Entry(name: member.key, member.value))
            }
        }
        try checkCoverage(entries, dataBytes: fileBytes - bytes.count)
        entries.sort { $0.name < $1.name }
        for (one, next) in zip(entries, entries.dropFirst()) where one.name == next.name {
            throw malformed("tensor \(one.name) comes twice")
        }
        return SafetensorsIndex(
            entries: entries.map {
                SafetensorsIndex.Entry(
                    name: $0.name, dtype: $0.dtype, shape: $0.shape,
                    range: (bytes.count + $0.range.lowerBound)..<(bytes.count + $0.range.upperBound))
            }, metadata: metadata)
    }

    private static func malformed(_ what: String) -> TensorFileError { TensorFileError(.malformed, what) }

    private static func texts(_ value: JSONValue) throws(TensorFileError) -> [String: String] {
        guard case .object(let members) = value else { throw malformed("__metadata__ is no object") }
        var texts: [String: String] = [:]
        for member in members {
            guard case .string(let text) = member.value, texts.updateValue(text, forKey: member.key) == nil
            else {
                throw malformed("__metadata__ has a value for \(member.key) that is no text, or two")
            }
        }
        return texts
    }

    /// A tensor as the header describes it.
    private struct Entry {
        let name: TensorName
        let dtype: DType
        let shape: Shape
        let range: Range<Int>

        init(name: String, _ value: JSONValue) throws(TensorFileError) {
            guard case .object(let members) = value, members.count == 3 else {
                throw malformed("tensor \(name) isn't described by dtype, shape and data_offsets")
            }
            var dtype: DType?
            var shape: Shape?
            var range: Range<Int>?
            for member in members {
                switch (member.key, member.value) {
                case ("dtype", .string(let text)):
                    dtype = DType(rawValue: text)
                    guard dtype != nil else {
                        throw malformed("tensor \(name) is of type \(text), unknown here")
                    }
                case ("shape", .array(let values)):
                    shape = try Shape(Entry.integers(values, name))
                case ("data_offsets", .array(let values)):
                    let offsets = try Entry.integers(values, name)
                    guard offsets.count == 2, offsets[0] <= offsets[1] else {
                        throw malformed("tensor \(name) has impossible data_offsets")
                    }
                    range = offsets[0]..<offsets[1]
                default:
                    throw malformed("tensor \(name) has an unknown or mistyped key \(member.key)")
                }
            }
            guard let dtype, let shape, let range else {
                throw malformed("tensor \(name) isn't described by dtype, shape and data_offsets")
            }
            let (size, overflow) = shape.elementCount.multipliedReportingOverflow(by: dtype.byteCount)
            guard !overflow, size == range.count else {
                throw malformed("tensor \(name) of shape \(shape) doesn't fill its \(range.count) bytes")
            }
            self.name = TensorName(name)
            self.dtype = dtype
            self.shape = shape
            self.range = range
        }

        private static func integers(_ values: [JSONValue], _ name: String) throws(TensorFileError) -> [Int] {
            var integers: [Int] = []
            for value in values {
                guard case .integer(let integer) = value else {
                    throw malformed("tensor \(name) has a shape or offset that is no whole number")
                }
                integers.append(integer)
            }
            return integers
        }
    }

    private static func checkCoverage(_ entries: [Entry], dataBytes: Int) throws(TensorFileError) {
        let ordered = entries.sorted {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        var end = 0
        for entry in ordered {
            guard entry.range.lowerBound == end else {
                throw malformed("tensor \(entry.name) begins at \(entry.range.lowerBound), not at \(end)")
            }
            end = entry.range.upperBound
        }
        guard end == dataBytes else {
            throw malformed("its tensors take \(end) bytes and \(dataBytes) are there")
        }
    }

    /// Writes a file, tensors in the order of their names; it is there in full or not at all.
    public static func write(_ collection: TensorCollection, to path: String) throws(TensorFileError) {
        let header = try header(
            of: collection.tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: collection.metadata)
        try Files.writeAtomically(path) { (write) throws(TensorFileError) in
            try write(header)
            for tensor in collection.tensors { try write(tensor.bytes) }
        }
    }

    /// A file's header with its length, padded to a multiple of eight bytes; the tensors follow it end to end.
    public static func header(
        of tensors: [(name: TensorName, dtype: DType, shape: Shape)], metadata: [String: String]
    ) throws(TensorFileError) -> [UInt8] {
        var members: [String] = []
        if !metadata.isEmpty {
            let texts = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                .map { "\(jsonQuoted($0.key)):\(jsonQuoted($0.value))" }
            members.append("\"__metadata__\":{\(texts.joined(separator: ","))}")
        }
        var offset = 0
        for tensor in tensors {
            let shape = tensor.shape.dimensions.map(String.init).joined(separator: ",")
            let end = offset + tensor.shape.elementCount * tensor.dtype.byteCount
            members.append(
                "\(jsonQuoted(tensor.name.value)):{\"dtype\":\"\(tensor.dtype.rawValue)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(offset),\(end)]}")
            offset = end
        }
        var json = Array("{\(members.joined(separator: ","))}".utf8)
        while json.count % 8 != 0 { json.append(0x20) }
        guard json.count <= maximumHeaderBytes else {
            throw TensorFileError(.unwritable, "names and metadata exceed 100 MB")
        }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
    }
}

/// Where a file's tensors lie.
public struct SafetensorsIndex: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        public var name: TensorName
        public var dtype: DType
        public var shape: Shape
        /// Within the file.
        public var range: Range<Int>
    }

    /// In the order of their names' bytes, no name twice.
    public var entries: [Entry]
    /// What the file keeps under `__metadata__`.
    public var metadata: [String: String]
}
