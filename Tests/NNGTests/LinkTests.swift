import Foundation
import Testing

@testable import NNG

@Suite(.serialized, .timeLimit(.minutes(2)))
struct LinkTests {
    @Test func echoKeepsContentAndOrder() throws {
        let server = try EchoServer()
        let inbox = Inbox<[UInt8]>()
        let dialer = try Dialer(url: server.url, onMessage: { inbox.put($0.array) })
        defer {
            dialer.close()
            server.listener.close()
        }
        let sent = (0..<500).map { index in [UInt8](repeating: UInt8(index & 255), count: index * 97) }
        for bytes in sent { #expect(dialer.send(bytes)) }
        #expect(inbox.wait(for: sent.count))
        #expect(inbox.items == sent)
        #expect(dialer.counters.droppedGone == 0 && dialer.counters.droppedLate == 0)
    }

    @Test func serverSpeaksFirstToEachOfManyClients() throws {
        let greeted = Inbox<PeerID>()
        let server = try Listener(
            url: "tcp://127.0.0.1:0", onMessage: { peer, _ in greeted.put(peer) })
        let inboxes = (0..<24).map { _ in Inbox<[UInt8]>() }
        let dialers = try inboxes.map { inbox in
            try Dialer(url: server.url, onMessage: { inbox.put($0.array) })
        }
        defer {
            for dialer in dialers { dialer.close() }
            server.close()
        }
        for dialer in dialers { dialer.send([1]) }
        #expect(greeted.wait(for: dialers.count))
        #expect(Set(greeted.items).count == dialers.count)
        for round in 0..<20 {
            for peer in server.peers { #expect(server.send([UInt8(round)], to: peer)) }
        }
        for inbox in inboxes {
            #expect(inbox.wait(for: 20))
            #expect(inbox.items == (0..<20).map { [UInt8($0)] })
        }
    }

    @Test func largeMessagesArriveAlignedAndWhole() throws {
        let server = try EchoServer()
        let inbox = Inbox<ReceivedMessage>()
        let dialer = try Dialer(url: server.url, onMessage: { inbox.put($0) })
        defer {
            dialer.close()
            server.listener.close()
        }
        let count = 16 << 20
        for seed in 0..<3 {
            var message = try Message(count: count)
            message.withUnsafeMutableBytes { bytes in
                let words = bytes.assumingMemoryBound(to: UInt64.self)
                for index in words.indices { words[index] = UInt64(index &* 31 &+ seed) }
            }
            let taken = dialer.send(message: message)
            #expect(taken)
        }
        #expect(inbox.wait(for: 3))
        for (seed, message) in inbox.items.enumerated() {
            message.withUnsafeBytes { bytes in
                #expect(bytes.count == count)
                #expect(Int(bitPattern: bytes.baseAddress) % 16 == 0)
                let words = bytes.assumingMemoryBound(to: UInt64.self)
                #expect(words.indices.allSatisfy { words[$0] == UInt64($0 &* 31 &+ seed) })
            }
        }
    }

    @Test func partsAreJoinedAndEmptyMessagesArrive() throws {
        let server = try EchoServer()
        let inbox = Inbox<[UInt8]>()
        let dialer = try Dialer(url: server.url, onMessage: { inbox.put($0.array) })
        defer {
            dialer.close()
            server.listener.close()
        }
        let (first, second): ([UInt8], [UInt8]) = ([1, 2, 3], [4, 5])
        first.withUnsafeBytes { one in
            second.withUnsafeBytes { two in _ = dialer.send(parts: [one, two]) }
        }
        dialer.send(parts: [])
        #expect(inbox.wait(for: 2))
        #expect(inbox.items == [[1, 2, 3, 4, 5], []])
    }

    @Test func oversizeIsRefusedHereAndDisconnectedThere() throws {
        let server = try EchoServer(settings: EndpointSettings(maxReceiveBytes: 1000))
        let strict = try Dialer(
            url: server.url, settings: EndpointSettings(maxReceiveBytes: 1000), onMessage: { _ in })
        let lost = Inbox<Bool>()
        let careless = try Dialer(url: server.url, onMessage: { _ in }, onDisconnected: { lost.put(true) })
        defer {
            strict.close()
            careless.close()
            server.listener.close()
        }
        let large = [UInt8](repeating: 0, count: 1001)
        #expect(large.withUnsafeBytes { strict.offer(parts: [$0]) } == .oversize)
        #expect(strict.counters.refusedOversize == 1)
        #expect(careless.send(large))
        #expect(lost.wait(for: 1))
        #expect(server.listener.counters.receivedMessages == 0)
    }

    @Test func errorsSayWhatIsWrong() throws {
        let server = try EchoServer()
        defer { server.listener.close() }
        let taken = #expect(throws: NNGError.self) { try EchoServer(url: server.url) }
        #expect(taken?.description.contains("address in use") == true)
        #expect(taken?.description.contains(server.url) == true)
        for url in ["nonsense", "tcp://", "http//x", "tcp://127.0.0.1:99999999", ""] {
            #expect(throws: NNGError.self) { _ = try Listener(url: url, onMessage: { _, _ in }) }
        }
        #expect(throws: NNGError.self) { _ = try Dialer(url: "nonsense", onMessage: { _ in }) }
        #expect(throws: NNGError.self) {
            _ = try Dialer(url: "tls+tcp://127.0.0.1:1", onMessage: { _ in })
        }
        #expect(throws: NNGError.self) {
            _ = try Dialer(
                url: server.url, settings: EndpointSettings(sendQueueLimit: 0), onMessage: { _ in })
        }
    }

