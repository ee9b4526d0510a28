import SwiftProtobuf

/// A message as the roles see it: what its envelope says, and the bytes that go with it.
///
/// An object, because bodies are large values and a message is handed on several times.
public final class Packet: Sendable {
    /// Empty in a question of a tool.
    public let run: String
    /// The names of the nodes that it comes from and goes to.
    public let from: String
    public let to: String
    public let incarnation: UInt64
    public let epoch: UInt64
    public let body: Envelope.OneOf_Body?
    public let payload: Payload?

    public init(
        _ body: Envelope.OneOf_Body?, run: String = "", from: String, to: String = "",
        incarnation: UInt64 = 0,
        epoch: UInt64 = 0, payload: Payload? = nil
    ) {
        self.run = run
        self.from = from
        self.to = to
        self.incarnation = incarnation
        self.epoch = epoch
        self.body = body
        self.payload = payload
    }

    public convenience init(envelope: Envelope, payload: Payload? = nil) {
        self.init(
            envelope.body, run: envelope.run, from: envelope.from, to: envelope.to,
            incarnation: envelope.incarnation, epoch: envelope.epoch, payload: payload)
    }

    /// The control part as it travels.
    public var envelope: Envelope {
        var envelope = Envelope()
        envelope.run = run
        envelope.from = from
        envelope.to = to
        envelope.incarnation = incarnation
        envelope.epoch = epoch
        envelope.body = body
        return envelope
    }
}

/// Why bytes from a socket are not a message.
public enum WireError: Error, Equatable, CustomStringConvertible {
    case tooShort(byteCount: Int)
    case unknownMagic(UInt32)
    case unknownVersion(UInt8)
    case lengthsDisagree(stated: Int, got: Int)
    case tooLarge(byteCount: UInt64, limit: Int)
    case controlMalformed
    case noBody
    case badNode(String)
    case badFragment(String)

    public var description: String {
        switch self {
        case .tooShort(let count): "a message of \(count) bytes is shorter than its header"
        case .unknownMagic(let magic):
            "a message begins with 0x\(String(magic, radix: 16)), not with Varve's mark"
        case .unknownVersion(let version):
            "a message speaks protocol \(version), this program speaks \(PacketFormat.version)"
        case .lengthsDisagree(let stated, let got): "a message states \(stated) bytes and has \(got)"
        case .tooLarge(let count, let limit):
            "a message of \(count) bytes is larger than the limit of \(limit)"
        case .controlMalformed: "a message's control part is not readable"
        case .noBody: "a message says nothing that this program knows"
        case .badNode(let text): "a message names the node '\(text)', which is none"
        case .badFragment(let what): "a fragment is out of place: \(what)"
        }
    }
}

/// Layout of a packet, little endian: magic u32, version u8, kind u8, two zero bytes, control length u32, payload
/// length u32, control part, zeros up to a multiple of 4, payload. So a payload of Float32 values is aligned.
public enum PacketFormat {
    public static let magic: UInt32 = 0x3156_5256  // "VRV1"
    public static let version: UInt8 = 1
    public static let headerBytes = 16
    static let wholeKind: UInt8 = 0
    static let fragmentKind: UInt8 = 1
    /// No control part is near this; what is larger is refused before it is read.
    public static let maxControlBytes = 4 << 20

    /// Header and control part of a packet, padded; the payload follows it as it is.
    public static func head(of packet: Packet) throws -> [UInt8] {
        let control: [UInt8]
        do { control = try packet.envelope.serializedBytes() } catch { throw WireError.controlMalformed }
        let payloadCount = packet.payload?.count ?? 0
        guard control.count <= maxControlBytes else {
            throw WireError.tooLarge(byteCount: UInt64(control.count), limit: maxControlBytes)
        }
        guard payloadCount <= Int(UInt32.max) else {
            throw WireError.tooLarge(byteCount: UInt64(payloadCount), limit: Int(UInt32.max))
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(headerBytes + control.count + 3)
        bytes.appendLittleEndian(magic)
        bytes.append(version)
        bytes.append(wholeKind)
        bytes.append(0)
        bytes.append(0)
        bytes.appendLittleEndian(UInt32(control.count))
        bytes.appendLittleEndian(UInt32(payloadCount))
        bytes.append(contentsOf: control)
        while bytes.count % 4 != 0 { bytes.append(0) }
        return bytes
    }

    /// Reads a whole packet. The payload refers to `owner`'s bytes; nothing but the control part is copied.
    public static func decode(_ bytes: UnsafeRawBufferPointer, owner: AnyObject & Sendable) throws -> Packet {
        guard bytes.count >= headerBytes else { throw WireError.tooShort(byteCount: bytes.count) }
        let seenMagic = bytes.littleEndian(UInt32.self, at: 0)
        guard seenMagic == magic else { throw WireError.unknownMagic(seenMagic) }
        guard bytes[4] == version else { throw WireError.unknownVersion(bytes[4]) }
        guard bytes[5] == wholeKind else { throw WireError.badFragment("a whole message was expected") }
        let controlCount = Int(bytes.littleEndian(UInt32.self, at: 8))
        let payloadCount = Int(bytes.littleEndian(UInt32.self, at: 12))
        guard controlCount <= maxControlBytes else {
            throw WireError.tooLarge(byteCount: UInt64(controlCount), limit: maxControlBytes)
        }
        let payloadStart = headerBytes + (controlCount + 3) / 4 * 4
        guard bytes.count == payloadStart + payloadCount else {
            throw WireError.lengthsDisagree(stated: payloadStart + payloadCount, got: bytes.count)
        }
        let envelope: Envelope
        do {
            envelope = try Envelope(serializedBytes: [UInt8](bytes[headerBytes..<headerBytes + controlCount]))
        } catch { throw WireError.controlMalformed }
        guard envelope.body != nil else { throw WireError.noBody }
        let payload =
            payloadCount == 0
            ? nil : Payload(owner: owner, bytes: UnsafeRawBufferPointer(rebasing: bytes[payloadStart...]))
        return Packet(envelope: envelope, payload: payload)
    }
}

extension [UInt8] {
    mutating func appendLittleEndian<Value: FixedWidthInteger>(_ value: Value) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}

extension UnsafeRawBufferPointer {
    func littleEndian<Value: FixedWidthInteger>(_: Value.Type, at offset: Int) -> Value {
        Value(littleEndian: loadUnaligned(fromByteOffset: offset, as: Value.self))
    }
}
