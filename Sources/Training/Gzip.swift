import CZlib

/// Reads a byte sequence from the start, gzip-compressed or plain; which one is told by the first two bytes.
struct PlainReader: ~Copyable {
    private let path: String
    private let bytes: [UInt8]
    private let compressed: Bool
    private var position = 0
    private var stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    private var ended = false

    init(path: String, bytes: [UInt8]) throws(DataError) {
        self.path = path
        self.bytes = bytes
        compressed = bytes.count >= 2 && bytes[0] == 0x1F && bytes[1] == 0x8B
        stream.initialize(to: z_stream())
        // 15 + 16: the largest window, and a gzip header with its checksum.
        if compressed, inflateInit2_(stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) != Z_OK {
            throw .malformed("\(path) can't be decompressed: zlib didn't start; check the installed zlib")
        }
    }

    deinit {
        if compressed { inflateEnd(stream) }
        stream.deallocate()
    }

    /// An upper bound of what is left to read, without reading it: deflate expands by at most 1032.
    var mostBytesLeft: Int { compressed ? bytes.count * 1032 : bytes.count - position }

    /// The next `count` bytes.
    ///
    /// - Throws: `DataError.malformed` when there are fewer or the compressed bytes are damaged.
    /// - Precondition: The caller has checked `count` against `mostBytesLeft`, for that much is allocated.
    mutating func read(_ count: Int) throws(DataError) -> [UInt8] {
        guard compressed else {
            guard count <= bytes.count - position else { throw tooShort() }
            defer { position += count }
            return Array(bytes[position..<position + count])
        }
        var failure: DataError?
        let result = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(DataError) {
                filled = try inflateSome(into: buffer)
            } catch {
                failure = error
                filled = 0
            }
        }
        if let failure { throw failure }
        guard result.count == count else { throw tooShort() }
        return result
    }

    /// Checks that nothing follows, and with that the checksum of a compressed file.
    ///
    /// - Throws: `DataError.malformed`.
    mutating func finish() throws(DataError) {
        guard compressed else {
            guard position == bytes.count else { throw trailing() }
            return
        }
        // Room for one byte lets zlib go on to the end of the stream and shows whether a sample follows.
        let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 1)
        defer { room.deallocate() }
        let extra = try inflateSome(into: room)
        guard extra == 0, position == bytes.count else { throw trailing() }
        guard ended else { throw tooShort() }
    }

    /// Inflates until the buffer is full or the stream ends; returns the number of bytes written.
    private mutating func inflateSome(into buffer: UnsafeMutableBufferPointer<UInt8>) throws(DataError) -> Int
    {
        var written = 0
        while written < buffer.count, !ended {
            let (input, room) = (min(bytes.count - position, 1 << 30), min(buffer.count - written, 1 << 30))
            let status = bytes.withUnsafeBufferPointer { source in
                stream.pointee.next_in = UnsafeMutablePointer(mutating: source.baseAddress! + position)
                stream.pointee.avail_in = UInt32(input)
                stream.pointee.next_out = buffer.baseAddress! + written
                stream.pointee.avail_out = UInt32(room)
                return inflate(stream, Z_NO_FLUSH)
            }
            let taken = input - Int(stream.pointee.avail_in)
            let made = room - Int(stream.pointee.avail_out)
            position += taken
            written += made
            if status == Z_STREAM_END {
                ended = true
            } else if status != Z_OK || taken + made == 0 {
                throw position == bytes.count ? tooShort() : damaged()
            }
        }
        return written
    }

    private func tooShort() -> DataError {
        .malformed("\(path) ends too early, after \(position) bytes; fetch it again")
    }

    private func damaged() -> DataError {
        .malformed("\(path) is damaged gzip near byte \(position); fetch it again")
    }

    private func trailing() -> DataError {
        .malformed("\(path) goes on after its last sample; fetch it again")
    }
}
