import Glibc

/// Lines that appear at once, also when the output is a file.
enum Console {
    static func say(_ line: String) { write(line, to: 1) }

    static func complain(_ line: String) { write(line, to: 2) }

    private static func write(_ line: String, to descriptor: Int32) {
        var text = line + "\n"
        text.withUTF8 { bytes in _ = Glibc.write(descriptor, bytes.baseAddress, bytes.count) }
    }
}
