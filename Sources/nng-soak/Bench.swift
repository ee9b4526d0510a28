import Glibc
import NNG
import Synchronization

/// Times messages between two endpoints of this process over the loopback.
struct Bench {
    let seconds: Int

    func run() {
        Console.say("nng \(NNGStatistics.version), both ends in one process, tcp on the loopback")
        for inFlight in [1, 16] { measure("64 B request and answer", 64, inFlight, echo: true) }
        measure("1 MiB to the server, 8 B back", 1 << 20, 8, echo: false)
        measure("1 MiB echoed", 1 << 20, 8, echo: true)
    }

    private func measure(_ title: String, _ bytes: Int, _ inFlight: Int, echo: Bool) {
        do {
            let loop = try BenchLoop(bytes: bytes, echo: echo)
            loop.start(inFlight)
            usleep(300_000)
            let (count, cpu, time) = (loop.count, Processes.processorMicroseconds, Processes.nowMilliseconds)
            usleep(UInt32(seconds) * 1_000_000)
            let done = Double(loop.count - count)
            let spent = (Processes.nowMilliseconds - time) / 1000
            let processor = Processes.processorMicroseconds - cpu
            loop.stop()
            let rate = Int(done / spent)
            let bandwidth = done * Double(bytes) / spent / 1e9
            let gigabytes = Double(Int(bandwidth * 100)) / 100
            let perMessage = Double(Int(processor / max(done, 1) * 5)) / 10
            Console.say(
                "  \(title), \(inFlight) in flight: \(rate)/s, \(gigabytes) GB/s, \(perMessage) us CPU a message"
            )
        } catch {
            NNGSoak.fail("\(error)")
        }
    }
}

/// A dialer that asks again at each answer, and its server.
private final class BenchLoop: Sendable {
    private let server = Mutex<Listener?>(nil)
    private let dialer = Mutex<Dialer?>(nil)
    private let payload: [UInt8]
    private let answers = Atomic<Int>(0)
    private let running = Atomic<Bool>(true)

    var count: Int { answers.load(ordering: .relaxed) }

    init(bytes: Int, echo: Bool) throws(NNGError) {
        payload = [UInt8](repeating: 7, count: bytes)
        let listener = try Listener(
            url: "tcp://127.0.0.1:0",
            onMessage: { [weak self] peer, message in
                guard let listener = self?.server.withLock({ $0 }) else { return }
                message.withUnsafeBytes { bytes in
                    let answer = echo ? bytes : UnsafeRawBufferPointer(rebasing: bytes[0..<8])
                    _ = listener.send(to: peer, parts: [answer])
                }
            })
        server.withLock { $0 = listener }
        let made = try Dialer(
            url: listener.url,
            onMessage: { [weak self] _ in
                guard let self else { return }
                self.answers.add(1, ordering: .relaxed)
                if self.running.load(ordering: .relaxed) { self.ask() }
            })
        dialer.withLock { $0 = made }
    }

    func start(_ inFlight: Int) { for _ in 0..<inFlight { ask() } }

    private func ask() {
        guard let dialer = dialer.withLock({ $0 }) else { return }
        payload.withUnsafeBytes { _ = dialer.send(parts: [$0]) }
    }

    func stop() {
        running.store(false, ordering: .relaxed)
        dialer.withLock { $0 }?.close()
        server.withLock { $0 }?.close()
    }
}
