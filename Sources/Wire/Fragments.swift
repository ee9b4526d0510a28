/// Cuts large packets into pieces so that a small message never waits behind a whole tensor.
///
/// A piece is: magic u32, version u8, kind u8 = 1, two zero bytes, message number u64, total bytes u64, offset u64,
/// bytes. The pieces of one packet are sent in order; pieces of different packets may be mixed.
public struct Fragmenter: Sendable {
    public static let headerBytes = 32
    public let pieceBytes: Int
    private var nextNumber: UInt64 = 1

    public init(pieceBytes: Int = 1 << 20) { self.pieceBytes = pieceBytes }

    /// Takes a message number for a sender that works on a copy of this value.
    public mutating func skip() { nextNumber += 1 }

    /// Hands the parts of each transport message to `send`; stops when it returns false, and then returns false.
    public mutating func send(
        head: [UInt8], payload: Payload?, _ send: ([UnsafeRawBufferPointer]) -> Bool
    ) -> Bool {
        let total = head.count + (payload?.count ?? 0)
        return head.withUnsafeBytes { head in
            let noBytes = UnsafeRawBufferPointer(start: nil, count: 0)
            func whole(_ bytes: UnsafeRawBufferPointer) -> Bool {
                guard total > pieceBytes else { return bytes.isEmpty ? send([head]) : send([head, bytes]) }
                let number = nextNumber
                nextNumber += 1
                var offset = 0
                while offset < total {
                    let end = min(offset + pieceBytes, total)
                    let header = Self.header(number: number, total: total, offset: offset)
                    let fromHead = UnsafeRawBufferPointer(
                        rebasing: head[min(offset, head.count)..<min(end, head.count)])
                    let fromBytes = UnsafeRawBufferPointer(
                        rebasing: bytes[max(offset - head.count, 0)..<max(end - head.count, 0)])
                    guard header.withUnsafeBytes({ send([$0, fromHead, fromBytes]) }) else { return false }
                    offset = end
                }
                return true
            }
            if let payload { return payload.withBytes(whole) }
            return whole(noBytes)
        }
    }

    private static func header(number: UInt64, total: Int, offset: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(headerBytes)
        bytes.appendLittleEndian(PacketFormat.magic)
        bytes.append(PacketFormat.version)
        bytes.append(PacketFormat.fragmentKind)
        bytes.append(0)
        bytes.append(0)
        bytes.appendLittleEndian(number)
        bytes.appendLittleEndian(UInt64(total))
        bytes.appendLittleEndian(UInt64(offset))
        return bytes
    }
}

/// Puts the pieces of one link together again, in bounded memory.
///
/// A packet whose piece was lost is dropped whole: the roles ask again for what they miss.
public struct Reassembler: Sendable {
    // Sendable because only the reassembler that made it writes it, until it is whole.
    private final class Partial: @unchecked Sendable {
        let bytes: UnsafeMutableRawBufferPointer
        var filled = 0
        init(count: Int) { bytes = .allocate(byteCount: count, alignment: 64) }
        deinit { bytes.deallocate() }
    }

    private let maxPacketBytes: Int
    private let maxPartials: Int
    private var partials: [(number: UInt64, partial: Partial)] = []

    public init(maxPacketBytes: Int = 1 << 30, maxPartials: Int = 4) {
        self.maxPacketBytes = maxPacketBytes
        self.maxPartials = maxPartials
    }

    /// Takes one transport message; returns a packet when one is complete.
    public mutating func take(_ bytes: UnsafeRawBufferPointer, owner: AnyObject & Sendable) throws -> Packet?
    {
        guard bytes.count >= 8 else { throw WireError.tooShort(byteCount: bytes.count) }
        guard bytes[5] == PacketFormat.fragmentKind else {
            return try PacketFormat.decode(bytes, owner: owner)
        }
        guard bytes.count > Fragmenter.headerBytes else { throw WireError.tooShort(byteCount: bytes.count) }
        let magic = bytes.littleEndian(UInt32.self, at: 0)
        guard magic == PacketFormat.magic else { throw WireError.unknownMagic(magic) }
        guard bytes[4] == PacketFormat.version else { throw WireError.unknownVersion(bytes[4]) }
        let number = bytes.littleEndian(UInt64.self, at: 8)
        let total = bytes.littleEndian(UInt64.self, at: 16)
        let offset = bytes.littleEndian(UInt64.self, at: 24)
        guard total <= UInt64(maxPacketBytes) else {
            throw WireError.tooLarge(byteCount: total, limit: maxPacketBytes)
        }
        let piece = UnsafeRawBufferPointer(rebasing: bytes[Fragmenter.headerBytes...])
        if offset == 0 {
            if partials.count == maxPartials { partials.removeFirst() }
            partials.append((number, Partial(count: Int(total))))
        }
        guard let index = partials.firstIndex(where: { $0.number == number }) else { return nil }
        let partial = partials[index].partial
        guard UInt64(partial.filled) == offset, partial.bytes.count == Int(total),
            partial.filled + piece.count <= partial.bytes.count
        else {
            partials.remove(at: index)
            throw WireError.badFragment("message \(number) continues at \(offset), not at \(partial.filled)")
        }
        UnsafeMutableRawBufferPointer(rebasing: partial.bytes[partial.filled...]).copyMemory(from: piece)
        partial.filled += piece.count
        guard partial.filled == partial.bytes.count else { return nil }
        partials.remove(at: index)
        return try PacketFormat.decode(UnsafeRawBufferPointer(partial.bytes), owner: partial)
    }
}
