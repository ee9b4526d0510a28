/// The word that travels in the SP header of every message in place of a request id.
///
/// Raw REP drops a message in silence when 64 wait for one pipe, so the listener numbers its messages and the
/// dialer sends the last number back, on each message of its own or alone on an empty one. The listener never
/// has more than a window of unacknowledged messages on a pipe: nothing is dropped, and a stopped peer holds a
/// bounded amount of memory.
///
/// Bit 31 is set, as SP wants for the last word of a header; bits 23–30 name the connection (1–255, chosen by
/// the listener; 0 says that nothing is acknowledged); bits 0–22 are the message number modulo 2^23.
struct LinkWord: Equatable, Sendable {
    static let numberMask: UInt32 = (1 << 23) - 1

    var raw: UInt32

    init(raw: UInt32) { self.raw = raw }

    init(connection: UInt8, number: UInt32) {
        raw = 0x8000_0000 | UInt32(connection) << 23 | (number & LinkWord.numberMask)
    }

    /// Acknowledges nothing: what a dialer sends before its first received message.
    static let nothing = LinkWord(connection: 0, number: 0)

    var connection: UInt8 { UInt8(truncatingIfNeeded: raw >> 23) }
    var number: UInt32 { raw & LinkWord.numberMask }
}
