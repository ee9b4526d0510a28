@testable import Storage

/// A store's log from one or two segment files with any content: opened, read, verified, written to, opened again.
///
/// An input is a length in two bytes and the first segment's records, then those of the second; each with its head and
/// its two watermarks, without the zeros that keep them apart in the file.
enum SegmentTarget {
    private static let store: UInt64 = 7
    private static let headBytes = Layout.segmentHeaderBytes + 2 * Layout.watermarkBytes

    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let asIs = open(bytes, mending: false)
        return open(bytes, mending: true) || asIs
    }

    private static func open(_ bytes: UnsafeRawBufferPointer, mending: Bool) -> Bool {
        var input = InputReader(bytes)
        let files = MemoryFileSystem()
        let first = Array(input.piece())
        let second = Array(input.rest)
        for (segment, content) in [(UInt64(1), first), (2, second)] where !content.isEmpty {
            var file = laidOut(content)
            if mending { mend(&file, segment: segment) }
            files.files["log/" + Layout.fileName(segment)] = MemoryFileSystem.File(file)
        }
        guard !files.files.isEmpty else { return false }
        var options = SegmentLogOptions()
        options.fsync = .none
        options.preallocateBytes = 256
        options.headroomBytes = 512
        options.maxPayloadBytes = 1 << 16
        options.storeID = mending ? store : nil
        do throws(StorageError) {
            return try use(files, options)
        } catch {
            return false
        }
    }

    /// - Returns: whether there was a record that could be read.
    private static func use(
        _ files: MemoryFileSystem, _ options: SegmentLogOptions
    ) throws(StorageError) -> Bool {
        let (log, records, _) = try SegmentLogOn.open(directory: "log", options: options, files: files)
        var sound = 0
        for record in records {
            do throws(StorageError) {
                let (header, payload) = try log.read(record.location)
                // By its words: an error that is no number isn't equal to itself.
                demand("\(header)" == "\(record.header)", "a record is read as another")
                demand(payload.count == Int(header.payloadLength), "a payload of another length")
                sound += 1
            } catch .damaged(_) {
            } catch .tooLarge(_, _, _) {
            }
        }
        _ = try log.verifyAll()
        let added: [UInt8] = [1, 2, 3]
        let header = RecordHeader(kind: .delta, shard: 1, step: 9, epoch: 3, payloadLength: 3)
        let location = try added.withUnsafeBufferPointer { (bytes) throws(StorageError) in
            try log.append(header, payload: UnsafeRawBufferPointer(bytes))
        }
        try log.sync()
        log.close()
        let (again, found, _) = try SegmentLogOn.open(directory: "log", options: options, files: files)
        demand(
            found.map(\.location) == (records.map(\.location) + [location]),
            "a log that was opened, written and closed has other records: \(records) \(found)")
        let payload = try again.read(location).1
        demand(payload == added, "what was appended is read as something else")
        again.close()
        return sound > 0
    }

    private static func laidOut(_ content: [UInt8]) -> [UInt8] {
        let head = content.prefix(headBytes) + [UInt8](repeating: 0, count: max(0, headBytes - content.count))
        var file = [UInt8](repeating: 0, count: Int(Layout.recordsStart))
        let marks = Layout.segmentHeaderBytes
        file.replaceSubrange(0..<marks, with: head[..<marks])
        for (turn, offset) in [Layout.watermarkOffsets.0, Layout.watermarkOffsets.1].enumerated() {
            let start = marks + turn * Layout.watermarkBytes
            file.replaceSubrange(
                Int(offset)..<Int(offset) + Layout.watermarkBytes,
                with: head[start..<start + Layout.watermarkBytes])
        }
        return file + content.dropFirst(headBytes)
    }

    /// Makes checksums right, and places and owners, without which a record would be somebody else's.
    private static func mend(_ file: inout [UInt8], segment: UInt64) {
        file.set(Layout.segmentMagic, at: 8)
        file.set(Layout.version, at: 16)
        file.set(store, at: 24)
        file.set(segment, at: 32)
        sign(&file, 0, Layout.segmentHeaderBytes)
        for offset in [Int(Layout.watermarkOffsets.0), Int(Layout.watermarkOffsets.1)]
        where file[offset..<offset + Layout.watermarkBytes].contains(where: { $0 != 0 }) {
            file.set(segment, at: offset + 8)
            file.set(store, at: offset + 24)
            sign(&file, offset, Layout.watermarkBytes)
        }
        var offset = Int(Layout.recordsStart)
        while offset + Layout.frameBytes <= file.count {
            let magic = file.withUnsafeBytes { Layout.get(UInt32.self, $0, offset + 8) }
            guard magic == Layout.recordMagic || magic == Layout.catalogueMagic else {
                offset += Int(Layout.alignment)
                continue
            }
            offset += mendRecord(&file, at: offset, segment: segment)
        }
    }

    /// Returns how far it is to the next record.
    private static func mendRecord(_ file: inout [UInt8], at offset: Int, segment: UInt64) -> Int {
        let length = Int(file.withUnsafeBytes { Layout.get(UInt32.self, $0, offset + 16) })
        let start = offset + Layout.frameBytes
        file.set(segment, at: offset + 24)
        file.set(UInt64(offset), at: offset + 32)
        file.set(store, at: offset + 160)
        let fits = length <= file.count - start
        if fits {
            let sum = file.withUnsafeBytes { Layout.checksum(.init(rebasing: $0[start..<start + length])) }
            file.set(sum, at: offset + 152)
        }
        sign(&file, offset, Layout.frameBytes)
        return fits ? Int(Layout.aligned(UInt64(Layout.frameBytes + length))) : Layout.frameBytes
    }

    private static func sign(_ file: inout [UInt8], _ offset: Int, _ count: Int) {
        let sum = file.withUnsafeBytes { Layout.checksum(.init(rebasing: $0[offset + 8..<offset + count])) }
        file.set(sum, at: offset)
    }

    /// The other way round: what a log wrote, without the zeros.
    static var seeds: [[UInt8]] {
        [UInt64(1) << 20, 4600].map { segmentBytes in
            let files = MemoryFileSystem()
            var options = SegmentLogOptions()
            options.fsync = .none
            options.preallocateBytes = 256
            options.headroomBytes = 512
            options.segmentBytes = segmentBytes
            options.storeID = store
            do {
                let (log, _, _) = try SegmentLogOn.open(directory: "log", options: options, files: files)
                for (step, kind) in [RecordHeader.Kind.base, .delta, .promise].enumerated() {
                    let payload = [UInt8](repeating: UInt8(step + 1), count: 21 * step)
                    let header = RecordHeader(
                        kind: kind, shard: 1, step: UInt64(step), epoch: 3,
                        payloadLength: UInt32(payload.count))
                    _ = try payload.withUnsafeBytes { try log.append(header, payload: $0) }
                    try log.sync()
                }
                log.close()
            } catch {
                fatalError("a log in memory can't be written: \(error)")
            }
            let segments = files.files.keys.sorted().filter { $0.hasSuffix(".varve") }.prefix(2)
            var parts = segments.map { compact(files.files[$0]?.bytes ?? []) }
            if parts.count == 1 { parts.append([]) }
            var seed: [UInt8] = []
            seed.put(piece: parts[0])
            return seed + parts[1]
        }
    }

    private static func compact(_ file: [UInt8]) -> [UInt8] {
        let (one, two) = (Int(Layout.watermarkOffsets.0), Int(Layout.watermarkOffsets.1))
        return Array(file[..<Layout.segmentHeaderBytes]) + file[one..<one + Layout.watermarkBytes]
            + file[two..<two + Layout.watermarkBytes] + file[Int(Layout.recordsStart)...]
    }
}

