import Testing
import Wire

@Suite struct FragmentTests {
    /// The transport messages of one packet.
    func pieces(_ packet: Packet, _ fragmenter: inout Fragmenter) throws -> [[UInt8]] {
        var result: [[UInt8]] = []
        let head = try PacketFormat.head(of: packet)
        let isSent = fragmenter.send(head: head, payload: packet.payload) { parts in
            result.append(parts.flatMap { Array($0) })
            return true
        }
        #expect(isSent)
        return result
    }

    @Test(arguments: [33, 64, 100, 256]) func sizesAroundThePieceReadBack(pieceBytes: Int) throws {
        let headCount = try PacketFormat.head(of: samplePacket(payloadCount: 0)).count
        var sizes = Set([1, 2, 3, 1000])
        for pieces in 1...4 {
            for near in -2...2 { sizes.insert(pieces * pieceBytes - headCount + near) }
            for near in -2...2 { sizes.insert(pieces * pieceBytes + near) }
        }
        var fragmenter = Fragmenter(pieceBytes: pieceBytes)
        var reassembler = Reassembler()
        for size in sizes.sorted() where size > 0 {
            let packet = samplePacket(payloadCount: size)
            let sent = try pieces(packet, &fragmenter)
            let total = headCount + size
            #expect(sent.count == (total <= pieceBytes ? 1 : (total + pieceBytes - 1) / pieceBytes))
            for piece in sent.dropLast() {
                let early = try take(piece, &reassembler)
                #expect(early == nil)
            }
            let back = try #require(try take(sent[sent.count - 1], &reassembler))
            #expect(back.envelope == packet.envelope)
            #expect(bytes(of: back.payload) == bytes(of: packet.payload))
        }
    }

    @Test func packetsWithoutPayloadAreCutToo() throws {
        var fragmenter = Fragmenter(pieceBytes: 40)
        var reassembler = Reassembler()
        let packet = samplePacket(runLength: 300)
        var back: Packet?
        for piece in try pieces(packet, &fragmenter) { back = try take(piece, &reassembler) }
        #expect(back?.envelope == packet.envelope)
    }

    @Test func piecesOfTwoPacketsMayBeMixed() throws {
        var fragmenter = Fragmenter(pieceBytes: 64)
        var reassembler = Reassembler()
        let first = try pieces(samplePacket(runLength: 2, payloadCount: 300), &fragmenter)
        let second = try pieces(samplePacket(runLength: 3, payloadCount: 300), &fragmenter)
        var whole: [String] = []
        for index in 0..<max(first.count, second.count) {
            for list in [first, second] where index < list.count {
                if let packet = try take(list[index], &reassembler) { whole.append(packet.run) }
            }
        }
        #expect(whole == ["rr", "rrr"])
    }

    @Test func aLostPieceDropsItsPacketAndNoOther() throws {
        for lost in 0..<4 {
            var fragmenter = Fragmenter(pieceBytes: 128)
            var reassembler = Reassembler()
            var sent = try pieces(samplePacket(payloadCount: 400), &fragmenter)
            sent.remove(at: lost)
            for piece in sent {
                let packet = try? take(piece, &reassembler)
                #expect(packet == nil)
            }
            var next: Packet?
            for piece in try pieces(samplePacket(payloadCount: 400), &fragmenter) {
                next = try take(piece, &reassembler)
            }
            #expect(next != nil)
        }
    }

    @Test func swappedAndRepeatedPiecesNeverMakeAPacket() throws {
        var fragmenter = Fragmenter(pieceBytes: 128)
        let sent = try pieces(samplePacket(payloadCount: 400), &fragmenter)
        for order in [[0, 2, 1, 3], [1, 0, 2, 3], [0, 1, 1, 2, 3], [0, 0, 1, 2, 3], [3, 2, 1, 0]] {
            var reassembler = Reassembler()
            for index in order where index < sent.count {
                let packet = try? take(sent[index], &reassembler)
                #expect(packet == nil)
            }
        }
    }

    @Test func aHostileTotalIsRefusedBeforeAnythingIsAllocated() throws {
        var fragmenter = Fragmenter(pieceBytes: 128)
        var piece = try pieces(samplePacket(payloadCount: 400), &fragmenter)[0]
        for total in [UInt64(1 << 20) + 1, 1 << 40, .max] {
            for byte in 0..<8 { piece[16 + byte] = UInt8(truncatingIfNeeded: total >> UInt64(byte * 8)) }
            var reassembler = Reassembler(maxPacketBytes: 1 << 20)
            #expect(throws: WireError.tooLarge(byteCount: total, limit: 1 << 20)) {
                _ = try take(piece, &reassembler)
            }
        }
    }

    @Test func flippedBitsInPiecesNeverTrap() throws {
        var numbers = SeededNumbers(state: 2)
        var fragmenter = Fragmenter(pieceBytes: 96)
        let sent = try pieces(samplePacket(payloadCount: 300), &fragmenter)
        var reassembler = Reassembler(maxPacketBytes: 1 << 16)
        for _ in 0..<4000 {
            for piece in sent {
                var damaged = piece
                let place = Int.random(in: 0..<damaged.count, using: &numbers)
                damaged[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &numbers)
                _ = try? take(damaged, &reassembler)
            }
        }
        // Whatever came before, a packet of a later number gets through.
        fragmenter = Fragmenter(pieceBytes: 96)
        for _ in 0..<100 { fragmenter.skip() }
        var back: Packet?
        for piece in try pieces(samplePacket(payloadCount: 300), &fragmenter) {
            back = try take(piece, &reassembler)
        }
        #expect(back != nil)
    }
}
