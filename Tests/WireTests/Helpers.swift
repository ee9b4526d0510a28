import Wire

/// Keeps the bytes of a test's message alive for the payloads that refer to them.
final class Bytes: Sendable {
    let payload: Payload
    init(_ bytes: [UInt8]) { payload = Payload(bytes) }
}

func decode(_ bytes: [UInt8]) throws -> Packet {
    let owner = Bytes(bytes)
    return try owner.payload.withBytes { try PacketFormat.decode($0, owner: owner) }
}

func take(_ bytes: [UInt8], _ reassembler: inout Reassembler) throws -> Packet? {
    let owner = Bytes(bytes)
    return try owner.payload.withBytes { try reassembler.take($0, owner: owner) }
}

func bytes(of payload: Payload?) -> [UInt8]? { payload.map { $0.withBytes { Array($0) } } }

/// The whole message as the transport would carry it.
func encoded(_ packet: Packet) throws -> [UInt8] {
    try PacketFormat.head(of: packet) + (bytes(of: packet.payload) ?? [])
}

/// A push whose control part grows with `runLength`, so that every padding occurs.
func samplePacket(runLength: Int = 5, payloadCount: Int? = nil) -> Packet {
    var push = Push()
    push.line = 7
    push.slot = 1
    push.clock = 42
    push.wantVersion = 43
    var envelope = Envelope()
    envelope.run = String(repeating: "r", count: runLength)
    envelope.from = "worker-1"
    envelope.to = "shard-0"
    envelope.incarnation = 3
    envelope.epoch = 9
    envelope.body = .push(push)
    let payload = payloadCount.map { count in
        Payload((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 5) })
    }
    return Packet(envelope: envelope, payload: payload)
}

/// SplitMix64: the same numbers in every run.
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