/// Files in memory, and nothing that fails but what doesn't exist.
final class MemoryFileSystem: LogFileSystem {
    final class File {
        var bytes: [UInt8]
        init(_ bytes: [UInt8] = []) { self.bytes = bytes }
    }

    var files: [String: File] = [:]
    private var handles: [Int32: File] = [:]
    private var next: Int32 = 3

    private func hand(_ file: File) -> OpenFile {
        next += 1
        handles[next] = file
        return OpenFile(descriptor: next)
    }

    private func file(_ open: OpenFile) throws(SystemCallFailure) -> File {
        guard let file = handles[open.descriptor] else { throw SystemCallFailure(call: "use", code: 9) }
        return file
    }

    func createDirectory(_ path: String) throws(SystemCallFailure) {}
    func list(_ directory: String) throws(SystemCallFailure) -> [String] {
        files.keys.map { String($0.dropFirst(directory.count + 1)) }.sorted()
    }
    func lock(_ path: String) throws(SystemCallFailure) -> OpenFile { hand(File()) }

    func open(_ path: String, _ mode: OpenMode) throws(SystemCallFailure) -> OpenFile {
        switch mode {
        case .createNew:
            guard files[path] == nil else { throw SystemCallFailure(call: "open", code: 17) }
            let file = File()
            files[path] = file
            return hand(file)
        case .readWrite, .readOnly:
            guard let file = files[path] else { throw SystemCallFailure(call: "open", code: 2) }
            return hand(file)
        }
    }

    func sizeBytes(_ file: OpenFile) throws(SystemCallFailure) -> UInt64 {
        UInt64(try self.file(file).bytes.count)
    }

    func read(_ file: OpenFile, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64)
        throws(SystemCallFailure) -> Int
    {
        let bytes = try self.file(file).bytes
        guard offset < UInt64(bytes.count) else { return 0 }
        let part = bytes[Int(offset)..<min(bytes.count, Int(offset) + buffer.count)]
        buffer.copyBytes(from: part)
        return part.count
    }

    func write(
        _ file: OpenFile, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, at offset: UInt64
    ) throws(SystemCallFailure) -> Int {
        let target = try self.file(file)
        let end = Int(offset) + first.count + second.count
        grow(target, to: end)
        target.bytes.replaceSubrange(Int(offset)..<end, with: Array(first) + Array(second))
        return first.count + second.count
    }

    private func grow(_ file: File, to size: Int) {
        // Far beyond what an input of some thousand bytes can need: a log that grows so was led astray.
        demand(size <= 1 << 24, "a file is made to grow to \(size) bytes")
        if size > file.bytes.count {
            file.bytes += [UInt8](repeating: 0, count: size - file.bytes.count)
        }
    }

    func allocate(_ file: OpenFile, from offset: UInt64, lengthBytes: UInt64) throws(SystemCallFailure) {
        grow(try self.file(file), to: Int(offset + lengthBytes))
    }

    func truncate(_ file: OpenFile, toBytes size: UInt64) throws(SystemCallFailure) {
        let target = try self.file(file)
        grow(target, to: Int(size))
        target.bytes.removeLast(target.bytes.count - Int(size))
    }

    func syncData(_ file: OpenFile) throws(SystemCallFailure) {}
    func syncDirectory(_ path: String) throws(SystemCallFailure) {}
    func rename(_ from: String, to: String) throws(SystemCallFailure) {
        files[to] = files.removeValue(forKey: from)
    }
    func remove(_ path: String) throws(SystemCallFailure) { files[path] = nil }
    func close(_ file: OpenFile) { handles[file.descriptor] = nil }
}
