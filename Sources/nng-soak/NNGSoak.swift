import Glibc

/// Kills peers under load and times messages: the evidence behind `docs/decisions/0001-messaging.md`.
@main
struct NNGSoak {
    static let usage = """
        usage: nng-soak soak [--protocol dialer|raw|req|pair0] [--victim server|client] [--kills 500]
                             [--per-second 4] [--links 4] [--in-flight 24]
               nng-soak bench [--seconds 3]
        """

    static func main() {
        var arguments = Array(CommandLine.arguments.dropFirst())
        guard let mode = arguments.first else { return fail(usage) }
        arguments.removeFirst()
        guard let options = Options(arguments) else { return fail(usage) }
        switch mode {
        case "soak": Soak(options).run()
        case "peer": Peer.run(options)
        case "bench": Bench(seconds: options.seconds).run()
        default: fail(usage)
        }
    }

    static func fail(_ text: String) {
        Console.complain(text)
        exit(2)
    }
}

/// What carries the messages in a soak.
enum Candidate: String {
    /// `Dialer` and `Listener` as they are.
    case dialer
    /// Raw REQ against raw REP, nng's own sockets.
    case raw
    /// Cooked REQ with contexts against cooked REP: the negative control.
    case req
    /// Cooked PAIR0, one listener per link.
    case pair0
}

/// The command line, and the line that a peer is started with.
struct Options {
    var candidate = Candidate.dialer
    var victim = "server"
    var kills = 500
    var perSecond = 4
    var links = 4
    var inFlight = 24
    var seconds = 3
    var port = 0

    init?(_ arguments: [String]) {
        guard arguments.count % 2 == 0 else { return nil }
        for index in stride(from: 0, to: arguments.count, by: 2) {
            let value = arguments[index + 1]
            let number = Int(value) ?? -1
            switch arguments[index] {
            case "--protocol":
                guard let named = Candidate(rawValue: value) else { return nil }
                candidate = named
            case "--victim": victim = value
            case "--kills": kills = number
            case "--per-second": perSecond = number
            case "--links": links = number
            case "--in-flight": inFlight = number
            case "--seconds": seconds = number
            case "--port": port = number
            default: return nil
            }
        }
        guard kills > 0, perSecond > 0, links > 0, inFlight >= links, seconds > 0, port >= 0 else {
            return nil
        }
        guard victim == "server" || victim == "client" else { return nil }
    }
}
