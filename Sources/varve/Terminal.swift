import Foundation

/// What a stream can show: whether it is a terminal, how wide it is, and whether colour is wanted.
struct Terminal: Sendable, Hashable {
    let isTerminal: Bool
    let columns: Int
    let colours: Bool

    /// Asks the kernel and the environment; `NO_COLOR` (any value but the empty one) and `TERM=dumb` switch colour off.
    init(descriptor: Int32, environment: [String: String] = ProcessInfo.processInfo.environment) {
        var size = winsize()
        let known = ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        columns = known ? Int(size.ws_col) : 80
        isTerminal = isatty(descriptor) == 1 && environment["TERM"] != "dumb"
        colours = isTerminal && (environment["NO_COLOR"] ?? "").isEmpty
    }

    init(isTerminal: Bool, columns: Int, colours: Bool) {
        self.isTerminal = isTerminal
        self.columns = columns
        self.colours = colours
    }
}

/// The few colours in use; each is reset at the end of its text.
enum Colour: String {
    case green = "32"
    case yellow = "33"
    case red = "31"
    case dim = "2"
    case bold = "1"

    func paint(_ text: String, _ on: Bool = true) -> String {
        on ? "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" : text
    }
}

/// A number of bytes for people: three digits and a binary unit, such as `17.2 MiB`.
func humanBytes(_ bytes: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var value = Double(bytes)
    var unit = 0
    // 1023.5 would be written as 1024.
    while abs(value) >= 1023.5, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    if unit == 0 { return "\(bytes) B" }
    return fixed(value, decimals: abs(value) < 9.995 ? 2 : abs(value) < 99.95 ? 1 : 0) + " " + units[unit]
}

/// A span of seconds for people: `45 s`, `3 min 20 s`, `2 h 5 min`; `?` for what isn't a finite span.
func humanSeconds(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return "?" }
    let whole = Int(seconds.rounded(.up))
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
}

/// A number with a fixed count of decimals; `-` for what isn't finite.
func fixed(_ value: Double, decimals: Int) -> String {
    value.isFinite ? String(format: "%.\(decimals)f", value) : "-"
}

/// A number with three digits and an exponent, such as `1.25e-03`; `-` for what isn't finite.
func scientific(_ value: Double) -> String {
    value.isFinite ? String(format: "%.2e", value) : "-"
}