    @Test func aPeerThatIsGoneIsToldAndRefused() throws {
        let server = try EchoServer()
        let connected = Inbox<Bool>()
        let dialer = try Dialer(
            url: server.url, onMessage: { _ in connected.put(true) })
        dialer.send([1])
        #expect(connected.wait(for: 1))
        let peer = try #require(server.listener.peers.first)
        dialer.close()
        #expect(server.closedPeers.wait(for: 1))
        #expect(server.closedPeers.items == [peer])
        #expect(server.listener.send([1], to: peer) == false)
        #expect(dialer.send([1]) == false)
        server.listener.close()
    }

    @Test func serverThatComesBackIsFoundAndQueuedMessagesArrive() throws {
        var server = try EchoServer()
        let url = server.url
        let inbox = Inbox<[UInt8]>()
        let (up, down) = (Inbox<Bool>(), Inbox<Bool>())
        let dialer = try Dialer(
            url: url, onMessage: { inbox.put($0.array) }, onConnected: { up.put(true) },
            onDisconnected: { down.put(true) })
        for round in 1...5 {
            #expect(up.wait(for: round))
            server.listener.close()
            #expect(down.wait(for: round))
            #expect(!dialer.isConnected)
            dialer.send([UInt8(round)])
            server = try EchoServer(url: url)
            #expect(inbox.wait(for: round, seconds: 2))
        }
        #expect(inbox.items == (1...5).map { [UInt8($0)] })
        dialer.close()
        server.listener.close()
    }

    @Test func closingUnderLoadIsQuick() throws {
        for _ in 0..<20 {
            let server = try EchoServer()
            let echoes = Inbox<Bool>()
            let dialers = try (0..<4).map { _ in
                try Dialer(url: server.url, onMessage: { _ in echoes.put(true) })
            }
            for _ in 0..<200 {
                for dialer in dialers { dialer.send([UInt8](repeating: 1, count: 4096)) }
            }
            #expect(echoes.wait(for: 10))
            let started = Monotonic.now
            server.listener.close()
            for dialer in dialers { dialer.close() }
            #expect(Monotonic.now.nanoseconds - started.nanoseconds < 1_500_000_000)
        }
        #expect(eventually { NNGStatistics.closing == 0 })
    }
}
