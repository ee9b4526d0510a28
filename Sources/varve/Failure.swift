import Tensors

/// An end of the program that its user should know of: one sentence, and the exit code that the contract gives it.
struct CommandFailure: Error, Hashable {
    let message: String
    let exitCode: Int32

    init(_ message: String, exitCode: Int32) {
        self.message = message
        self.exitCode = exitCode
    }

    /// Done.
    static let done: Int32 = 0
    /// It ran and failed.
    static let failed: Int32 = 1
    /// A check that was asked for did not hold.
    static let checkFailed: Int32 = 2
    /// The command line makes no sense.
    static let usage: Int32 = 64
    /// An input is malformed.
    static let malformed: Int32 = 65
    /// An input file is missing or unreadable.
    static let missingInput: Int32 = 66
    /// Bad configuration.
    static let configuration: Int32 = 78
}

extension CommandFailure: CustomStringConvertible {
    /// The message in one line, whatever was quoted in it.
    var description: String { oneLine(message) }
}

/// A text from outside as one line that does nothing to a terminal: line breaks become spaces, other characters that aren't seen
/// (control, direction of writing) are spelled out.
func oneLine(_ text: String) -> String {
    let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
    guard line.unicodeScalars.contains(where: \.isUnseen) else { return line }
    return line.unicodeScalars.map { $0.isUnseen ? "\\u{\(String($0.value, radix: 16))}" : String($0) }
        .joined()
}

extension Unicode.Scalar {
    fileprivate var isUnseen: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}

/// A command line that makes no sense, in words.
func usage(_ message: String) -> CommandFailure {
    CommandFailure(message, exitCode: CommandFailure.usage)
}

extension CommandFailure {
    init(_ error: TensorFileError) {
        switch error.kind {
        case .unreadable: self.init(error.message, exitCode: CommandFailure.missingInput)
        case .malformed: self.init(error.message, exitCode: CommandFailure.malformed)
        case .unwritable, .noMemory: self.init(error.message, exitCode: CommandFailure.failed)
        }
    }
}
