import SwiftProtobuf

@testable import NNG
@testable import Wire

/// The messages of one link, each with its length in front: what is accepted can be sent, and arrives as the same.
enum PacketsTarget {
    private static let maxPacketBytes = 1 << 16

    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let asIs = read(bytes, mending: false)
        return read(bytes, mending: true) || asIs
    }

    private static func read(_ bytes: UnsafeRawBufferPointer, mending: Bool) -> Bool {
        var input = InputReader(bytes)
        var reassembler = Reassembler(maxPacketBytes: maxPacketBytes)
        var got = 0
        while !input.rest.isEmpty {
            var message = Array(input.piece())
            if mending { mend(&message) }
            // The bytes of a packet without fragments stay where they are: the owner keeps them.
            let owner = Payload(message)
            let packet = owner.withBytes { try? reassembler.take($0, owner: owner) }
            guard let packet else { continue }
            got += 1
            check(packet)
        }
        return got > 0
    }

    /// Magic, version and the two lengths, where they are off.
    private static func mend(_ message: inout [UInt8]) {
        guard message.count >= PacketFormat.headerBytes else { return }
        message.set(PacketFormat.magic, at: 0)
        message[4] = PacketFormat.version
        guard message[5] == PacketFormat.wholeKind else { return }
        let stated = message.withUnsafeBytes { $0.littleEndian(UInt32.self, at: 8) }
        let room = message.count - PacketFormat.headerBytes
        let control = Int(stated) <= room ? Int(stated) : room
        let padded = min((control + 3) / 4 * 4, room)
        message.set(UInt32(min(control, padded)), at: 8)
        message.set(UInt32(room - padded), at: 12)
    }

    private static func check(_ packet: Packet) {
        guard let head = try? PacketFormat.head(of: packet) else {
            fatalError("a packet that was read can't be sent")
        }
        var all = head
        packet.payload?.withBytes { all.append(contentsOf: $0) }
        let owner = Payload(all)
        let again = owner.withBytes { try? PacketFormat.decode($0, owner: owner) }
        let first: [UInt8]? = try? packet.envelope.serializedBytes()
        let second: [UInt8]? = try? again?.envelope.serializedBytes()
        demand(first != nil && first == second, "a packet arrives as another")
        demand(packet.payload?.count == again?.payload?.count, "a payload of another size")
    }

    private static func messages(_ packet: Packet, pieceBytes: Int) -> [UInt8] {
        var fragmenter = Fragmenter(pieceBytes: pieceBytes)
        var seed: [UInt8] = []
        guard let head = try? PacketFormat.head(of: packet) else { return [] }
        _ = fragmenter.send(head: head, payload: packet.payload) { parts in
            seed.put(piece: parts.flatMap { Array($0) })
            return true
        }
        return seed
    }

    static var seeds: [[UInt8]] {
        var append = Envelope()
        append.append.part.step = 3
        append.append.part.stateDigest = String(repeating: "a", count: 32)
        var view = Envelope()
        view.view.number = 7
        let packets = [
            Packet(envelope: append, payload: Payload([UInt8](0..<200))), Packet(envelope: view),
        ]
        return packets.flatMap { [messages($0, pieceBytes: 1 << 20), messages($0, pieceBytes: 50)] }
    }
}

/// What a socket delivers, in pieces of any size: the first bytes say who speaks and how large the pieces are.
enum StreamTarget {
    private static let maxBodyBytes = 1 << 16

    static func run(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let asIs = read(bytes, greeting: false)
        return read(bytes, greeting: true) || asIs
    }

    private static func read(_ bytes: UnsafeRawBufferPointer, greeting: Bool) -> Bool {
        var input = InputReader(bytes)
        let role: NNG.Frame.Role = input.byte() & 1 == 0 ? .client : .server
        let pieceBytes = 1 + Int(input.byte()) * Int(input.byte())
        var reader = FrameReader(role: role, maxBodyBytes: maxBodyBytes)
        let stream = (greeting ? NNG.Frame.greeting(role.peer) : []) + Array(input.rest)
        var place = 0
        var messages = 0
        while true {
            switch reader.next() {
            case .greeted: break
            case .message(let message, _):
                demand(message.count <= maxBodyBytes, "a message beyond the limit")
                messages += 1
                message.free()
            case .broken, .noMemory: return messages > 0
            case .needsMore:
                guard place < stream.count else { return messages > 0 }
                let space = reader.space()
                demand(!space.isEmpty, "no room for the next bytes")
                let count = min(pieceBytes, space.count, stream.count - place)
                space.copyBytes(from: stream[place..<place + count])
                reader.advance(count)
                place += count
            }
        }
    }

    static var seeds: [[UInt8]] {
        func message(_ count: Int) -> [UInt8] {
            var bytes: [UInt8] = []
            bytes.put(UInt64(count + 4).bigEndian)
            bytes.put(UInt32(0x8000_0001).bigEndian)
            return bytes + [UInt8](repeating: 9, count: count)
        }
        let all = message(0) + message(3) + message(300) + message(1)
        return [[0, 1, 1] + all, [1, 9, 7] + all, [0, 255, 255] + all]
    }
}
