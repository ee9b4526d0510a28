/// The bytes of SP over TCP (nanomsg's `sp-tcp-mapping-01`), so that plain nng sockets can talk to ours.
///
/// A connection opens with 8 bytes from each side: 0, "SP", 0, the protocol (big-endian, 0x30 REQ or 0x31 REP),
/// 0, 0. Then each message is its length (8 bytes, big-endian), the SP header, and the body. Our header is one
/// word (big-endian) whose highest bit is set: a request's number. A listener repeats the last word that the
/// peer sent, which is what a REQ socket with one open request expects.
enum Frame {
    static let greetingBytes = 8
    static let lengthBytes = 8
    static let wordBytes = 4
    static let headerBytes = lengthBytes + wordBytes
    static let wordMark: UInt32 = 0x8000_0000

    /// The side of a connection; its raw value is the SP protocol that it says it is.
    enum Role: UInt8, Sendable {
        case client = 0x30
        case server = 0x31

        var peer: Role {
            switch self {
            case .client: .server
            case .server: .client
            }
        }
    }

    static func greeting(_ role: Role) -> [UInt8] { [0, 0x53, 0x50, 0, 0, role.rawValue, 0, 0] }

    /// Writes the frame in front of the body and returns all that goes on the wire.
    static func seal(_ buffer: MessageBuffer, word: UInt32) -> UnsafeMutableRawBufferPointer {
        let start = buffer.base + (MessageBuffer.headroom - headerBytes)
        start.storeBytes(of: UInt64(buffer.count + wordBytes).bigEndian, as: UInt64.self)
        (start + lengthBytes).storeBytes(of: (word | wordMark).bigEndian, as: UInt32.self)
        return UnsafeMutableRawBufferPointer(start: start, count: headerBytes + buffer.count)
    }
}
