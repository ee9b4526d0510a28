import Testing
import Wire

@Suite struct PacketTests {
    @Test(arguments: 0...8) func packetsReadBackWithEveryPadding(runLength: Int) throws {
        for payloadCount in [nil, 1, 3, 4, 4096] {
            let packet = samplePacket(runLength: runLength, payloadCount: payloadCount)
            let head = try PacketFormat.head(of: packet)
            #expect(head.count % 4 == 0)
            let back = try decode(try encoded(packet))
            #expect(back.envelope == packet.envelope)
            #expect(bytes(of: back.payload) == bytes(of: packet.payload))
        }
    }

    @Test func payloadsOfFloatsAreAligned() throws {
        for runLength in 0...8 {
            let back = try decode(try encoded(samplePacket(runLength: runLength, payloadCount: 64)))
            #expect(back.payload?.withFloats { $0.count } == 16)
        }
    }

    @Test func anEmptyPayloadReadsBackAsNone() throws {
        let back = try decode(try encoded(samplePacket(payloadCount: 0)))
        #expect(back.payload == nil)
    }

    @Test func everyPrefixIsRefused() throws {
        let whole = try encoded(samplePacket(payloadCount: 33))
        for count in 0..<whole.count {
            #expect(throws: WireError.self) { try decode(Array(whole[..<count])) }
        }
    }

    @Test func moreBytesThanStatedAreRefused() throws {
        let whole = try encoded(samplePacket(payloadCount: 8))
        #expect(throws: WireError.lengthsDisagree(stated: whole.count, got: whole.count + 1)) {
            try decode(whole + [0])
        }
    }

    @Test func flippedBitsAreRefusedOrReadButNeverTrap() throws {
        var numbers = SeededNumbers(state: 1)
        let whole = try encoded(samplePacket(payloadCount: 24))
        var refused = 0
        for round in 0..<20_000 {
            var damaged = whole
            // Every bit alone first, then several at a time.
            if round < whole.count * 8 {
                damaged[round / 8] ^= 1 << (round % 8)
            } else {
                for _ in 0..<Int.random(in: 1...6, using: &numbers) {
                    let place = Int.random(in: 0..<damaged.count, using: &numbers)
                    damaged[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &numbers)
                }
            }
            do {
                let packet = try decode(damaged)
                #expect(packet.body != nil)
            } catch { refused += 1 }
            var reassembler = Reassembler(maxPacketBytes: 1 << 16)
            _ = try? take(damaged, &reassembler)
        }
        #expect(refused > 0)
    }

    @Test func theHeaderIsCheckedFieldByField() throws {
        let whole = try encoded(samplePacket())
        func changed(_ place: Int, _ value: UInt8) -> [UInt8] {
            var bytes = whole
            bytes[place] = value
            return bytes
        }
        #expect(throws: WireError.unknownMagic(0x3156_5200)) { try decode(changed(0, 0)) }
        #expect(throws: WireError.unknownVersion(2)) { try decode(changed(4, 2)) }
        #expect(throws: WireError.badFragment("a whole message was expected")) { try decode(changed(5, 1)) }
        #expect(throws: WireError.self) { try decode(changed(11, 0xFF)) }
        #expect(throws: WireError.self) { try decode(changed(15, 0xFF)) }
    }

    @Test func aMessageWithoutBodyIsRefused() throws {
        let nothing = try encoded(Packet(envelope: Envelope()))
        #expect(throws: WireError.noBody) { try decode(nothing) }
    }
}
