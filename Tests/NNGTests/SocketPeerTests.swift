import Foundation
import Glibc
import Testing

@testable import NNG

/// A bare TCP client: what a broken or hostile peer is made of.
private final class BareClient {
    let descriptor: Int32

    init?(url: String) {
        guard let port = url.split(separator: ":").last.flatMap({ UInt16($0) }) else { return nil }
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let code = withUnsafeBytes(of: &address) { bytes in
            connect(
                descriptor, bytes.assumingMemoryBound(to: sockaddr.self).baseAddress,
                socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        if code != 0 { return nil }
    }

    deinit { Glibc.close(descriptor) }

    func write(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    /// Reads to the end, or `count` bytes.
    func read(_ count: Int) -> [UInt8] {
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while all.count < count {
            let got = recv(descriptor, &chunk, min(chunk.count, count - all.count), 0)
            if got <= 0 { break }
            all += chunk[..<got]
        }
        return all
    }
}

@Suite(.serialized, .timeLimit(.minutes(2)))
struct SocketPeerTests {
    private let greeting: [UInt8] = [0, 0x53, 0x50, 0, 0, 0x30, 0, 0]

    @Test func speaksSPOverTCPByteByByte() throws {
        let server = try EchoServer()
        defer { server.listener.close() }
        let client = try #require(BareClient(url: server.url))
        let frame: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 7, 0x80, 1, 2, 3, 9, 8, 7]
        for byte in greeting + frame { client.write([byte]) }
        // The server's greeting, then the same frame: same word, same body.
        #expect(client.read(8 + frame.count) == [0, 0x53, 0x50, 0, 0, 0x31, 0, 0] + frame)
    }

    @Test(arguments: [
        [UInt8](repeating: 0xff, count: 16),  // no greeting
        [0, 0x53, 0x50, 0, 0, 0x31, 0, 0],  // a server greets a server
        [0, 0x53, 0x50, 0, 0, 0x30, 0, 0] + [UInt8](repeating: 0xff, count: 12),  // a length of 2^64 - 1
        [0, 0x53, 0x50, 0, 0, 0x30, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 3, 0x80, 0, 0, 0],  // too short for a word
        [0, 0x53, 0x50, 0, 0, 0x30, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0],  // no mark on the word
    ])
    func nonsenseIsDisconnected(bytes: [UInt8]) throws {
        let server = try EchoServer()
        defer { server.listener.close() }
        let client = try #require(BareClient(url: server.url))
        client.write(bytes)
        #expect(client.read(64).count == 8)
        #expect(server.listener.counters.receivedMessages == 0)
        #expect(eventually { server.listener.peers.isEmpty })
    }

    @Test func silentConnectionsAreDroppedAtTheDeadline() throws {
        let server = try EchoServer(settings: EndpointSettings(sendDeadlineMilliseconds: 300))
        defer { server.listener.close() }
        let client = try #require(BareClient(url: server.url))
        #expect(client.read(64).count == 8)
    }

    @Test func aPeerThatDoesNotReadHoldsBoundedMemory() throws {
        let settings = EndpointSettings(
            sendQueueLimit: 64, sendQueueBytes: 4 << 20, sendDeadlineMilliseconds: 400)
        let heard = Inbox<PeerID>()
        let server = try Listener(
            url: "tcp://127.0.0.1:0", settings: settings, onMessage: { peer, _ in heard.put(peer) })
        defer { server.close() }
        let client = try #require(BareClient(url: server.url))
        client.write(greeting + [0, 0, 0, 0, 0, 0, 0, 5, 0x80, 0, 0, 1, 1])
        #expect(heard.wait(for: 1))
        let peer = try #require(heard.items.first)
        let chunk = [UInt8](repeating: 3, count: 256 << 10)
        var refused = 0
        for _ in 0..<400 where !server.send(chunk, to: peer) { refused += 1 }
        #expect(refused > 300, "the kernel's buffers and 4 MiB take well under 100 of 400 chunks")
        #expect(server.backlog(of: peer) <= 64 + Connection.batchLimit)
        #expect(server.counters.refusedFull == UInt64(refused))
        // What waits is dropped at its deadline; the message that is half sent stays.
        #expect(eventually { server.backlog(of: peer) <= 1 })
        #expect(server.counters.droppedLate > 0)
    }

    @Test func queueWithoutAPeerIsBoundedAndDropped() throws {
        let settings = EndpointSettings(sendQueueLimit: 10, sendDeadlineMilliseconds: 200)
        let port = try EchoServer()
        let url = port.url
        port.listener.close()
        let dialer = try Dialer(url: url, settings: settings, onMessage: { _ in })
        defer { dialer.close() }
        let accepted = (0..<50).filter { _ in dialer.send([1]) }.count
        #expect(accepted == 10)
        #expect(eventually { dialer.counters.droppedLate == 10 })
        #expect(dialer.backlog == 0)
    }
}
