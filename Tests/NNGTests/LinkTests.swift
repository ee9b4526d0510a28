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
        let sent = (0..<500).map { index in [UInt8](repeating: UInt8(index & 255), count: 1 + index * 7) }
        for bytes in sent { #expect(dialer.send(bytes)) }
        #expect(inbox.wait(for: sent.count))
        #expect(inbox.items == sent)
        #expect(dialer.counters.droppedGone == 0 && dialer.counters.droppedLate == 0)
    }
}
